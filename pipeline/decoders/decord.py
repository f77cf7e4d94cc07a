"""The decord backend, for those who use it already. It reports no damage, and its last release is of 2021."""

from __future__ import annotations

import decord

from pipeline.decoders.base import Decoded
from pipeline.decoders.frame_index import decode_by_number
from pipeline.decoders.pyav import PyAVDecoder
from pipeline.sources import decodable
from schemas.errors import VideoError
from schemas.records import SpanJob


class DecordDecoder:
    """Reads by frame number; a job carries each sampled frame's place in presentation order for this.

    Where groups of pictures are open (HEVC as x265 writes it), decord returns a neighbour for the frame before a keyframe.
    """

    def decode(self, job: SpanJob) -> Decoded:
        """See `pipeline.decoders.base.Decoder.decode`. HDR is left to PyAV: decord returns its values as coded."""
        if job.wide_colours:
            return PyAVDecoder().decode(job)
        if job.stream_index is not None:
            raise VideoError("decode", "decord reads the video track that players take, and no other; try --decoder pyav")
        errors = (decord.DECORDError, RuntimeError)
        try:
            with decodable(job.video.file.path) as file:
                reader = decord.VideoReader(file, num_threads=1)
                return decode_by_number(job, "decord", len(reader), lambda index: reader.get_batch(index).asnumpy(), errors)
        except errors as exc:
            raise VideoError(
                "decode", f"decord cannot decode this {job.codec}: {str(exc).splitlines()[-1]}; try --decoder pyav"
            ) from exc
