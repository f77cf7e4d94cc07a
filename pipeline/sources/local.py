"""The local disk, and whatever is mounted on it."""

from __future__ import annotations

import errno
import os
import stat
from typing import BinaryIO

from pipeline.sources.base import Entry, Status

_KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a character device",
    stat.S_IFBLK: "a block device",
}


class LocalDisk:
    """Files of this machine; see `pipeline.sources.base.Source`."""

    def list_folder(self, folder: str, beginning: str = "") -> list[Entry]:
        """One system call for many names; the files' sizes and times are left to `stat`."""
        with os.scandir(folder) as entries:
            return [_entry(listed) for listed in entries if listed.name.startswith(beginning)]

    def list_below(self, folder: str) -> None:
        """A disk lists folder by folder, so that whole folders can be left out."""

    def stat(self, path: str) -> Status:
        """The status of what a link leads to; of a link to nothing, its own."""
        try:
            status = os.stat(path)
        except ValueError as exc:  # a NUL byte, or half a surrogate pair
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path) from exc
        except OSError as exc:
            os.lstat(path)
            return Status("link", problem=f"cannot be looked at: {exc.strerror}")
        # File systems hold times that no 64-bit count of nanoseconds can (after 2262).
        modified_ns = max(-(2**63), min(status.st_mtime_ns, 2**63 - 1))
        if stat.S_ISDIR(status.st_mode):
            return Status("folder", status.st_size, modified_ns)
        if not stat.S_ISREG(status.st_mode):
            kind = _KINDS.get(stat.S_IFMT(status.st_mode), "something else")
            return Status("other", status.st_size, modified_ns, f"not a regular file but {kind}")
        problem = None if os.access(path, os.R_OK) else f"cannot be read: {os.strerror(errno.EACCES)}"
        return Status("file", status.st_size, modified_ns, problem)

    def open(self, path: str) -> BinaryIO:
        """A file object of Python's own."""
        return open(path, "rb")

    def read_range(self, path: str, start: int, size: int) -> bytes:
        """Bytes of the file."""
        with open(path, "rb") as file:
            file.seek(start)
            return file.read(size)

    def local_path(self, path: str) -> str:
        """The path as it is: FFmpeg reads a file faster than it reads a file object of Python's."""
        return path


def _entry(listed: os.DirEntry[str]) -> Entry:
    try:
        is_folder = listed.is_dir()
    except OSError:
        is_folder = False
    return Entry(listed.name, is_folder, is_folder and listed.is_symlink())
