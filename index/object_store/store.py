"""The objects below an address, by obstore: got, put on conditions, listed, deleted. Errors come as a LibraryError."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from schemas.errors import LibraryError, UsageError

if TYPE_CHECKING:
    from obstore.store import ClientConfig, ObjectStore, RetryConfig

_CLIENT: ClientConfig = {"connect_timeout": "10s", "timeout": "120s", "allow_http": True, "user_agent": "vidsift"}

# A store that is busy or away is asked again for so long.
_RETRIES: RetryConfig = {"max_retries": 8, "retry_timeout": timedelta(seconds=120)}

# Files above this size are put in parts.
_PART_BYTES = 16 << 20

# Read at a time of files of which some columns are read.
_RANGE_BYTES = 64 << 10


class StoreUnavailableError(LibraryError):
    """A store cannot be reached; later it may be."""


class DamagedError(LibraryError):
    """An object is not as it was written."""


class MissingError(FileNotFoundError):
    """There is no such object; its name is the error's file name."""


class ChangedError(LibraryError):
    """An object is not what it is expected to be: somebody else has put it."""


class Stored(NamedTuple):
    """An object as a listing has it.

    Attributes:
        size_bytes: its size.
        etag: its ETag, without quotes.
        modified_at: when it was put, by the store's clock.
    """

    size_bytes: int
    etag: str
    modified_at: datetime


class Read(NamedTuple):
    """An object that was read: its content, its ETag without quotes, and when it was put, by the store's clock."""

    content: bytes
    etag: str
    modified_at: datetime


class _Ranges(io.RawIOBase):
    """A file that is read by ranges."""

    def __init__(self, read: Callable[[int, int], bytes], size: int) -> None:
        self._read, self._size, self._at = read, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        end = min(self._at + len(buffer), self._size)
        if end <= self._at:
            return 0
        content = self._read(self._at, end)
        buffer[: len(content)] = content
        self._at += len(content)
        return len(content)


