"""Amazon S3 and what speaks its protocol, by boto3: ``s3://bucket/key``.

Credentials, region and endpoint come by boto3's own chain: environment, profiles, single sign-on, roles of machines. Where
it finds none, requests are not signed, which is how public buckets are read. A bucket's keys are taken as they are, also
those with empty parts (``a//b.mp4``), which the Rust object stores refuse together with the page that lists them.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import boto3
import botocore.exceptions as failures
from botocore import UNSIGNED
from botocore.config import Config

from pipeline.sources.base import Entry
from pipeline.sources.remote import RemoteFile, TemporaryError, changed

# Seconds to wait for a connection, and for the next bytes of an answer.
_CONNECT_S, _READ_S = 10, 30

_SCHEME = "s3://"

# Objects of one answer; S3 gives no more.
_KEYS = 1000

_MISSING = frozenset({"404", "NoSuchKey", "NotFound"})
_REFUSED = frozenset({
    "401", "403", "AccessDenied", "AccountProblem", "AllAccessDisabled", "ExpiredToken", "InvalidAccessKeyId",
    "InvalidObjectState", "InvalidToken", "RequestTimeTooSkewed", "SignatureDoesNotMatch", "TokenRefreshRequired",
})  # fmt: skip
_CHANGED = frozenset({"412", "416", "ConditionalRequestConflict", "InvalidRange", "PreconditionFailed"})
_BUSY = frozenset({
    "429", "500", "502", "503", "504", "BandwidthLimitExceeded", "InternalError", "OperationAborted", "RequestTimeout",
    "RequestTimeoutException", "ServiceUnavailable", "SlowDown", "ThrottledException", "Throttling", "ThrottlingException",
    "TooManyRequestsException",
})  # fmt: skip


class S3Store:
    """Objects of S3; see `pipeline.sources.remote.RemoteStore`."""

    def head(self, path: str) -> RemoteFile | None:
        """A request for the object's headers."""
        bucket, key = _split(path)
        if not key:
            return None
        try:
            with _explained(path):
                found = _client(os.getpid()).head_object(Bucket=bucket, Key=key)
        except FileNotFoundError:
            return None
        modified_ns = int(found["LastModified"].timestamp()) * 10**9
        return RemoteFile(path, found["ContentLength"], modified_ns, found["ETag"])

    def pages(self, folder: str) -> Iterator[Callable[[], list[RemoteFile]]]:
        """A thousand objects at a time. Objects that stand for folders, whose keys end with a slash, are left out."""
        bucket, key = _split(folder)
        token = ""

        def page() -> list[RemoteFile]:
            nonlocal token
            answer = _list(folder, Bucket=bucket, Prefix=_prefix(key), **({"ContinuationToken": token} if token else {}))
            token = answer.get("NextContinuationToken", "") if answer["IsTruncated"] else ""
            return [_file(bucket, found) for found in answer.get("Contents", ()) if not found["Key"].endswith("/")]

        yield page
        while token:
            yield page

    def names(self, folder: str, beginning: str) -> Iterator[Entry]:
        """Objects and common prefixes, up to the next slash."""
        bucket, key = _split(folder)
        prefix = _prefix(key)
        token: dict[str, str] = {}
        while True:
            answer = _list(folder, Bucket=bucket, Prefix=prefix + beginning, Delimiter="/", **token)
            for found in answer.get("Contents", ()):
                if name := found["Key"][len(prefix) :]:
                    yield Entry(name, is_folder=False, status=_file(bucket, found).status)
            for found in answer.get("CommonPrefixes", ()):
                if name := found["Prefix"][len(prefix) : -1]:
                    yield Entry(name, is_folder=True)
            if not answer["IsTruncated"]:
                return
            token = {"ContinuationToken": answer["NextContinuationToken"]}

    def fetch(self, path: str, start: int, end: int, version: str) -> bytes:
        """A range of the object, if its ETag still is ``version``."""
        bucket, key = _split(path)
        with _explained(path):
            answer = _client(os.getpid()).get_object(
                Bucket=bucket, Key=key, Range=f"bytes={start}-{end - 1}", IfMatch=version
            )
            data: bytes = answer["Body"].read()
        return data


