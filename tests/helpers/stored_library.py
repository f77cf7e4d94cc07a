"""A library in an object store that is kept in memory, and machines that read and write it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from obstore.store import MemoryStore

from index.object_store.store import Store, StoreUnavailableError
from index.object_store.working_copy import ObjectStoreCopy
from index.snapshot.publish import publish_tables
from index.storage.config import read_library_config, write_library_config
from index.storage.lock import write_lock
from index.storage.paths import Library
from index.storage.tables import Tables
from index.storage.working_copies import register
from jobs.maintain.verify import verify
from schemas.errors import LibraryError
from tests.helpers.library_builder import sql
from tests.helpers.tagged_library import IDENTITY, commit

URL = "s3://archive/libs/films"

Vectors = Sequence[NDArray[np.float32]]


class CountedStore(Store):
    """Objects in memory, with a count of what is asked; it may break off.

    Attributes:
        asked: the calls so far: what, and the object's name.
        changes_left: after so many puts and deletes nothing more can be changed; None is no limit.
        is_away: whether it cannot be reached by who changes something.
    """

    def __init__(self) -> None:
        super().__init__(URL, MemoryStore())
        self.asked: list[tuple[str, str]] = []
        self.changes_left: int | None = None
        self.is_away = False

    def read(self, name: str) -> Any:
        self.asked.append(("read", name))
        return super().read(name)

    def fetch(self, name: str, path: Path) -> tuple[str, str]:
        self.asked.append(("fetch", name))
        return super().fetch(name, path)

    def put(self, name: str, content: bytes | Path) -> str:
        self._changed("put", name)
        return super().put(name, content)

    def _put_if(self, name: str, content: bytes, mode: Any) -> str:
        if name != "ingest.lease":
            self._changed("put", name)
        return super()._put_if(name, content, mode)

    def delete(self, names: Sequence[str]) -> None:
        for name in names:
            self._changed("delete", name)
        super().delete(names)

    def _changed(self, what: str, name: str) -> None:
        if self.is_away:
            raise StoreUnavailableError(f"{URL}/{name} cannot be reached (made up); try again later")
        if self.changes_left is not None:
            self.changes_left -= 1
            if self.changes_left < 0:
                raise LibraryError("the machine is gone")
        self.asked.append((what, name))

    def names(self, prefix: str = "") -> list[str]:
        return sorted(self.listed(prefix))

    def listed(self, prefix: str = "") -> Any:
        self.asked.append(("list", prefix))
        return super().listed(prefix)

    def of(self, what: str) -> list[str]:
        """The names that were asked for in this way."""
        return [name for asked, name in self.asked if asked == what]


class Machine:
    """A machine with a working copy of the library."""

    def __init__(self, place: Path, store: Store) -> None:
        self.folder, self.store = place / "films", store
        self.copy = self._opened()

    def restart(self) -> None:
        """A new process on this machine, which knows what lies on its disk."""
        if self.copy._readers is not None:
            self.copy._readers.close()
        self.copy = self._opened()

    def _opened(self) -> ObjectStoreCopy:
        copy = ObjectStoreCopy(URL, self.folder, self.store)
        register(self.folder, copy)
        return copy

    @contextmanager
    def writing(self) -> Iterator[tuple[Library, Tables]]:
        """The library's tables, opened under its lock, as an ingest opens them; the library is made where there is none."""
        library = Library(self.folder)
        with write_lock(library):
            if read_library_config(library) is None:
                write_library_config(library, IDENTITY)
            yield library, Tables(library)

    def write(self, videos: Mapping[str, Vectors]) -> None:
        """Commit videos by path, and publish."""
        with self.writing() as (library, tables):
            for path, vectors in videos.items():
                commit(tables, path, vectors)
            tables.drop_orphans()
            publish_tables(library, tables, IDENTITY)

    def paths(self) -> list[str]:
        """The paths of the videos that readers see."""
        return [row["path"] for row in sql(self.folder, "select path from videos order by path")]

    def breaches(self) -> list[str]:
        """What a verification of the library finds to be wrong."""
        return [str(check) for check in verify(self.folder) if check.breach]
