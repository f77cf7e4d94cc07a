"""A folder of renderings, of which those used least recently are deleted beyond a limit."""

from __future__ import annotations

import math
import os
import re
import shutil
import stat
import tempfile
import threading
import time
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

# The names of renderings: a key and the number of bytes, so that a file that was cut short is told by its name.
_NAME = re.compile(r"([0-9a-f]{40})-([0-9]{1,15})\.(?:jpg|webp|mp4)")

# Folders of work that was given up, such as by a server that was killed, are deleted after this many seconds.
_WORK = ".work-"
_ABANDONED_S = 6 * 3600.0

# A rendering that was used this many seconds ago is not deleted: whoever asked for it may not have opened it yet.
_IN_USE_S = 10.0


class _Entry(NamedTuple):
    """A rendering in the folder; ``used`` is on the clock of `time.monotonic`."""

    path: Path
    size_bytes: int
    used: float


class RenderingCache:
    """The renderings in a folder, for any thread. Files of other names are left alone; damaged ones are made again.

    Attributes:
        size_bytes: bytes of all renderings.
        deleted: how many were deleted for the limit.
    """

    def __init__(self, folder: Path, limit_bytes: int, *, in_use_s: float = _IN_USE_S) -> None:
        """Read what is there; the folder is made where there is none.

        Raises:
            OSError: the folder cannot be made or read.
        """
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder, self._limit_bytes, self._in_use_s = folder, limit_bytes, in_use_s
        self._entries: OrderedDict[str, _Entry] = OrderedDict()  # by key, those used last at the end
        self._lock = threading.Lock()
        self.size_bytes = self.deleted = 0
        found: list[tuple[float, str, _Entry]] = []
        with os.scandir(folder) as listed:
            for item in listed:
                with suppress(OSError):
                    status = item.stat(follow_symlinks=False)
                    match = _NAME.fullmatch(item.name)
                    if match and stat.S_ISREG(status.st_mode):
                        found.append((status.st_atime, match[1], _Entry(Path(item.path), status.st_size, -math.inf)))
                    elif item.name.startswith(_WORK) and time.time() - status.st_mtime > _ABANDONED_S:
                        shutil.rmtree(item.path, ignore_errors=True)
        for _, key, entry in sorted(found, key=lambda one: one[0]):
            self._put(key, entry)
        self._delete_beyond_limit()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: str) -> Path | None:
        """The rendering of a key; None where there is none, or what is there is not what was put there."""
        with self._lock:
            return self._get(key)

    def _get(self, key: str) -> Path | None:
        entry = self._entries.get(key)
        if entry is None:
            return None
        match = _NAME.fullmatch(entry.path.name)
        try:
            status = os.stat(entry.path, follow_symlinks=False)
            if match is not None and stat.S_ISREG(status.st_mode) and status.st_size == int(match[2]):
                # The order of use outlasts this process; validators in answers go by the other time, which stays.
                os.utime(entry.path, ns=(time.time_ns(), status.st_mtime_ns))
                self._put(key, entry._replace(used=time.monotonic()))
                return entry.path
            entry.path.unlink()
        except OSError:
            pass  # it is gone, or something else has its name
        self._forget(key)
        return None

    def work_folder(self) -> Path:
        """A new empty folder beside the renderings, to be given to `discard`."""
        return Path(tempfile.mkdtemp(prefix=_WORK, dir=self._folder))

    def discard(self, work_folder: Path) -> None:
        """Delete a folder of `work_folder`, and what is in it."""
        shutil.rmtree(work_folder, ignore_errors=True)

    def put(self, key: str, made: Path) -> Path:
        """Take a file that was made in a `work_folder`, as a whole.

        Args:
            key: 40 hexadecimal digits.
            made: the file; its ending is kept.

        Raises:
            OSError: it is not there, or cannot be moved.
        """
        with made.open("rb") as file:
            os.fsync(file.fileno())
            size_bytes = os.fstat(file.fileno()).st_size
        path = self._folder / f"{key}-{size_bytes}{made.suffix}"
        with self._lock:
            made.replace(path)
            self._put(key, _Entry(path, size_bytes, time.monotonic()))
            self._delete_beyond_limit()
        return path

    def _put(self, key: str, entry: _Entry) -> None:
        before = self._entries.get(key)
        self._forget(key)
        if before is not None and before.path != entry.path:
            with suppress(OSError):
                before.path.unlink()
        self._entries[key] = entry
        self.size_bytes += entry.size_bytes

    def _forget(self, key: str) -> None:
        entry = self._entries.pop(key, None)
        self.size_bytes -= 0 if entry is None else entry.size_bytes

    def _delete_beyond_limit(self) -> None:
        earliest = time.monotonic() - self._in_use_s
        while self.size_bytes > self._limit_bytes and self._entries:
            key, entry = next(iter(self._entries.items()))
            if entry.used > earliest:
                return
            with suppress(OSError):
                entry.path.unlink()
            self._forget(key)
            self.deleted += 1
