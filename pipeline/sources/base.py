"""The protocol of a source: a place where videos live, such as the local disk."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import BinaryIO, Literal, NamedTuple, Protocol

Kind = Literal["file", "folder", "link", "other"]


class Status(NamedTuple):
    """A path as its source describes it, without opening anything.

    Attributes:
        kind: ``link`` is a link that leads to nothing; ``other`` is what must not be opened, such as a named pipe.
        size_bytes: size in bytes.
        modified_ns: modification time in nanoseconds since the epoch; a signed 64-bit number.
        problem: why it cannot be read, as a sentence for ``videos.error``; None where it can be.
        version: what its store calls this content, an ETag or the like; empty where the source has no such thing.
    """

    kind: Kind
    size_bytes: int = 0
    modified_ns: int = 0
    problem: str | None = None
    version: str = ""


class FileChangedError(OSError):
    """A file that is not any more what it was when it was opened."""


class Entry(NamedTuple):
    """A name in a folder.

    Attributes:
        name: without the folder.
        is_folder: whether it is a folder, or a link to one.
        is_link: whether it is a link to a folder, which is not followed.
        status: what `Source.stat` would say, where the source learns it by listing; else None.
    """

    name: str
    is_folder: bool
    is_link: bool = False
    status: Status | None = None


class Source(Protocol):
    """A place where videos live. Paths are whole, with the scheme that the source is registered for."""

    def list_folder(self, folder: str, beginning: str = "") -> Iterable[Entry]:
        """The files and folders directly in ``folder`` whose names begin so, in any order.

        Raises:
            OSError: it is not a folder, or it cannot be read.
        """

    def list_below(self, folder: str) -> Iterator[Entry] | None:
        """Every file below ``folder``, each with its status, in the order of paths; names are paths below the folder.

        None where the source lists folder by folder.

        Raises:
            OSError: it cannot be read, or not to the end; raised while it is listed.
        """

    def stat(self, path: str) -> Status:
        """The status of a path.

        Raises:
            FileNotFoundError: nothing has this path.
            NotADirectoryError: likewise, since it is below a file.
            OSError: the source cannot tell, as below a folder that is locked.
        """

    def open(self, path: str) -> BinaryIO:
        """A file to be read at random: it has ``read``, ``seek`` and ``tell``, and is closed by the caller.

        Raises:
            OSError: it cannot be opened.
        """

    def read_range(self, path: str, start: int, size: int) -> bytes:
        """``size`` bytes from byte ``start`` on; fewer where the file ends.

        Raises:
            OSError: it cannot be read.
        """

    def local_path(self, path: str) -> str | None:
        """The file's path on this machine, for libraries in C that open it themselves; None where it has none."""
