"""A working copy: a folder that holds as much of a library in an object store as this machine has needed so far.

    CACHE/libraries/DIGEST/NAME/     the library's files under the same names as in the store
    CACHE/libraries/DIGEST/.store/   state.json: the ETag of each file that is as in the store; lock: who uses the folder

The store is the truth. Readers take the snapshot that its ``CURRENT`` names, and check its files by hash. A writer has
the store's lease. It commits and publishes in the folder, and brings each commit to the store in this order: Parquet files,
then the entries of the tables' logs in the order in which they were written, each put where there is none; then segments and
the snapshot; last ``CURRENT``, over the one that this writer has read. So whatever a writer that dies has brought over is a
whole library. What it committed and did not bring over is brought over by the next writer on this machine, unless somebody
else has written in between: then it is dropped, and made again.
"""

from __future__ import annotations

import fcntl
import logging
import os
import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, BinaryIO

from index.object_store.copied_files import CopiedFiles
from index.object_store.fetch import CURRENT, LOG_FILE, fetch_small, fetch_snapshot
from index.object_store.lease import Lease, this_process
from index.object_store.push import delete_files_of_no_version, push_all
from index.object_store.reconcile import reconcile
from index.object_store.room import LOCK, READERS, UNPUSHED
from index.object_store.store import MissingError, Store, StoreUnavailableError
from index.object_store.stored_tables import TOKEN, StoredTables
from schemas.errors import LibraryError, VidsiftError

REFRESH_S = 10.0
"""Seconds after which an open library asks its store whether there is a newer snapshot."""

_ATTEMPTS = 3

_log = logging.getLogger(__name__)


