"""Google Cloud Storage and Azure Blob Storage, by obstore: ``gs://bucket/key`` and ``az://container/key``.

Credentials come as each provider's own tools find them: environment variables, application default credentials, managed
identities. The account of ``az://`` is that of AZURE_STORAGE_ACCOUNT_NAME.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any

import obstore
from obstore import exceptions as failures
from obstore.store import from_url

from pipeline.sources.base import Entry
from pipeline.sources.remote import RemoteFile, TemporaryError, changed

if TYPE_CHECKING:
    from obstore import ObjectMeta
    from obstore.store import ClientConfig, ObjectStore, RetryConfig

_CLIENT: ClientConfig = {"connect_timeout": "10s", "timeout": "120s", "allow_http": True, "user_agent": "vidsift"}

# No attempts of its own: they are made in `pipeline.sources.remote`.
_RETRIES: RetryConfig = {"max_retries": 0}

_NEVER = datetime.fromtimestamp(0, UTC)

# Objects that are held at a time.
_CHUNK = 1000


class CloudStore:
    """Objects of buckets; see `pipeline.sources.remote.RemoteStore`."""

    def __init__(self, scheme: str) -> None:
        self._scheme = scheme

    def head(self, path: str) -> RemoteFile | None:
        """A request for the object's headers."""
        bucket, key = self._split(path)
        return _head(_store(self._scheme, bucket), key, path) if key else None

    def pages(self, folder: str) -> Iterator[Callable[[], list[RemoteFile]]]:
        """A thousand objects at a time. An attempt after an error begins behind the last object that came."""
        bucket, key = self._split(folder)
        store, last, stream = _store(self._scheme, bucket), "", None
        is_done = False

        def page() -> list[RemoteFile]:
            nonlocal last, stream, is_done
            try:
                with explained(folder):
                    stream = stream or iter(obstore.list(store, key or None, offset=last or None, chunk_size=_CHUNK))
                    found = next(stream, None)
            except OSError:
                stream = None
                raise
            if not found:
                is_done = True
                return []
            last = found[-1]["path"]
            return [_remote_file(f"{self._scheme}://{bucket}/{entry['path']}", entry) for entry in found]

        while not is_done:
            yield page

    def names(self, folder: str, beginning: str) -> Iterator[Entry]:
        """The objects from the beginning on, a thousand at a time; those of a folder below stand for it, once."""
        bucket, key = self._split(folder)
        store, above = _store(self._scheme, bucket), f"{key}/" if key else ""
        last_folder = ""
        with explained(folder):
            start = f"{above}{beginning}" if beginning else None
            for chunk in obstore.list(store, key or None, offset=start, chunk_size=_CHUNK):
                for entry in chunk:
                    if not entry["path"].startswith(above + beginning):
                        return
                    name, _, below = entry["path"][len(above) :].partition("/")
                    if not below:
                        yield Entry(name, is_folder=False, status=_remote_file("", entry).status)
                    elif name != last_folder:
                        last_folder = name
                        yield Entry(name, is_folder=True)

    def fetch(self, path: str, start: int, end: int, version: str) -> bytes:
        """A range of the object, if its ETag still is ``version``."""
        bucket, key = self._split(path)
        return _fetch(_store(self._scheme, bucket), key, path, start, end, version)

    def _split(self, path: str) -> tuple[str, str]:
        bucket, _, key = path.removeprefix(f"{self._scheme}://").partition("/")
        return bucket, key


@cache
def _store(scheme: str, bucket: str) -> ObjectStore:
    with explained(f"{scheme}://{bucket}"):
        return from_url(f"{scheme}://{bucket}", client_options=_CLIENT, retry_config=_RETRIES)


def _head(store: ObjectStore, key: str, path: str) -> RemoteFile | None:
    """What a store says of an object; None where there is none."""
    try:
        with explained(path):
            return _remote_file(path, obstore.head(store, key))
    except FileNotFoundError:
        return None


def _remote_file(path: str, found: ObjectMeta) -> RemoteFile:
    """An object as obstore describes it. One without an ETag has its time for a version, which `fetch` compares."""
    modified = found["last_modified"]
    modified_ns = 0 if modified == _NEVER else int(modified.timestamp()) * 10**9
    version = found["e_tag"] or (f"at {modified_ns}" if modified_ns else "")
    if found["e_tag"] and not version.endswith('"'):  # Azure's listings leave the quotes out
        version = f'"{version}"'
    return RemoteFile(path, found["size"], modified_ns, version)


def _fetch(store: ObjectStore, key: str, path: str, start: int, end: int, version: str) -> bytes:
    """A range of an object, if it has this version.

    Raises:
        FileChangedError: it has another by now.
    """
    with explained(path):
        # A weak ETag never matches (RFC 9110, 13.1.1); what came is compared below.
        strong = version if version.startswith('"') else None
        answer = obstore.get(store, key, options={"range": (start, end), "if_match": strong})
        if version and _remote_file(path, answer.meta).version != version:
            raise changed(path)
        return bytes(answer.bytes())


@contextmanager
def explained(path: str) -> Iterator[None]:
    """Errors of obstore as those of the system: their first line, without the answer's text and the request's address."""
    try:
        yield
    except FileNotFoundError as exc:
        raise FileNotFoundError(errno.ENOENT, "there is no such object", path) from exc
    except failures.PreconditionError:
        raise changed(path) from None
    except (failures.PermissionDeniedError, failures.UnauthenticatedError) as exc:
        raise PermissionError(errno.EACCES, f"the store refuses it ({_said(exc)})", path) from None
    except failures.InvalidPathError as exc:
        reason = f"the listing has a key that obstore cannot read ({_said(exc)}); rename it"
        raise OSError(errno.EINVAL, reason, path) from None
    except (failures.GenericError, TimeoutError) as exc:
        said = _said(exc)
        if "416" in said:
            raise changed(path) from None
        raise TemporaryError(errno.EIO, f"the store cannot be asked ({said})", path) from None
    except failures.NotSupportedError:
        reason = "the server gives no parts of files (Range requests), which are needed; copy the file to where it does"
        raise OSError(errno.EOPNOTSUPP, reason, path) from None
    except (failures.BaseError, ValueError) as exc:
        raise OSError(errno.EIO, f"the store cannot be asked ({_said(exc)})", path) from None


def _said(exc: Any) -> str:
    """The first line of an error, without addresses, which may hold signatures."""
    line = (str(exc).splitlines() or [type(exc).__name__])[0]
    return " ".join(word for word in line.split() if "://" not in word)[:200]
