"""torchcodec as a backend: reads by frame number, exactly; on the CPU, or on a GPU's own decoder (NVDEC)."""

from __future__ import annotations

import io
from functools import cache

import av
import numpy as np
from numpy.typing import NDArray
from torchcodec.decoders import VideoDecoder

from pipeline.decoders import Decoded
from pipeline.decoders.frame_index import decode_by_number
from pipeline.decoders.pyav import PyAVDecoder
from pipeline.sources import decodable
from schemas.errors import VideoError
from schemas.records import SpanJob

_ERRORS = (RuntimeError, ValueError, IndexError)


class TorchCodecDecoder:
    """Decodes in the calling thread. What a GPU cannot decode, torchcodec decodes on the CPU by itself.

    Of AVI with B-frames it gave the neighbours of some of the last frames. A process keeps to the GPU it was first given.
    """

    def __init__(self, device: str = "cpu") -> None:
        """See that it can decode: what it lacks shows only then, and what a GPU's driver reserves is no video's memory.

        Args:
            device: ``cpu`` or ``cuda``.

        Raises:
            RuntimeError: it cannot, or not there.
        """
        self._device = device
        decoder = VideoDecoder(_small_video(), dimension_order="NHWC", device=device)
        decoder.get_frames_at([0])
        if decoder.cpu_fallback:
            raise RuntimeError(str(decoder.cpu_fallback))

    def decode(self, job: SpanJob) -> Decoded:
        """See `pipeline.decoders.Decoder.decode`. Frames are turned to RGB where they are decoded, and scaled on the CPU.

        HDR is left to PyAV: torchcodec gives its values as they are coded.
        """
        if job.wide_colours:
            return PyAVDecoder().decode(job)
        try:
            with decodable(job.video.file.path) as file:
                decoder = VideoDecoder(
                    file,
                    stream_index=job.stream_index,
                    dimension_order="NHWC",
                    num_ffmpeg_threads=1,
                    device=self._device,
                )

                def read(index: NDArray[np.int64]) -> NDArray[np.uint8]:
                    frames: NDArray[np.uint8] = decoder.get_frames_at(index.tolist()).data.cpu().numpy()
                    return frames

                return decode_by_number(job, "torchcodec", len(decoder), read, _ERRORS)
        except _ERRORS as exc:
            raise VideoError(
                "decode", f"torchcodec cannot decode this {job.codec}: {str(exc).splitlines()[0]}; try --decoder pyav"
            ) from exc


@cache
def _small_video() -> bytes:
    """Some frames of H.264, of a size that every GPU decodes."""
    stream = io.BytesIO()
    with av.open(stream, "w", format="mp4") as container:
        video = container.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
        video.width, video.height, video.pix_fmt = 256, 256, "yuv420p"
        for _ in range(4):
            container.mux(video.encode(av.VideoFrame.from_ndarray(np.zeros((256, 256, 3), np.uint8), format="rgb24")))
        container.mux(video.encode())
    return stream.getvalue()