class ObjectStoreCopy:
    """The working copy of one library; see `index.storage.working_copies.WorkingCopy`."""

    def __init__(self, url: str, folder: Path, store: Store) -> None:
        """Nothing is read yet."""
        self._url, self._private = url, folder.parent / ".store"
        self._files = CopiedFiles(folder, store, self._private / "state.json")
        self._store, self._lease = store, Lease(store, url)
        self._is_writing, self._is_pushed, self._token = False, False, uuid.uuid4().hex
        self._lock: IO[str] | None = None
        self._readers: IO[str] | None = None
        self._refreshing = threading.Lock()
        self._refreshed_at: float | None = None
        self._history_of: str | None = None  # the ETag of CURRENT when the history was fetched

    @property
    def url(self) -> str:
        """The address of the library."""
        return self._url

    @property
    def tables(self) -> StoredTables:
        """Where workers of this process put files for the tables."""
        return StoredTables(self._url, self._token)

    def refresh(self) -> None:
        """Fetch the current snapshot: the first time now, and every `REFRESH_S` in a thread while readers go on.

        Raises:
            LibraryError: the store cannot be read, the first time.
        """
        if self._is_writing or (self._refreshed_at is not None and time.monotonic() - self._refreshed_at < REFRESH_S):
            return
        if self._refreshed_at is None:
            with self._refreshing:
                if self._refreshed_at is None:
                    self._keep_open()
                    self._fetch_current()
                    self._refreshed_at = time.monotonic()
        elif self._refreshing.acquire(blocking=False):
            self._refreshed_at = time.monotonic()
            threading.Thread(target=self._refresh_aside, name="refresh", daemon=True).start()

    def _keep_open(self) -> None:
        """Let nobody make room of this working copy while this process lives."""
        with _explained(self._private):
            self._private.mkdir(parents=True, exist_ok=True)
            self._readers = (self._private / READERS).open("a+", encoding="utf-8")
            fcntl.flock(self._readers, fcntl.LOCK_SH)

    def _refresh_aside(self) -> None:
        try:
            self._fetch_current()
        except VidsiftError as exc:
            _log.warning("%s: readers go on with what they have: %s", self._url, exc)
        finally:
            self._refreshing.release()

    def _fetch_current(self) -> None:
        """Fetch the current snapshot, unless another process of this machine is at it, or writes here.

        Raises:
            LibraryError: the store cannot be read, or an object is damaged.
        """
        with self._alone(wait=not self._files.path(CURRENT).exists()) as is_alone:
            for attempt in range(_ATTEMPTS) if is_alone else ():
                try:
                    with _explained(self._private):
                        fetch_snapshot(self._files)
                    return
                except MissingError as exc:  # deleted meanwhile, since newer ones were published
                    if attempt == _ATTEMPTS - 1:
                        raise LibraryError(f"its snapshot names {exc.filename}, which is not there; publish again") from exc

    def fetch_history(self) -> None:
        """Fetch the description of every snapshot there ever was; for a writer, the whole logs of the tables too.

        Raises:
            LibraryError: the store cannot be read.
        """
        if self._is_writing:
            names = [name for name in self._store.listed() if LOG_FILE.fullmatch(name)]
            self._files.fetch({name: None for name in names if not self._files.is_here(name)})
            return
        if self._history_of is not None and self._history_of == self._files.etags.get(CURRENT):
            return
        with self._alone(wait=True) as is_alone:
            if is_alone:
                known = self._files.etags
                listed = self._store.listed("snapshots/").items()
                new = [name for name, of in listed if name.endswith("/snapshot.json") and known.get(name) != of.etag]
                self._files.fetch(dict.fromkeys(new))
                self._history_of = self._files.etags.get(CURRENT)

    def bring(self, name: str) -> None:
        """Fetch a file that is replaced under its name, if the store has another.

        Raises:
            LibraryError: the store cannot be read.
        """
        with self._alone(wait=True) as is_alone:
            if is_alone:
                fetch_small(self._files, name)

    def put(self, name: str) -> None:
        """Put such a file, if it has changed here.

        Raises:
            ChangedError: somebody else has put it.
            LibraryError: the store cannot be written.
        """
        with self._alone(wait=True) as is_alone:
            if is_alone:
                self._files.put_replaced(name)

    def fetch_logs(self) -> None:
        """Fetch what is needed to open the current versions of the tables.

        Raises:
            LibraryError: the store cannot be read, or was changed meanwhile.
        """
        with self._alone(wait=True) as is_alone:
            try:
                if is_alone:  # a writer of this machine keeps the folder as it should be
                    reconcile(self._files)
            except MissingError as exc:
                raise LibraryError(f"{exc.filename} was deleted while its tables were read; try again") from exc

    def make_local(self, files: Sequence[Path]) -> None:
        """Fetch files of tables that are missing in the folder.

        Raises:
            LibraryError: one is missing in the store too, or cannot be read.
        """
        missing = [self._name(path) for path in files if not path.exists()]
        try:
            self._files.fetch(dict.fromkeys(missing))
        except MissingError as exc:
            raise LibraryError(f"its tables name {exc.filename}, which is not there; restore it from a backup") from exc

    def open_file(self, file: Path) -> BinaryIO:
        """A file of a table, opened in the store.

        Raises:
            LibraryError: it is missing there, or cannot be read.
        """
        try:
            return self._store.open(self._name(file))
        except MissingError as exc:
            raise LibraryError(f"its tables name {exc.filename}, which is not there; restore it from a backup") from exc

    def _name(self, file: Path) -> str:
        return file.absolute().relative_to(self._files.folder.absolute()).as_posix()

    def drop_files(self, kept: Mapping[str, set[str]]) -> None:
        """Delete the Parquet files of tables in the store but for these, by table: a compaction has replaced the others.

        Raises:
            LibraryError: the store cannot be written.
        """
        self.push(is_last=True)
        delete_files_of_no_version(self._files, kept, self._lease.confirm)

    def begin_writing(self) -> None:
        """Take the store's lease, and bring the folder to the state of the store.

        Raises:
            LockedError: another writer holds it.
            LibraryError: the store cannot be read or written.
        """
        self._is_pushed = False
        try:
            self._lease.take(this_process())
            with _explained(self._private):
                self._private.mkdir(parents=True, exist_ok=True)
                self._lock = (self._private / LOCK).open("a+", encoding="utf-8")
                fcntl.flock(self._lock, fcntl.LOCK_EX)
                _say(self._lock, "writing")
                (self._private / UNPUSHED).touch()
                (self._private / TOKEN).write_text(self._token, encoding="ascii")
                self._files.load()
                reconcile(self._files)
            self._is_writing = True
            self.push(is_last=False)
        except BaseException:
            self.end_writing()
            raise

    def end_writing(self) -> None:
        """Let other writers in."""
        self._is_writing = False
        try:
            self._lease.release()
        finally:
            if self._lock is not None:
                if self._is_pushed:
                    (self._private / UNPUSHED).unlink(missing_ok=True)
                _say(self._lock, "")
                self._lock.close()
                self._lock = None

    def push(self, *, is_last: bool) -> None:
        """Bring to the store what was committed and published in the folder.

        Raises:
            LibraryError: somebody else has written there, or the store cannot be reached and this is the last push.
        """
        if not self._is_writing:
            return
        self._is_pushed = False
        self._lease.check()
        try:
            push_all(self._files, self._lease.check, self._lease.confirm)
            self._is_pushed = True
        except StoreUnavailableError as exc:
            if is_last:
                raise LibraryError(
                    f"{exc.message}; what was done is kept on this machine: run the same command here again when the store "
                    "can be reached"
                ) from exc
        finally:
            self._files.save()

    @contextmanager
    def _alone(self, *, wait: bool) -> Iterator[bool]:
        """Whether this process alone changes the folder within the block.

        Args:
            wait: for another process that fetches; one that writes is never waited for.
        """
        if self._is_writing:
            yield False
            return
        self._private.mkdir(parents=True, exist_ok=True)
        with (self._private / LOCK).open("a+", encoding="utf-8") as lock:
            while not _try_lock(lock):
                lock.seek(0)
                if not wait or lock.read() == "writing":
                    yield False
                    return
                time.sleep(0.1)
            _say(lock, "")
            self._files.load()
            try:
                yield True
            finally:
                self._files.save()


@contextmanager
def _explained(folder: Path) -> Iterator[None]:
    """Errors of the disk as a LibraryError.

    Raises:
        LibraryError: the folder cannot be written.
    """
    try:
        yield
    except MissingError:
        raise
    except OSError as exc:
        raise LibraryError(
            f"{str(folder.parent)!r} cannot be written: {exc.strerror}; make room, or let XDG_CACHE_HOME name another disk"
        ) from exc


def _try_lock(stream: IO[str]) -> bool:
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _say(lock: IO[str], text: str) -> None:
    """Write into the lock's file what it is held for."""
    lock.truncate(0)
    lock.write(text)
    lock.flush()
    os.fsync(lock.fileno())
