"""What decoders that read by frame number and turn frames themselves have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import av
import numpy as np
from numpy.typing import NDArray

from pipeline.decoders import Decoded
from pipeline.picture.crop import crop_pixels
from pipeline.picture.resize import Scaler
from schemas.errors import VideoError
from schemas.records import SpanJob

# Whole frames that are in memory at a time; of 4K, 400 MB.
_AT_A_TIME = 16

Read = Callable[[NDArray[np.int64]], NDArray[np.uint8]]


def decode_by_number(job: SpanJob, name: str, num_frames: int, read: Read, errors: tuple[type[Exception], ...]) -> Decoded:
    """Read the wanted frames that the decoder believes exist, and scale them.

    Args:
        job: what is wanted.
        name: the decoder, for messages.
        num_frames: how many frames the decoder counts.
        read: frame numbers int64 [m], ascending -> uint8 [m, height, width, 3], turned as shown.
        errors: what ``read`` raises where it cannot read one of them; the others are then read one by one.
    """
    if job.mirrored:
        raise VideoError("decode", f"the picture is to be mirrored, which {name} does not do; try --decoder pyav")
    positions = np.flatnonzero(job.frame_index < num_frames)
    if not len(positions):
        raise VideoError("decode", f"{name} counts {num_frames} frames and none of the sampled ones; try --decoder pyav")
    # The picture is turned already, and with it the long side of its pixels.
    pixel_aspect = 1 / job.pixel_aspect if job.rotation_deg % 180 else job.pixel_aspect
    scalers = [Scaler(wanted.geometry, pixel_aspect=pixel_aspect) for wanted in job.inputs]
    found: list[int] = []
    frames: list[list[NDArray[np.uint8]]] = [[] for _ in scalers]
    for position, pixels in _each(positions, job.frame_index, read, errors):
        found.append(position)
        if job.crop:
            pixels = np.ascontiguousarray(crop_pixels(pixels, job.crop, job.rotation_deg))
        frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
        for of_input, scaler in zip(frames, scalers, strict=True):
            of_input.append(scaler(frame))
    missing = len(job.frame_index) - len(found)
    return Decoded(
        positions=np.array(found, np.int64),
        frames=tuple(np.stack(of_input) for of_input in frames),
        problems=(f"{missing} of {len(job.frame_index)} sampled frames could not be decoded",) if missing else (),
    )


def _each(
    positions: NDArray[np.int64], frame_index: NDArray[np.int64], read: Read, errors: tuple[type[Exception], ...]
) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Positions with their frames, those left out that cannot be read.

    Raises:
        Exception: one of ``errors``, where not one of them can be read.
    """
    error, any_read = None, False
    for start in range(0, len(positions), _AT_A_TIME):
        some = positions[start : start + _AT_A_TIME]
        try:
            parts = [(some, read(frame_index[some]))]
        except errors:
            parts = []
            for one in some:
                try:
                    parts.append((np.array([one]), read(frame_index[[one]])))
                except errors as exc:
                    error = exc
        while parts:  # and let go of, before the next are read
            any_read = True
            yield from zip(parts[0][0].tolist(), parts.pop(0)[1], strict=True)
    if error is not None and not any_read:
        raise error
