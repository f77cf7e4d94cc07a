"""A video's file as the library lists it, opened only while it is still that file."""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass
from datetime import datetime

from pipeline.sources.paths import path_of_text


class FileProblem(Exception):
    """A file that is not served.

    Attributes:
        status: of HTTP: 404 where it is gone, 409 where it is another one than was indexed.
    """

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


@dataclass(frozen=True, slots=True)
class VideoFile:
    """A video's file, with the columns of ``videos`` that tell whether it has changed and how to open it."""

    video_id: str
    path: str
    size_bytes: int
    modified_at: datetime
    codec: str | None
    container: str | None
    track: int | None

    @property
    def path_on_disk(self) -> str:
        """The path as the system knows it: libraries spell bytes that are not UTF-8 in another way."""
        return self.path if os.path.lexists(self.path) else path_of_text(self.path)

    @property
    def modified_us(self) -> int:
        """Microseconds since 1970 at which it was changed last, which is as exact as the catalogue has it."""
        return round(self.modified_at.timestamp() * 1e6)


def open_checked(path: str, size_bytes: int, modified_us: int) -> int:
    """Open a file for reading, if it is the one that was indexed: a file descriptor, which the caller closes.

    What is checked is what was opened, so a link or a pipe that took the file's place meanwhile is not followed into
    another file, and does not make anybody wait.

    Args:
        path: of the file on disk.
        size_bytes: its size when it was indexed.
        modified_us: when it was changed last, in microseconds since 1970.

    Raises:
        FileProblem: it is gone, cannot be read, or is another file.
    """
    try:
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as exc:
        if exc.errno in (errno.ENOENT, errno.ENOTDIR):
            raise FileProblem(404, "the video's file is not there any more; run vidsift ingest again") from exc
        raise FileProblem(404, f"the video's file cannot be read ({exc.strerror})") from exc
    found = os.fstat(file)
    changed = found.st_size != size_bytes or abs(found.st_mtime_ns // 1000 - modified_us) > 1
    if not stat.S_ISREG(found.st_mode) or changed:
        os.close(file)
        raise FileProblem(409, "the video's file has changed since it was indexed; run vidsift ingest again")
    return file
