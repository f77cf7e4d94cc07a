"""A folder of renderings, of bounded size: what was not used for longest is deleted first."""

from __future__ import annotations

import os
import re
import threading
from pathlib import Path

_NAME = re.compile(r"[0-9a-f]{40}\.(jpg|webp|mp4)")

# Down to this share of the limit is deleted at a time.
_KEPT_SHARE = 0.9


class RenderingCache:
    """Files by key. Other files in the folder are left alone. Several servers may share a folder.

    Attributes:
        hits: how many were there when they were asked for.
        misses: how many were not.
        size_bytes: of all files.
    """

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        """Open the folder, and make it where it is not there.

        Raises:
            OSError: it cannot be made or written.
        """
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._folder, self._limit_bytes, self._lock = folder, limit_bytes, threading.Lock()
        self.hits = self.misses = 0
        self.size_bytes = sum(size for _, size, _ in self._files())

    def find(self, name: str) -> Path | None:
        """The file of that name, which counts as used now; None where there is none."""
        path = self._folder / name
        try:
            os.utime(path)
        except OSError:
            self.misses += 1
            return None
        self.hits += 1
        return path

    def place_for(self, name: str) -> Path:
        """Where to write a file before it is `keep`-ed."""
        return self._folder / f".{os.getpid()}-{threading.get_ident()}-{name}"

    def keep(self, written: Path, name: str) -> Path:
        """Give a written file its name, and delete others where they are too many."""
        path = self._folder / name
        size = written.stat().st_size
        os.replace(written, path)
        with self._lock:
            self.size_bytes += size
            if self.size_bytes > self._limit_bytes:
                self._shrink(path)
        return path

    def _shrink(self, newest: Path) -> None:
        files = sorted(self._files())
        self.size_bytes = sum(size for _, size, _ in files)
        for _, size, path in files:
            if self.size_bytes <= _KEPT_SHARE * self._limit_bytes:
                break
            if path != newest:
                path.unlink(missing_ok=True)
                self.size_bytes -= size

    def _files(self) -> list[tuple[float, int, Path]]:
        """When each was used last, its size in bytes, and where it is."""
        files = []
        for path in self._folder.iterdir():
            if _NAME.fullmatch(path.name):
                try:
                    found = path.stat()
                except OSError:  # another server has deleted it
                    continue
                files.append((found.st_mtime, found.st_size, path))
        return files
