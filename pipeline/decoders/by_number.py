"""What decoders that read by frame number and turn frames themselves have in common."""

from __future__ import annotations

from collections.abc import Callable

import av
import numpy as np
from numpy.typing import NDArray

from pipeline.decoders import Decoded
from pipeline.scale import Scaler
from schemas.errors import VideoError
from schemas.records import SpanJob


def decode_by_number(
    job: SpanJob, name: str, num_frames: int, read: Callable[[NDArray[np.int64]], NDArray[np.uint8]]
) -> Decoded:
    """Read the wanted frames that the decoder believes exist, and scale them.

    Args:
        job: what is wanted.
        name: the decoder, for messages.
        num_frames: how many frames the decoder counts.
        read: frame numbers int64 [m] -> uint8 [m, height, width, 3], turned as shown.
    """
    if job.mirrored:
        raise VideoError("decode", f"the picture is to be mirrored, which {name} does not do; try --decoder pyav")
    positions = np.flatnonzero(job.frame_index < num_frames)
    if not len(positions):
        raise VideoError("decode", f"{name} counts {num_frames} frames and none of the sampled ones; try --decoder pyav")
    # The picture is turned already, and with it the long side of its pixels.
    pixel_aspect = 1 / job.pixel_aspect if job.rotation_deg % 180 else job.pixel_aspect
    scalers = [Scaler(wanted.geometry, pixel_aspect=pixel_aspect) for wanted in job.inputs]
    frames = [av.VideoFrame.from_ndarray(pixels, format="rgb24") for pixels in read(job.frame_index[positions])]
    missing = len(job.frame_index) - len(positions)
    return Decoded(
        positions=positions,
        frames=tuple(np.stack([scaler(frame) for frame in frames]) for scaler in scalers),
        problems=(f"{missing} of {len(job.frame_index)} sampled frames could not be decoded",) if missing else (),
    )
