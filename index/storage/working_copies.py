"""Working copies: folders of this machine in which libraries that live in object stores are read and written.

All code works on the folder, as on any library. Here it says when something is about to be read, and when something has been
written; what brings the folder and the store together is in `index.object_store`. A library that lives in its folder has no
working copy, and nothing is done here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol

if TYPE_CHECKING:
    from index.object_store.stored_tables import StoredTables


class WorkingCopy(Protocol):
    """The working copy of a library in an object store."""

    @property
    def url(self) -> str:
        """The address of the library."""

    @property
    def tables(self) -> StoredTables:
        """Where workers put files for the tables."""

    def refresh(self) -> None:
        """Bring what readers need into the folder: the first time now, later beside those who read."""

    def begin_writing(self) -> None:
        """Keep other writers away from the store, and bring what writers need into the folder."""

    def push(self, *, is_last: bool) -> None:
        """Bring to the store what was committed and published in the folder."""

    def end_writing(self) -> None:
        """Let other writers in."""

    def bring(self, name: str) -> None:
        """Bring a file that is replaced under its name into the folder, if the store has another."""

    def put(self, name: str) -> None:
        """Bring such a file to the store, if it has changed here."""

    def make_local(self, files: Sequence[Path]) -> None:
        """Bring these files of tables into the folder, where they are missing."""

    def open_file(self, file: Path) -> BinaryIO:
        """A file of a table, opened in the store."""

    def drop_files(self, kept: Mapping[str, set[str]]) -> None:
        """Delete all Parquet files of tables in the store but for these, by table."""

    def fetch_logs(self) -> None:
        """Bring the logs of the tables into the folder, for one who reads tables and writes nothing."""

    def fetch_history(self) -> None:
        """Bring the description of every snapshot into the folder; for a writer, the whole logs of the tables too."""


_COPIES: dict[Path, WorkingCopy] = {}


def register(folder: Path, copy: WorkingCopy) -> None:
    """Say that a folder is a working copy, for as long as this process lives."""
    _COPIES[folder.absolute()] = copy


def copy_of(folder: Path) -> WorkingCopy | None:
    """The working copy in a folder; None for a library that lives there."""
    return _COPIES.get(folder.absolute()) if _COPIES else None


def refresh(folder: Path) -> None:
    """A library is about to be read.

    Raises:
        LibraryError: its store cannot be read.
    """
    if (copy := copy_of(folder)) is not None:
        copy.refresh()


def push(folder: Path) -> None:
    """Something was committed or published in a library. A store that cannot be reached is tried again at the next push.

    Raises:
        LibraryError: its store cannot be written, or somebody else has written there.
    """
    if (copy := copy_of(folder)) is not None:
        copy.push(is_last=False)


def fetch_history(folder: Path) -> None:
    """The history of a library is about to be read, or gone back in.

    Raises:
        LibraryError: its store cannot be read.
    """
    if (copy := copy_of(folder)) is not None:
        copy.fetch_history()


def fetch_logs(folder: Path) -> None:
    """Tables of a library are about to be opened by one who does not write it. Their Parquet files are not fetched.

    Raises:
        LibraryError: the store cannot be read.
    """
    if (copy := copy_of(folder)) is not None:
        copy.fetch_logs()


def bring(file: Path) -> None:
    """A file in a library's folder that is replaced under its name, and belongs to no commit, is about to be read.

    Raises:
        LibraryError: its store cannot be read.
    """
    if (copy := copy_of(file.parent)) is not None:
        copy.bring(file.name)


def put(file: Path) -> None:
    """Such a file was written.

    Raises:
        LibraryError: its store cannot be written, or somebody else has put the file there.
    """
    if (copy := copy_of(file.parent)) is not None:
        copy.put(file.name)


def missing_files(files: Sequence[str]) -> dict[str, Callable[[], BinaryIO]]:
    """Those of a table's Parquet files that are not in their folder, by path, each with what opens it in the store.

    Opening raises a LibraryError where the file is missing in the store too, or cannot be read. Reading asks for ranges.
    """
    copy = copy_of(Path(files[0]).parent.parent) if _COPIES and files else None
    if copy is None:
        return {}
    return {file: partial(copy.open_file, Path(file)) for file in files if not Path(file).exists()}


def local_files(files: Sequence[str]) -> list[str]:
    """Parquet files of a library's tables, which are in their folder afterwards.

    Raises:
        LibraryError: one is missing in the store, or cannot be read from there.
    """
    if _COPIES and files:
        paths = [Path(file) for file in files]
        if (copy := copy_of(paths[0].parent.parent)) is not None:
            copy.make_local(paths)
    return list(files)
