"""What going to a place in a file costs."""

from __future__ import annotations

import io
import os

import av

from pipeline.container.reading import READING_ERRORS, seek_keyframe, video_stream
from schemas.records import Keyframe

# A file that is read up to this share to go to its last keyframe has no index, or none that helps.
_MAX_READ = 0.25


def seek_reads_most(path: str, format_name: str, stream_index: int, keyframe: Keyframe) -> bool:
    """Whether FFmpeg reads most of the file before it is at ``keyframe``, one near the end.

    Matroska without cues and FLV without an index are read packet by packet.
    """
    try:
        with open(path, "rb", buffering=0) as raw:
            counted = _Counted(raw)
            with av.open(counted, "r", format=format_name.split(",")[0], metadata_errors="replace") as container:
                stream = video_stream(container, stream_index)
                counted.num_bytes = 0
                seek_keyframe(container, stream, keyframe)
            return counted.num_bytes > _MAX_READ * os.fstat(raw.fileno()).st_size
    except READING_ERRORS:
        return False  # what is wrong is the decode step's to say


class _Counted:
    """A file that counts what is read of it."""

    def __init__(self, raw: io.FileIO) -> None:
        self._raw = raw
        self.num_bytes = 0
        self.seek, self.tell = raw.seek, raw.tell

    def read(self, size: int) -> bytes:
        read = self._raw.read(size)
        self.num_bytes += len(read)
        return read
