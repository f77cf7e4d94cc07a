"""A video's file, and the check that it still is the file that was indexed."""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass
from typing import Literal

from pipeline.sources import scheme_of, source_of
from schemas.errors import UsageError

MediaProblem = Literal[
    "gone", "changed", "not a file", "unreadable", "undecodable", "crashed", "too slow", "unwritable", "closed", "bad span"
]

_STATUSES: dict[MediaProblem, int] = {
    "gone": 404,
    "changed": 409,
    "not a file": 403,
    "unreadable": 403,
    "undecodable": 422,
    "crashed": 422,
    "too slow": 504,
    "unwritable": 507,
    "closed": 503,
    "bad span": 400,
}

# What opening says of files that are gone, and of paths that no file can have.
_GONE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.EINVAL})
_NOT_A_FILE = frozenset({errno.ELOOP, errno.ENXIO, errno.EISDIR, errno.ENODEV})


class MediaError(Exception):
    """A video's file, or something of it, that cannot be shown.

    Attributes:
        problem: the kind of problem.
        reason: what is wrong and what to do, in a sentence.
    """

    def __init__(self, problem: MediaProblem, reason: str) -> None:
        super().__init__(problem, reason)
        self.problem: MediaProblem = problem
        self.reason = reason

    def __str__(self) -> str:
        return self.reason

    @property
    def status(self) -> int:
        """The status of an HTTP answer that says so."""
        return _STATUSES[self.problem]


@dataclass(frozen=True, slots=True)
class VideoFile:
    """A video as its row in ``videos`` describes it.

    Attributes:
        video_id: the video's id.
        path: its absolute path.
        size_bytes: its size in bytes when it was indexed.
        modified_us: its modification time then, in microseconds since the epoch, which is as exact as the catalogue has it.
        codec: the codec's short name, such as ``h264``; None where it could not be read.
        container: the container's, such as ``mp4``; None likewise.
        track: the video track that was indexed, from 1; None for the best.
    """

    video_id: str
    path: str
    size_bytes: int
    modified_us: int
    codec: str | None = None
    container: str | None = None
    track: int | None = None


def open_checked(video: VideoFile) -> int:
    """Open a video's file for reading, if it still is the file that was indexed: its size and modification time say so.

    The video must be on a disk (`is_remote` is false). A link is followed, as an ingest does. What has come in the place of
    the file is closed again unread, whatever it is; a named pipe is not waited for.

    Returns:
        The descriptor, which the caller closes.

    Raises:
        MediaError: it is gone, it has changed, it is not a regular file, or it may not be read.
    """
    try:
        descriptor = os.open(video.path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except ValueError as exc:  # a NUL byte
        raise MediaError("gone", "the file is not there any more; ingest its folder again") from exc
    except OSError as exc:
        raise _not_opened(exc) from exc
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise MediaError("not a file", "it is not a regular file any more; ingest its folder again")
        # As it was stored: file systems hold times that no 64-bit count of nanoseconds can.
        modified_ns = max(-(2**63), min(status.st_mtime_ns, 2**63 - 1))
        _check_stamp(video, status.st_size, modified_ns)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def is_remote(video: VideoFile) -> bool:
    """Whether a video is in an object store or on another server."""
    return bool(scheme_of(video.path))


def check_remote(video: VideoFile) -> None:
    """Check that a video that is not on this machine still is what was indexed, by its size and time.

    Raises:
        MediaError: it is not, it is gone, or it cannot be reached.
    """
    try:
        status = source_of(video.path).stat(video.path)
    except OSError as exc:
        raise _not_opened(exc) from exc
    except UsageError as exc:
        raise MediaError("unreadable", str(exc)) from exc
    if status.kind != "file" or status.problem:
        raise MediaError("not a file", status.problem or "it is not a file any more; ingest its folder again")
    _check_stamp(video, status.size_bytes, status.modified_ns)


def _check_stamp(video: VideoFile, size_bytes: int, modified_ns: int) -> None:
    near = abs(modified_ns // 1000 - video.modified_us) <= 1  # the catalogue's times went through a float of seconds
    if size_bytes != video.size_bytes or not near:
        raise MediaError("changed", "the file has changed since it was indexed; ingest its folder again")


def _not_opened(exc: OSError) -> MediaError:
    if exc.errno in _GONE:
        return MediaError("gone", "the file is not there any more; ingest its folder again")
    if exc.errno in _NOT_A_FILE:
        return MediaError("not a file", "it is not a regular file any more; ingest its folder again")
    return MediaError("unreadable", f"the file cannot be opened: {exc.strerror or exc}")
