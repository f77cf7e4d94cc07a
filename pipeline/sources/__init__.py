"""Where videos live. To add a place: a file here with a `pipeline.sources.base.Source`, and a line in `SOURCES`.

A path is a plain string everywhere, in records and tables too. Its scheme says which source it belongs to: ``s3://...`` to
the one that is registered for ``s3``. A path without a scheme, or with one that nobody has registered, is on the local disk.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from typing import TYPE_CHECKING, BinaryIO

from schemas.errors import UsageError

if TYPE_CHECKING:
    from pipeline.sources.base import Kind, Source
    from pipeline.sources.remote import RemoteStore

_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*)://")


@cache
def _local() -> Source:
    from pipeline.sources.local import LocalDisk

    return LocalDisk()


@cache
def _s3() -> Source:
    with _extra("s3"):
        from pipeline.sources.s3 import S3Store
    return _remote(S3Store())


@cache
def _cloud(scheme: str) -> Source:
    with _extra("cloud"):
        from pipeline.sources.cloud import CloudStore
    return _remote(CloudStore(scheme))


@cache
def _web() -> Source:
    from pipeline.sources.web import WebStore

    return _remote(WebStore())


@cache
def _sftp() -> Source:
    with _extra("sftp"):
        from pipeline.sources.sftp import SftpStore
    return _remote(SftpStore())


def _remote(store: RemoteStore) -> Source:
    from pipeline.sources.remote import RemoteSource

    return RemoteSource(store)


@contextmanager
def _extra(name: str) -> Iterator[None]:
    """Say which extra is missing, where what is imported in the block is.

    Raises:
        UsageError: it is.
    """
    try:
        yield
    except ImportError as exc:
        raise UsageError(
            f"{exc.name} is not installed, which reads them; install it: pip install 'vidsift[{name}]'", argument="sources"
        ) from exc


SOURCES: dict[str, Callable[[], Source]] = {
    "": _local,
    "s3": _s3,
    "gs": partial(_cloud, "gs"),
    "az": partial(_cloud, "az"),
    "https": _web,
    "http": _web,
    "sftp": _sftp,
}


def scheme_of(path: str) -> str:
    """The scheme of a path, by which `SOURCES` knows its source; empty for the local disk."""
    match = _SCHEME.match(path)
    return match[1] if match and match[1] in SOURCES else ""


def source_of(path: str) -> Source:
    """The source that a path belongs to."""
    return SOURCES[scheme_of(path)]()


def absolute_path(path: str, folder: str = "") -> str:
    """The path as it is called from any folder, without ``.`` and ``..`` in it.

    Args:
        path: what a user or a file named.
        folder: where relative paths are taken from; empty is the current folder.
    """
    scheme = scheme_of(path) or (scheme_of(folder) if not os.path.isabs(path) else "")
    if not scheme:
        return os.path.abspath(os.path.join(folder, path))
    whole = path if scheme_of(path) else f"{folder}/{path}"
    return f"{scheme}://{os.path.normpath(whole.removeprefix(f'{scheme}://'))}"


def real_path(path: str) -> str:
    """The path without links in it, where its source has any."""
    return path if scheme_of(path) else os.path.realpath(path)


def exists(path: str) -> bool:
    """Whether something has this path, be it a link to nothing. False where its source cannot tell."""
    return kind_of(path) is not None


def is_file(path: str) -> bool:
    """Whether this is the path of a file that may be opened. False where its source cannot tell."""
    return kind_of(path) == "file"


def is_folder(path: str) -> bool:
    """Whether this is the path of a folder. False where its source cannot tell."""
    return kind_of(path) == "folder"


def kind_of(path: str) -> Kind | None:
    """The kind of what has this path; None where nothing has it, and where its source cannot tell."""
    try:
        return source_of(path).stat(path).kind
    except OSError:
        return None


@contextmanager
def decodable(path: str) -> Iterator[str | BinaryIO]:
    """A video as libraries in C take it: its local path, which is fastest; or, where it has none, a file object.

    Raises:
        OSError: it cannot be opened.
    """
    source = source_of(path)
    local_path = source.local_path(path)
    if local_path is not None:
        yield local_path
        return
    with source.open(path) as file:
        yield file
