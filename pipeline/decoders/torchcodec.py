"""The torchcodec backend: reads by frame number, exactly; on the CPU, or on a GPU's hardware decoder (NVDEC)."""

from __future__ import annotations

import io
from functools import cache

import av
import numpy as np
from numpy.typing import NDArray
from torchcodec.decoders import VideoDecoder

from pipeline.decoders.base import Decoded
from pipeline.decoders.frame_index import decode_by_number
from pipeline.decoders.pyav import PyAVDecoder
from pipeline.sources import decodable
from schemas.errors import VideoError
from schemas.records import SpanJob

_ERRORS = (RuntimeError, ValueError, IndexError)


class TorchCodecDecoder:
    """Decodes in the calling thread. Formats that the GPU cannot decode, torchcodec decodes on the CPU by itself.

    In AVI files with B-frames it returned neighbours of some of the last frames. A process stays on the GPU that it was
    first given.
    """

    def __init__(self, device: str = "cpu") -> None:
        """Decode a small video once: a missing library shows only then.

        This also lets a GPU's driver reserve its memory now, so that it does not count towards a video's memory limit.

        Args:
            device: ``cpu`` or ``cuda``.

        Raises:
            RuntimeError: it cannot decode on this device.
        """
        self._device = device
        decoder = VideoDecoder(_small_video(), dimension_order="NHWC", device=device)
        decoder.get_frames_at([0])
        if decoder.cpu_fallback:
            raise RuntimeError(str(decoder.cpu_fallback))

    def decode(self, job: SpanJob) -> Decoded:
        """See `pipeline.decoders.base.Decoder.decode`. Frames become RGB on the device, and are scaled on the CPU.

        PyAV decodes HDR instead: torchcodec returns its values as they are coded.
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
    """An MP4 file of four H.264 frames, of a size that every GPU decodes."""
    stream = io.BytesIO()
    with av.open(stream, "w", format="mp4") as container:
        video = container.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
        video.width, video.height, video.pix_fmt = 256, 256, "yuv420p"
        for _ in range(4):
            container.mux(video.encode(av.VideoFrame.from_ndarray(np.zeros((256, 256, 3), np.uint8), format="rgb24")))
        container.mux(video.encode())
    return stream.getvalue()
