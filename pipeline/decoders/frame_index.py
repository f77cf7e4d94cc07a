"""Decodes a job with any library that reads by frame number and rotates frames itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import av
import numpy as np
from numpy.typing import NDArray

from pipeline.decoders.base import Decoded
from pipeline.picture.crop import crop_pixels
from pipeline.picture.resize import Scaler
from schemas.errors import VideoError
from schemas.records import SpanJob

# Full-size frames that are in memory at a time: 400 MB of 4K.
_FRAMES_AT_A_TIME = 16

Read = Callable[[NDArray[np.int64]], NDArray[np.uint8]]


def decode_by_number(job: SpanJob, name: str, num_frames: int, read: Read, errors: tuple[type[Exception], ...]) -> Decoded:
    """Read the sampled frames whose numbers the decoder has, and scale them.

    Args:
        job: the frames to decode.
        name: the decoder's, for messages.
        num_frames: how many frames the decoder counts.
        read: frame numbers int64 [m], ascending -> uint8 [m, height, width, 3], rotated for display.
        errors: the exceptions that ``read`` raises where it cannot read a frame; each frame is then read alone.

    Raises:
        VideoError: the job cannot be decoded this way, or the decoder counts none of the sampled frames.
    """
    if job.mirrored:
        raise VideoError("decode", f"the picture is to be mirrored, which {name} does not do; try --decoder pyav")
    positions = np.flatnonzero(job.frame_index < num_frames)
    if not len(positions):
        raise VideoError("decode", f"{name} counts {num_frames} frames and none of the sampled ones; try --decoder pyav")
    # The picture is rotated already, and with it the long side of its pixels.
    pixel_aspect = 1 / job.pixel_aspect if job.rotation_deg % 180 else job.pixel_aspect
    scalers = [Scaler(geometry, pixel_aspect=pixel_aspect) for geometry in job.geometries]
    decoded: list[int] = []
    frames_by_input: list[list[NDArray[np.uint8]]] = [[] for _ in scalers]
    for position, pixels in _each(positions, job.frame_index, read, errors):
        decoded.append(position)
        if job.crop:
            pixels = np.ascontiguousarray(crop_pixels(pixels, job.crop, job.rotation_deg))
        frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
        for frames, scaler in zip(frames_by_input, scalers, strict=True):
            frames.append(scaler(frame))
    missing = len(job.frame_index) - len(decoded)
    return Decoded(
        positions=np.array(decoded, np.int64),
        frames=tuple(np.stack(frames) for frames in frames_by_input),
        problems=(f"{missing} of {len(job.frame_index)} sampled frames could not be decoded",) if missing else (),
    )


def _each(
    positions: NDArray[np.int64], frame_index: NDArray[np.int64], read: Read, errors: tuple[type[Exception], ...]
) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Positions with their frames; those that cannot be read are left out.

    Raises:
        Exception: one of ``errors``, where none of them can be read.
    """
    error, any_read = None, False
    for start in range(0, len(positions), _FRAMES_AT_A_TIME):
        batch = positions[start : start + _FRAMES_AT_A_TIME]
        try:
            parts = [(batch, read(frame_index[batch]))]
        except errors:
            parts = []
            for position in batch:
                try:
                    parts.append((np.array([position]), read(frame_index[[position]])))
                except errors as exc:
                    error = exc
        while parts:  # freed before the next batch is read
            any_read = True
            yield from zip(parts[0][0].tolist(), parts.pop(0)[1], strict=True)
    if error is not None and not any_read:
        raise error
