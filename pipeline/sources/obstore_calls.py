"""What the sources by obstore share: how its store is asked, and what its errors mean."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import obstore
from obstore import exceptions as failures

from pipeline.sources.remote import RemoteFile, TemporaryError, changed

if TYPE_CHECKING:
    from obstore import ObjectMeta
    from obstore.store import ClientConfig, ObjectStore, RetryConfig

CLIENT: ClientConfig = {"connect_timeout": "10s", "timeout": "120s", "allow_http": True, "user_agent": "vidsift"}

RETRIES: RetryConfig = {"max_retries": 0}
"""None of its own: attempts are made in `pipeline.sources.remote`."""

_NEVER = datetime.fromtimestamp(0, UTC)


def head(store: ObjectStore, key: str, path: str) -> RemoteFile | None:
    """What a store says of an object; None where there is none."""
    try:
        with explained(path):
            return remote_file(path, obstore.head(store, key))
    except FileNotFoundError:
        return None


def remote_file(path: str, found: ObjectMeta) -> RemoteFile:
    """An object as obstore describes it. One without an ETag has its time for a version, which `fetch` compares."""
    modified = found["last_modified"]
    modified_ns = 0 if modified == _NEVER else int(modified.timestamp()) * 10**9
    return RemoteFile(path, found["size"], modified_ns, found["e_tag"] or (f"at {modified_ns}" if modified_ns else ""))


def fetch(store: ObjectStore, key: str, path: str, start: int, end: int, version: str) -> bytes:
    """A range of an object, if it has this version.

    Raises:
        FileChangedError: it has another by now.
    """
    with explained(path):
        # A weak ETag never matches (RFC 9110, 13.1.1); what came is compared below.
        strong = version if version.startswith('"') else None
        answer = obstore.get(store, key, options={"range": (start, end), "if_match": strong})
        if version and remote_file(path, answer.meta).version != version:
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
