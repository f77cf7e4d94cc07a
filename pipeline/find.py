"""Find the videos below what the user named."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from pathlib import Path

from schemas.errors import UsageError, VideoError
from schemas.records import VideoFile

# Endings that people's videos have. A file named outright is taken whatever it is called.
VIDEO_SUFFIXES = frozenset(
    [
        ".3g2",
        ".3gp",
        ".asf",
        ".avi",
        ".divx",
        ".dv",
        ".f4v",
        ".flv",
        ".gif",
        ".m2ts",
        ".m2v",
        ".m4v",
        ".mjpeg",
        ".mjpg",
        ".mkv",
        ".mov",
        ".mp4",
        ".mpe",
        ".mpeg",
        ".mpg",
        ".mts",
        ".mxf",
        ".ogm",
        ".ogv",
        ".qt",
        ".rm",
        ".rmvb",
        ".ts",
        ".vob",
        ".webm",
        ".wmv",
        ".y4m",
    ]
)

_KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a character device",
    stat.S_IFBLK: "a block device",
}


def check_sources(sources: Sequence[str | Path]) -> None:
    """See that there is something at each of ``sources``.

    Raises:
        UsageError: there is nothing at one.
    """
    for source in sources:
        if not os.path.lexists(source):
            raise UsageError(
                f"SOURCE: no such file or folder: {str(source)!r}; give folders or video files that exist "
                f"(the current folder is {os.getcwd()!r})"
            )


def find_videos(sources: Sequence[str | Path]) -> Iterator[VideoFile | tuple[VideoFile, VideoError]]:
    """Yield every video below ``sources`` once, in the order of names within a folder.

    Hidden files and folders are passed over, and links to folders are not followed. Something with a video's name that is
    no regular readable file comes with the error that says so, since opening it could hang; so does a folder that cannot be
    read, since nothing is known of the videos in it.

    Raises:
        UsageError: a source does not exist.
    """
    check_sources(sources)
    seen: set[str] = set()
    for source in sources:
        unreadable: list[OSError] = []
        for path in _walk(os.path.abspath(source), unreadable):
            if path not in seen:
                seen.add(path)
                yield _describe(path)
        for exc in unreadable:
            if exc.filename not in seen:
                seen.add(exc.filename)
                yield VideoFile(exc.filename, 0, 0), VideoError("find", f"the folder cannot be read: {exc.strerror}")


def _walk(source: str, unreadable: list[OSError]) -> Iterator[str]:
    if not os.path.isdir(source):
        yield source
        return
    for folder, subfolders, names in os.walk(source, onerror=unreadable.append):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        for name in sorted(names):
            if not name.startswith(".") and os.path.splitext(name)[1].lower() in VIDEO_SUFFIXES:
                yield os.path.join(folder, name)


def _describe(path: str) -> VideoFile | tuple[VideoFile, VideoError]:
    try:
        status = os.stat(path)
    except OSError as exc:
        return VideoFile(path, 0, 0), VideoError("find", f"cannot be looked at: {exc.strerror}")
    # File systems hold times that no 64-bit count of nanoseconds can (after 2262).
    file = VideoFile(path, status.st_size, max(-(2**63), min(status.st_mtime_ns, 2**63 - 1)))
    kind = stat.S_IFMT(status.st_mode)
    if kind != stat.S_IFREG:
        return file, VideoError("find", f"not a regular file but {_KINDS.get(kind, 'something else')}")
    if status.st_size == 0:
        return file, VideoError("find", "the file is empty (0 bytes)")
    if not os.access(path, os.R_OK):
        return file, VideoError("find", "cannot be read: Permission denied")
    return file


def ends_hash(path: str) -> bytes:
    """16 bytes of BLAKE2b over the file's first and last 64 KiB; empty where it cannot be read."""
    digest = blake2b(digest_size=16)
    try:
        with open(path, "rb") as stream:
            digest.update(stream.read(1 << 16))
            stream.seek(max(0, os.fstat(stream.fileno()).st_size - (1 << 16)))
            digest.update(stream.read())
    except OSError:
        return b""
    return digest.digest()


def content_hash(path: str) -> str:
    """32 hex digits of BLAKE2b over the whole file. One core hashes about 1 GB/s, far faster than it decodes.

    Raises:
        VideoError: the file cannot be read.
    """
    digest = blake2b(digest_size=16)
    try:
        with open(path, "rb") as stream:
            while chunk := stream.read(1 << 20):
                digest.update(chunk)
    except OSError as exc:
        raise VideoError("find", f"cannot be read: {exc.strerror}") from exc
    return digest.hexdigest()
