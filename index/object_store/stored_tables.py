"""Where workers put Parquet files for the tables of a library in an object store."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from index.object_store.store import open_store

TOKEN = "writer"
"""The file of a working copy that says which process writes there."""

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class StoredTables:
    """The tables of a library in an object store, as workers on any machine see them.

    Attributes:
        url: the library's address.
        token: names the process that commits. Workers that see its working copy write there, and it brings their files over;
            others bring them over themselves.
    """

    url: str
    token: str

    def write(self, folder: Path, tables: Collection[str], write: Callable[[Path], _T]) -> _T:
        """Let ``write`` write files for tables, and give what it gives.

        Args:
            folder: that of the working copy.
            tables: the names of the tables that may get files.
            write: gets ``folder``, or another with a folder for each table, whose files are in the store afterwards.

        Raises:
            OSError: a file cannot be written.
            LibraryError: one cannot be put.
        """
        if self._is_here(folder):
            return write(folder)
        with tempfile.TemporaryDirectory(prefix="vidsift-") as name:
            place = Path(name)
            for table in tables:
                (place / table).mkdir()
            written = write(place)
            store = open_store(self.url)
            for path in sorted(place.rglob("*.parquet")):
                store.put(path.relative_to(place).as_posix(), path)
            return written

    def _is_here(self, folder: Path) -> bool:
        """Whether the process that commits works on this folder of this machine."""
        try:
            return (folder.parent / ".store" / TOKEN).read_text(encoding="ascii") == self.token
        except OSError:
            return False
