"""torchcodec as a backend: reads by frame number, exactly."""

from __future__ import annotations

from torchcodec.decoders import VideoDecoder

from pipeline.decoders import Decoded
from pipeline.decoders.by_number import decode_by_number
from schemas.errors import VideoError
from schemas.records import SpanJob


class TorchCodecDecoder:
    """Decodes on the CPU, in the calling thread."""

    def decode(self, job: SpanJob) -> Decoded:
        """See `pipeline.decoders.Decoder.decode`."""
        try:
            decoder = VideoDecoder(job.video.file.path, dimension_order="NHWC", num_ffmpeg_threads=1)
            return decode_by_number(
                job, "torchcodec", len(decoder), lambda index: decoder.get_frames_at(index.tolist()).data.numpy()
            )
        except (RuntimeError, ValueError) as exc:
            raise VideoError(
                "decode", f"torchcodec cannot decode this {job.codec}: {str(exc).splitlines()[0]}; try --decoder pyav"
            ) from exc
