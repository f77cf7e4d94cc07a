"""Locks: a library has one writer at a time, or readers that keep writers away."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from index.storage.config import LibraryConfig, existing_library_config, read_library_config
from index.storage.paths import Library
from index.storage.tables import Tables
from index.storage.working_copies import copy_of
from schemas.channels import CHANNELS
from schemas.errors import LibraryError, LockedError, UsageError
from schemas.records import path_text


@contextmanager
def write_lock(library: Library) -> Iterator[None]:
    """Hold the library's write lock, making its folder where there is none.

    Raises:
        UsageError: Delta Lake or DuckDB cannot use its path.
        LibraryError: the folder cannot be written, or another job holds the lock.
    """
    _check_spelling(library.folder)
    try:
        library.folder.mkdir(parents=True, exist_ok=True)
        _check_links(library)
        lock = os.open(library.lock_file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        stream = os.fdopen(lock, "r+", encoding="utf-8")
    except OSError as exc:
        raise LibraryError(
            f"{library.shown!r} cannot be written: {exc.strerror}; give a folder that you may write to"
        ) from exc
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            stream.seek(0)
            raise _held(library, stream.read()) from exc
        stream.truncate(0)
        stream.write(f"process {os.getpid()} on {os.uname().nodename}\n")
        stream.flush()
        try:
            with _written_in_store(library):
                yield
        finally:
            stream.truncate(0)


@contextmanager
def _written_in_store(library: Library) -> Iterator[None]:
    """Keep the writers of other machines away from a library in an object store, and bring there what the block writes.

    Raises:
        LockedError: one of them is writing.
        LibraryError: the store cannot be read or written.
    """
    copy = copy_of(library.folder)
    if copy is None:
        yield
        return
    copy.begin_writing()
    try:
        try:
            yield
        except BaseException:
            with suppress(LibraryError):  # the error before is the one to tell
                copy.push(is_last=True)
            raise
        copy.push(is_last=True)
    finally:
        copy.end_writing()


@contextmanager
def read_lock(library: Library) -> Iterator[None]:
    """Keep writers away while a library is read. Nothing is written for it: without a lock file, nothing is locked.

    Raises:
        LibraryError: a job is writing it, or one of its folders is a link, so that no job may write it.
    """
    if copy_of(library.folder) is not None:
        with write_lock(library):  # a store has one kind of lock, and the tables are brought here for it
            yield
        return
    with suppress(OSError):  # reading the folder reports it
        _check_links(library)
    try:
        stream = library.lock_file.open(encoding="utf-8")
    except OSError:
        yield  # nobody has written here, or the lock file may not be read
        return
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            raise _held(library, stream.read()) from exc
        except OSError:
            pass  # the file system has no locks
        yield


def _held(library: Library, holder: str) -> LockedError:
    """The error for a locked library; ``holder`` is the lock file's text, which is empty where a reader holds it."""
    holder_text = f"another ingest ({holder.strip()})" if holder.strip() else "another ingest, or read by vidsift verify"
    return LockedError(f"{library.shown!r} is being written by {holder_text}; wait for it to end, or stop it")


@contextmanager
def open_for_writing(folder: Path, *, read_only: bool = False) -> Iterator[tuple[Library, LibraryConfig, Tables]]:
    """Open an existing library's tables under its write lock; with ``read_only``, to read them while writers are kept away.

    Raises:
        LibraryError: there is no library, or as for `write_lock` and `read_lock`.
    """
    library = Library(folder)
    config = existing_library_config(library)
    with read_lock(library) if read_only else write_lock(library):
        annotators = [table.table for table in config.annotator_tables]
        features = config.features != "none"
        yield library, config, Tables(library, features=features, annotators=annotators, read_only=read_only)


def _check_links(library: Library) -> None:
    """Refuse links to folders: files are deleted in the library's folders, and a link may lead to somebody else's files.

    Raises:
        LibraryError: one of the library's own folders is a link, or contains a link to a folder.
        OSError: one of them cannot be read.
    """
    folders = (
        library.videos, library.clips, library.features, library.tags, library.snapshots, library.segments, library.records,
        library.annotations, library.channel_parts, *map(library.channel, CHANNELS), library.duplicates,
        *_annotator_tables(library),
    )  # fmt: skip
    entries = (Path(entry) for folder in folders if folder.is_dir() for entry in os.scandir(folder))
    for path in (*folders, *entries):
        if path.is_symlink() and (path in folders or path.is_dir()):
            raise LibraryError(
                f"{str(path)!r} is a link, and nothing is written or deleted behind it; put the folder itself in "
                "its place, or make the whole library's folder a link"
            )


def _annotator_tables(library: Library) -> list[Path]:
    """Folders of annotators' own tables; none where library.json cannot be read, which whoever opens it will be told."""
    try:
        config = read_library_config(library)
    except LibraryError:
        return []
    return [library.annotator_table(table.table) for table in config.annotator_tables] if config else []


def _check_spelling(folder: Path) -> None:
    """Refuse paths that Delta Lake or DuckDB cannot use: both read paths as URLs, and reject or confuse some characters.

    Raises:
        UsageError: the path contains such a character.
    """
    path = str(folder.absolute())
    odd = {character for character in path if character in "%?[]\\\n" or "\udc80" <= character <= "\udcff"}
    if odd:
        raise UsageError(
            f"got {path_text(path)!r}, expected a path of valid UTF-8 without % ? [ ] \\ and line breaks, "
            "since Delta Lake or DuckDB cannot spell it; give another folder",
            argument="library",
        )
