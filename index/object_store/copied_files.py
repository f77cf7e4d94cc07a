"""The files of a working copy: fetched and checked, put, and known to be as they are in the store."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from index.object_store.manifest import is_as_written
from index.object_store.store import DamagedError, MissingError, Store
from index.storage.atomic_file import replace_file
from schemas.errors import LibraryError

# Requests at a time.
_AT_ONCE = 16


class CopiedFiles:
    """Files of a library under their names in the store; a name has slashes, such as ``snapshots/3/snapshot.json``.

    Attributes:
        etags: by name, the ETag of each file that was as it is in the store when it was last fetched or put.
    """

    def __init__(self, folder: Path, store: Store, state_file: Path) -> None:
        """The files in ``folder``; ``state_file`` keeps what is known of them."""
        self.folder, self.store, self._state_file = folder, store, state_file
        self.etags: dict[str, str] = {}
        self._digests: dict[str, str] = {}  # of files that are replaced under their name

    def load(self) -> None:
        """Read what is known. Where that is lost, nothing is."""
        try:
            state = json.loads(self._state_file.read_text(encoding="utf-8"))
            self.etags, self._digests = dict(state["etags"]), dict(state["digests"])
        except (OSError, ValueError, LookupError, TypeError):
            self.etags, self._digests = {}, {}

    def save(self) -> None:
        """Keep what is known."""
        self._state_file.parent.mkdir(parents=True, exist_ok=True)
        replace_file(self._state_file, json.dumps({"etags": self.etags, "digests": self._digests}) + "\n")

    def drop_missing(self) -> None:
        """Forget what is known of files that are not here, whoever deleted them."""
        for name in [name for name in self.etags if not self.path(name).exists()]:
            self.forget(name)

    def path(self, name: str) -> Path:
        """Where the file of this name is."""
        return self.folder / name

    def names_in(self, parent: str) -> list[str]:
        """Names of the files that are in a folder and below, but for those that are being written."""
        found = []
        for path in sorted(self.path(parent).rglob("*")):
            name = path.relative_to(self.folder)
            if path.is_file() and not any(part.startswith(".") for part in name.parts):
                found.append(name.as_posix())
        return found

    def is_here(self, name: str) -> bool:
        """Whether a file that is written once is here as it is in the store."""
        return name in self.etags and self.path(name).exists()

    def is_pushed(self, name: str) -> bool:
        """Whether a file that is replaced under its name is as it was when it was last fetched or put."""
        path = self.path(name)
        return not path.exists() or self._digests.get(name) == _digest(path.read_bytes())

    def note(self, name: str, etag: str, content: bytes | None = None) -> None:
        """A file is as it is in the store; ``content`` is given for one that is replaced under its name."""
        self.etags[name] = etag
        if content is not None:
            self._digests[name] = _digest(content)

    def forget(self, name: str) -> None:
        """Delete a file here, whatever is in the store."""
        self.path(name).unlink(missing_ok=True)
        self.etags.pop(name, None)
        self._digests.pop(name, None)

    def replace(self, name: str, content: bytes, etag: str) -> None:
        """Write a small file that was read from the store."""
        self.path(name).parent.mkdir(parents=True, exist_ok=True)
        replace_file(self.path(name), content)
        self.note(name, etag, content)

    def fetch(self, hashes: Mapping[str, str | None]) -> None:
        """Fetch files, given by name with their SHA-256 where it is known, and check them.

        Raises:
            MissingError: the store lacks one.
            LibraryError: one cannot be read, or is not as it was written.
        """
        if not hashes:
            return
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            for name, etag in zip(hashes, pool.map(self._fetch_one, hashes.items()), strict=True):
                self.etags[name] = etag

    def _fetch_one(self, file: tuple[str, str | None]) -> str:
        name, expected = file
        for _ in range(2):
            try:
                etag, digest = self.store.fetch(name, self.path(name))
            except MissingError:
                raise
            except OSError as exc:
                raise LibraryError(f"{str(self.folder)!r} cannot be written: {exc.strerror}; make room, or free it") from exc
            if is_as_written(name, digest, expected):
                return etag
            self.path(name).unlink(missing_ok=True)
        raise DamagedError(f"{name} is damaged in its store: it is not as it was written; publish again")

    def put(self, names: Iterable[str]) -> None:
        """Put files.

        Raises:
            LibraryError: one cannot be put.
        """
        names = list(names)
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            for name, etag in zip(names, pool.map(lambda name: self.store.put(name, self.path(name)), names), strict=True):
                self.etags[name] = etag

    def put_replaced(self, name: str) -> None:
        """Put a file over what this machine last saw of it, if it has changed since.

        Raises:
            ChangedError: somebody else has put it.
            LibraryError: it cannot be put.
        """
        if self.is_pushed(name):
            return
        content, known = self.path(name).read_bytes(), self.etags.get(name)
        etag = self.store.put_new(name, content) if known is None else self.store.put_over(name, content, known)
        self.note(name, etag, content)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
