"""torchcodec as a backend: reads by frame number, exactly; on the CPU, or on a GPU's own decoder (NVDEC)."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torchcodec.decoders import VideoDecoder

from pipeline.decoders import Decoded
from pipeline.decoders.by_number import decode_by_number
from schemas.errors import VideoError
from schemas.records import SpanJob

_ERRORS = (RuntimeError, ValueError, IndexError)


class TorchCodecDecoder:
    """Decodes in the calling thread. What a GPU cannot decode, torchcodec decodes on the CPU by itself.

    Of AVI with B-frames it gave the neighbours of some of the last frames.
    """

    def __init__(self, device: str = "cpu") -> None:
        """``device`` is ``cpu`` or ``cuda``."""
        self._device = device
        torch.zeros(1, device=device)  # now: what a GPU's driver reserves for it would count as memory that a video takes

    def decode(self, job: SpanJob) -> Decoded:
        """See `pipeline.decoders.Decoder.decode`. Frames are turned to RGB where they are decoded, and scaled on the CPU."""
        try:
            decoder = VideoDecoder(job.video.file.path, dimension_order="NHWC", num_ffmpeg_threads=1, device=self._device)

            def read(index: NDArray[np.int64]) -> NDArray[np.uint8]:
                frames: NDArray[np.uint8] = decoder.get_frames_at(index.tolist()).data.cpu().numpy()
                return frames

            return decode_by_number(job, "torchcodec", len(decoder), read, _ERRORS)
        except _ERRORS as exc:
            raise VideoError(
                "decode", f"torchcodec cannot decode this {job.codec}: {str(exc).splitlines()[0]}; try --decoder pyav"
            ) from exc
