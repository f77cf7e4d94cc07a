"""Sources that are reached over a network: one class over the few calls in which their stores differ."""

from __future__ import annotations

import errno
import random
import time
from collections.abc import Callable, Iterator
from hashlib import blake2b
from typing import BinaryIO, NamedTuple, Protocol, TypeVar, cast

from pipeline.sources.base import Entry, FileChangedError, Status
from pipeline.sources.fetched import count_fetched
from pipeline.sources.page_cache import page_cache
from pipeline.sources.ranged_file import RangedFile

T = TypeVar("T")

# Attempts at what may work the next time, and the seconds before the second; each pause is twice the one before, up to the
# longest, and a random part of it, so that workers do not all come back at once.
_ATTEMPTS, _FIRST_PAUSE_S, _MAX_PAUSE_S = 7, 0.2, 10.0


class TemporaryError(OSError):
    """A failure that another attempt may not meet: a server that is busy, a connection that broke off."""


class RemoteFile(NamedTuple):
    """A file as its store describes it.

    Attributes:
        path: its URL.
        size_bytes: size in bytes.
        modified_ns: when it was written, in nanoseconds since the epoch; 0 where the store does not say.
        version: what the store calls this content: an ETag, a generation, or a time and a size.
        problem: why it cannot be read, where the store says so.
    """

    path: str
    size_bytes: int
    modified_ns: int
    version: str
    problem: str | None = None

    @property
    def status(self) -> Status:
        """The file's status, as `pipeline.sources.base.Source` gives it."""
        return Status("file", self.size_bytes, self.modified_ns, self.problem, self.version)


class RemoteStore(Protocol):
    """The calls in which stores differ. Paths are URLs, without a slash at the end.

    Each raises `TemporaryError` for what another attempt may not meet, and another `OSError` for what it will.
    """

    def head(self, path: str) -> RemoteFile | None:
        """What the store says of a file; None where there is none."""

    def pages(self, folder: str) -> Iterator[Callable[[], list[RemoteFile]]]:
        """Every file below a folder, in the order of paths, some at a time. Each call may be made again after an error."""

    def names(self, folder: str, beginning: str) -> Iterator[Entry]:
        """The files and folders directly in a folder whose names begin so."""

    def fetch(self, path: str, start: int, end: int, version: str) -> bytes:
        """The bytes of this version from ``start`` to ``end``.

        Raises:
            FileChangedError: the file has another version by now.
        """


class RemoteSource:
    """Files of a store; see `pipeline.sources.base.Source`.

    Files are read by ranges (`pipeline.sources.ranged_file`), through the pages that this machine has of them already.
    """

    def __init__(self, store: RemoteStore) -> None:
        self._store = store

    def list_folder(self, folder: str, beginning: str = "") -> list[Entry]:
        """The names; a store that keeps no folders has those that its files' paths go through."""
        return retried(lambda: list(self._store.names(folder, beginning)))

    def list_below(self, folder: str) -> Iterator[Entry]:
        """The files, some at a time: no more than one answer of the store is held."""
        start = len(folder) + 1
        for page in self._store.pages(folder):
            for file in retried(page):
                yield Entry(file.path[start:], is_folder=False, status=file.status)

    def stat(self, path: str) -> Status:
        """What the store says now."""
        file = retried(lambda: self._store.head(path.rstrip("/")))
        if file is not None:
            return file.status
        if retried(lambda: next(self._store.names(path.rstrip("/"), ""), None)) is not None:  # one answer tells
            return Status("folder")
        raise FileNotFoundError(errno.ENOENT, "there is no such file or folder", path)

    def open(self, path: str) -> BinaryIO:
        """A file object over ranges of the version that there is now."""
        file = retried(lambda: self._store.head(path))
        if file is None:
            raise FileNotFoundError(errno.ENOENT, "there is no such file", path)

        def fetch(start: int, end: int) -> bytes:
            return self._fetch(file, start, end)

        digest = blake2b(f"{path}\0{file.version}\0{file.size_bytes}".encode(errors="surrogateescape"), digest_size=16)
        cache = page_cache() if file.version else None  # what has no version might have changed
        return cast(BinaryIO, RangedFile(fetch, file.size_bytes, version=digest.hexdigest(), cache=cache))

    def read_range(self, path: str, start: int, size: int) -> bytes:
        """Bytes of the version that there is now."""
        with self.open(path) as file:
            file.seek(start)
            return file.read(size)

    def local_path(self, path: str) -> None:
        """None: there is no copy of a whole file."""

    def _fetch(self, file: RemoteFile, start: int, end: int) -> bytes:
        def attempt() -> bytes:
            data = self._store.fetch(file.path, start, end, file.version)
            count_fetched(len(data))
            if len(data) != end - start:
                raise TemporaryError(errno.EIO, f"{len(data)} bytes came, expected {end - start}")
            return data

        return retried(attempt)


def changed(path: str) -> FileChangedError:
    """The error of a file that is not what it was when it was opened."""
    return FileChangedError(errno.ESTALE, "it has changed while it was read", path)


def retried(call: Callable[[], T]) -> T:
    """What ``call`` gives, after as many attempts as it takes.

    Raises:
        OSError: an error of ``call``; where it is a `TemporaryError`, all attempts met one.
    """
    for attempt in range(_ATTEMPTS - 1):
        try:
            return call()
        except TemporaryError:
            pause_s = min(_FIRST_PAUSE_S * 2**attempt, _MAX_PAUSE_S)
            time.sleep(pause_s * (0.5 + random.random() / 2))
    try:
        return call()
    except TemporaryError as exc:
        raise OSError(exc.errno, f"{exc.strerror}; {_ATTEMPTS} attempts were made") from exc