def _split(path: str) -> tuple[str, str]:
    bucket, _, key = path.removeprefix(_SCHEME).partition("/")
    return bucket, key


def _prefix(key: str) -> str:
    return f"{key}/" if key else ""


def _file(bucket: str, found: dict[str, Any]) -> RemoteFile:
    modified_ns = int(found["LastModified"].timestamp()) * 10**9
    return RemoteFile(f"{_SCHEME}{bucket}/{found['Key']}", found["Size"], modified_ns, found["ETag"])


def _list(folder: str, **arguments: Any) -> dict[str, Any]:
    with _explained(folder):
        answer: dict[str, Any] = _client(os.getpid()).list_objects_v2(MaxKeys=_KEYS, **arguments)
        return answer


@cache
def _client(pid: int) -> Any:
    """This process's client, which its threads share. Attempts are made in `pipeline.sources.remote`."""
    session = boto3.session.Session()
    unsigned = {} if session.get_credentials() else {"signature_version": UNSIGNED}
    config = Config(
        connect_timeout=_CONNECT_S,
        read_timeout=_READ_S,
        retries={"total_max_attempts": 1},
        max_pool_connections=16,
        **unsigned,
    )
    region = session.region_name or "us-east-1"  # S3 says where a bucket is, and boto3 goes there
    return session.client("s3", config=config, region_name=region)


@contextmanager
def _explained(path: str) -> Iterator[None]:
    """Errors of boto3 as those of the system. What they say holds no credential."""
    try:
        yield
    except failures.ClientError as exc:
        raise _error(path, exc.response.get("Error", {})) from None
    except (failures.NoCredentialsError, failures.PartialCredentialsError, failures.ProfileNotFound) as exc:
        raise PermissionError(errno.EACCES, f"no credentials for S3: {exc}", path) from None
    except (failures.TokenRetrievalError, failures.SSOError, failures.CredentialRetrievalError) as exc:
        raise PermissionError(errno.EACCES, f"credentials for S3 cannot be had: {exc}", path) from None
    except failures.ParamValidationError as exc:
        raise OSError(errno.EINVAL, f"S3 has no such name: {str(exc).splitlines()[-1]}", path) from None
    except (failures.HTTPClientError, failures.IncompleteReadError, failures.ResponseStreamingError) as exc:
        raise TemporaryError(errno.EIO, f"the connection to S3 failed: {_line(exc)}", path) from None
    except failures.BotoCoreError as exc:
        raise OSError(errno.EIO, f"S3 cannot be asked: {_line(exc)}", path) from None


def _error(path: str, error: dict[str, str]) -> OSError:
    """The error of an answer, by its code."""
    code, message = str(error.get("Code", "")), str(error.get("Message", ""))
    said = f"{code}: {message}" if message and message != code else code
    if code in _MISSING:
        return FileNotFoundError(errno.ENOENT, "there is no such object", path)
    if code == "NoSuchBucket":
        return FileNotFoundError(errno.ENOENT, "there is no such bucket", path)
    if code in _CHANGED:
        return changed(path)
    if code in _REFUSED:
        hint = "" if boto3.session.Session().get_credentials() else "; it was asked without credentials, none were found"
        return PermissionError(errno.EACCES, f"S3 refuses it ({said}){hint}", path)
    if code in _BUSY:
        return TemporaryError(errno.EAGAIN, f"S3 is busy ({said})", path)
    return OSError(errno.EIO, f"S3 answers {said}", path)


def _line(exc: Exception) -> str:
    return str(exc).splitlines()[0] if str(exc) else type(exc).__name__
