"""The cost of seeking in a file."""

from __future__ import annotations

from typing import BinaryIO

import av

from pipeline.container.reading import READING_ERRORS, seek_keyframe, video_stream
from pipeline.sources import source_of
from schemas.video_meta import Keyframe

# A file that is read up to this share to go to its last keyframe has no index, or none that helps.
_MAX_READ = 0.25


def seek_reads_most(path: str, format_name: str, stream_index: int, keyframe: Keyframe) -> bool:
    """Whether FFmpeg reads most of the file to go to ``keyframe``, which is near the end.

    Matroska without cues and FLV without an index are read packet by packet.
    """
    source = source_of(path)
    try:
        with source.open(path) as file:
            counted = _Counted(file)
            with av.open(counted, "r", format=format_name.split(",")[0], metadata_errors="replace") as container:
                stream = video_stream(container, stream_index)
                counted.num_bytes = 0
                seek_keyframe(container, stream, keyframe)
            return counted.num_bytes > _MAX_READ * source.stat(path).size_bytes
    except READING_ERRORS:
        return False  # what is wrong is the decode step's to say


class _Counted:
    """A file object that counts the bytes that are read."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.num_bytes = 0
        self.seek, self.tell = file.seek, file.tell

    def read(self, size: int) -> bytes:
        data = self._file.read(size)
        self.num_bytes += len(data)
        return data