class Store:
    """The objects below one address; a name is what comes behind it, with slashes, such as ``snapshots/3/snapshot.json``."""

    def __init__(self, url: str, objects: ObjectStore) -> None:
        """``objects`` are those below ``url``."""
        self._url, self._objects = url, objects
        self._versions: dict[tuple[str, str], str | None] = {}  # of objects that may be put over, by name and ETag

    def read(self, name: str) -> Read | None:
        """An object; None where there is none of that name.

        Raises:
            LibraryError: it cannot be read.
        """
        import obstore

        try:
            with self._explained(name):
                answer = obstore.get(self._objects, name)
                return Read(bytes(answer.bytes()), self._seen(name, answer.meta), answer.meta["last_modified"])
        except MissingError:
            return None

    def etag(self, name: str) -> str | None:
        """An object's ETag; None where there is no such object.

        Raises:
            LibraryError: the store cannot be asked.
        """
        import obstore

        try:
            with self._explained(name):
                return self._seen(name, obstore.head(self._objects, name))
        except MissingError:
            return None

    def fetch(self, name: str, path: Path) -> tuple[str, str]:
        """Write an object into a file, which is there as a whole or not at all, and give its ETag and its SHA-256.

        Raises:
            MissingError: there is no such object.
            LibraryError: it cannot be read.
            OSError: the file cannot be written.
        """
        import obstore

        path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.with_name(f".{path.name}.{os.getpid()}")
        digest = hashlib.sha256()
        try:
            with self._explained(name):
                answer = obstore.get(self._objects, name)
                with aside.open("wb") as stream:
                    for chunk in answer.stream(min_chunk_size=1 << 20):
                        stream.write(chunk)
                        digest.update(chunk)
                    stream.flush()
                    os.fsync(stream.fileno())  # what is known of the file must not outlast it
            aside.replace(path)
        finally:
            aside.unlink(missing_ok=True)
        return _etag(answer.meta["e_tag"]), digest.hexdigest()

    def open(self, name: str) -> BinaryIO:
        """An object as a file whose reading asks for ranges.

        Raises:
            MissingError: there is no such object.
            LibraryError: it cannot be read.
        """
        import obstore

        with self._explained(name):
            size = obstore.head(self._objects, name)["size"]
        return io.BufferedReader(_Ranges(lambda start, end: self._range(name, start, end), size), _RANGE_BYTES)

    def _range(self, name: str, start: int, end: int) -> bytes:
        import obstore

        with self._explained(name):
            return bytes(obstore.get_range(self._objects, name, start=start, end=end))

    def put(self, name: str, content: bytes | Path) -> str:
        """Put an object, whatever was there, and give its ETag.

        Raises:
            LibraryError: it cannot be put.
        """
        import obstore

        try:
            with self._explained(name):
                return _etag(obstore.put(self._objects, name, content, chunk_size=_PART_BYTES)["e_tag"])
        except MissingError:
            raise self._no_bucket() from None

    def put_new(self, name: str, content: bytes) -> str:
        """Put an object where there is none, and give its ETag.

        Raises:
            ChangedError: there is one, of another content.
            LibraryError: it cannot be put.
        """
        return self._put_if(name, content, "create")

    def put_over(self, name: str, content: bytes, etag: str) -> str:
        """Put an object over the one with this ETag, and give the new one.

        Raises:
            ChangedError: the object has another ETag, or is gone.
            LibraryError: it cannot be put.
        """
        if not self._is_current(name, etag):
            return self._put_before(name, content)
        version = self._versions[name, etag]  # Google Cloud Storage goes by that, others by the ETag
        return self._put_if(name, content, {"e_tag": f'"{etag}"'} | ({} if version is None else {"version": version}))

    def _is_current(self, name: str, etag: str) -> bool:
        """Whether the object has this ETag, as far as this process knows or is told now."""
        if (name, etag) not in self._versions:
            self.etag(name)
        return (name, etag) in self._versions

    def _seen(self, name: str, found: Any) -> str:
        """The ETag of an object that was put or asked for."""
        etag = (found["e_tag"] or "").strip('"')
        self._versions[name, etag] = found["version"]
        return etag

    def _put_if(self, name: str, content: bytes, mode: Any) -> str:
        import obstore

        try:
            with self._explained(name):
                return self._seen(name, obstore.put(self._objects, name, content, mode=mode, use_multipart=False))
        except MissingError:
            if mode == "create":
                raise self._no_bucket() from None
        except (obstore.exceptions.AlreadyExistsError, obstore.exceptions.PreconditionError):
            pass
        return self._put_before(name, content)

    def _no_bucket(self) -> LibraryError:
        place = "/".join(self._url.split("/")[:3])
        return LibraryError(f"there is no {place}, or it may not be seen with these credentials; make it first")

    def _put_before(self, name: str, content: bytes) -> str:
        """The ETag of an object that has this content already: the answer to an earlier attempt was lost on its way.

        Raises:
            ChangedError: it has another content.
        """
        there = self.read(name)
        if there is None or there.content != content:
            raise ChangedError(f"{self._url}/{name} was put by somebody else in the meantime; run the command again")
        return there.etag

    def listed(self, prefix: str = "") -> dict[str, Stored]:
        """The objects whose names have this beginning, which ends with a slash or is empty, by name.

        Raises:
            LibraryError: they cannot be listed.
        """
        import obstore

        found = {}
        try:
            with self._explained(prefix):
                for chunk in obstore.list(self._objects, prefix.rstrip("/") or None):
                    for entry in chunk:
                        found[entry["path"]] = Stored(entry["size"], _etag(entry["e_tag"]), entry["last_modified"])
        except MissingError:
            raise self._no_bucket() from None
        return found

    def delete(self, names: Sequence[str]) -> None:
        """Delete objects; those that are gone already are no error.

        Raises:
            LibraryError: one cannot be deleted.
        """
        import obstore

        for begin in range(0, len(names), 1000):
            with suppress(MissingError), self._explained(names[begin]):
                obstore.delete(self._objects, list(names[begin : begin + 1000]))

    @contextmanager
    def _explained(self, name: str) -> Iterator[None]:
        """Errors of obstore as a LibraryError, without the answer's text and the request's address."""
        from obstore import exceptions as failures

        place = f"{self._url}/{name}".rstrip("/")
        try:
            yield
        except FileNotFoundError:
            raise MissingError(errno.ENOENT, "there is no such object", place) from None
        except (failures.AlreadyExistsError, failures.PreconditionError):
            raise
        except (failures.PermissionDeniedError, failures.UnauthenticatedError) as exc:
            raise LibraryError(
                f"the store refuses {place} ({_said(exc)}); see that your credentials may read and write there"
            ) from None
        except (failures.GenericError, TimeoutError) as exc:
            raise StoreUnavailableError(f"{place} cannot be reached ({_said(exc)}); try again later") from None
        except failures.BaseError as exc:
            raise LibraryError(f"{place} cannot be read or written ({_said(exc)})") from None


def open_store(url: str) -> Store:
    """The store below an address of `index.object_store.SCHEMES`.

    Raises:
        UsageError: what reads it is not installed, or the address is not one.
    """
    scheme = url.partition("://")[0]
    try:
        import obstore  # noqa: F401
        from obstore.store import from_url

        arguments = _s3_arguments() if scheme == "s3" else {}
    except ImportError as exc:
        extra = "s3" if scheme == "s3" else "cloud"
        raise UsageError(
            f"{exc.name} is not installed, which {scheme}:// needs; install it: pip install 'vidsift[{extra}]'",
            argument="library",
        ) from exc
    try:
        return Store(url, from_url(url, client_options=_CLIENT, retry_config=_RETRIES, **arguments))
    except Exception as exc:  # noqa: BLE001 - obstore raises several kinds for settings that it cannot use
        raise UsageError(f"{url} cannot be opened ({_said(exc)})", argument="library") from None


def _s3_arguments() -> dict[str, Any]:
    """Credentials and region by boto3's own chain, as sources have them: environment, profiles, roles of machines."""
    import boto3
    from obstore.auth.boto3 import Boto3CredentialProvider

    session = boto3.session.Session()
    arguments: dict[str, Any] = {"region": session.region_name or "us-east-1"}
    if session.get_credentials() is None:
        return arguments | {"skip_signature": True}
    return arguments | {"credential_provider": Boto3CredentialProvider(session)}


def _etag(etag: str | None) -> str:
    """An ETag without its quotes, which some listings leave out."""
    return (etag or "").strip('"')


def _said(exc: Any) -> str:
    """The status of an answer, or the first line of an error, without addresses, which may hold signatures."""
    line = (str(exc).splitlines() or [type(exc).__name__])[0]
    if status := re.search(r"status code: ([^:<]+)", line):
        return status[1].strip()
    return " ".join(word for word in line.split() if "://" not in word)[:200]
