"""Pages of remote files on this machine's disk, so that what one process has fetched no other fetches again."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import NamedTuple

from pipeline.cache_folder import cache_folder

PAGE_BYTES = 1 << 18
"""The size of a page: small enough for the two ends of a file, of which a request is worth ten."""

# The pages that are kept, in MB, where the variable does not say.
_VARIABLE, _DEFAULT_MB = "VIDSIFT_PAGE_CACHE_MB", 2048

# A process looks at what all have written after it has written this share of the limit itself, and then drops the oldest
# pages until this share of the limit is left.
_LOOK_AFTER, _LEAVE = 1 / 32, 3 / 4


@cache
def page_cache() -> PageCache | None:
    """The cache of this machine's user. ``VIDSIFT_PAGE_CACHE_MB`` says how large it may become; None where that is 0."""
    try:
        megabytes = int(os.environ.get(_VARIABLE, _DEFAULT_MB))
    except ValueError:
        megabytes = _DEFAULT_MB
    return PageCache(cache_folder("pages"), megabytes << 20) if megabytes > 0 else None


class PageCache:
    """Files of one page each, in a folder for each version of a remote file.

    Processes share it without locks: a page is written aside and renamed, and never changes. It may grow some percent beyond
    its limit before one of them notices. A disk that is full or cannot be written costs speed and nothing else.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        """Use ``folder``, which is made for this user alone."""
        self._folder, self._max_bytes = folder, max_bytes
        self._written = 0

    def get(self, version: str, number: int) -> bytes | None:
        """A page of a version of a file; None where it is not here."""
        try:
            return (self._folder / version / f"{number:x}").read_bytes()
        except OSError:
            return None

    def has(self, version: str, number: int) -> bool:
        """Whether `get` would find the page."""
        return os.path.exists(self._folder / version / f"{number:x}")

    def put(self, version: str, number: int, page: bytes) -> None:
        """Keep a page."""
        folder = self._folder / version
        with suppress(OSError):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=folder, delete=False) as file:
                file.write(page)
            os.replace(file.name, folder / f"{number:x}")
            self._written += len(page)
        if self._written > self._max_bytes * _LOOK_AFTER:
            self._written = 0
            with suppress(OSError):
                self._drop_oldest()

    def _drop_oldest(self) -> None:
        pages = sorted(self._pages())
        total = sum(page.size_bytes for page in pages)
        if total <= self._max_bytes:
            return
        for page in pages:
            if total <= self._max_bytes * _LEAVE:
                break
            total -= page.size_bytes
            with suppress(OSError):
                os.unlink(page.path)
        for folder in self._folder.iterdir():
            with suppress(OSError):  # it is not empty
                folder.rmdir()

    def _pages(self) -> Iterator[_Page]:
        for folder in self._folder.iterdir():
            with suppress(OSError), os.scandir(folder) as entries:
                for entry in entries:
                    with suppress(OSError):  # another process has dropped it
                        status = entry.stat()
                        yield _Page(status.st_mtime_ns, status.st_size, entry.path)


class _Page(NamedTuple):
    written_ns: int
    size_bytes: int
    path: str
