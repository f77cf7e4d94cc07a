"""Libraries in object stores: ``s3://bucket/key``, ``gs://bucket/key``, ``az://container/key``.

Such a library is read and written in a working copy, a folder in the user's cache (`index.object_store.working_copy`).
"""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

from index.storage.working_copies import copy_of, register
from pipeline.cache_folder import cache_folder
from pipeline.sources.find import check_address
from schemas.errors import UsageError

SCHEMES = ("s3", "gs", "az")
"""The schemes of the addresses of libraries. Their stores can put an object on the condition that nobody else has."""

# Variables that name the server of a scheme's addresses, or the account: there the same address is another library.
_SERVERS = {
    "s3": ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"),
    "az": ("AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_ENDPOINT", "AZURE_STORAGE_USE_EMULATOR"),
}

_ADDRESS = re.compile(r"([a-z][a-z0-9+.-]*):/+(.*)", re.DOTALL)


def library_folder(location: str | os.PathLike[str]) -> Path:
    """The folder in which a library is read and written; for an address that of its working copy. Asks no store yet.

    Args:
        location: a folder, or the address of a library in an object store.

    Raises:
        UsageError: the address is not one of a library, or what reads it is not installed.
    """
    match = _ADDRESS.fullmatch(os.fspath(location))
    if not match or os.path.exists(location):
        return Path(location)
    scheme, place = match[1], match[2].rstrip("/")
    if scheme not in SCHEMES:
        expected = ", ".join(f"{known}://" for known in SCHEMES)
        raise UsageError(f"got an address of {scheme}://, expected a folder or one of {expected}", argument="library")
    url = f"{scheme}://{place}"
    check_address(url, "library")
    bucket, _, key = place.partition("/")
    parts = key.split("/")
    if not bucket or not key or any(part in ("", ".", "..") for part in parts) or re.search(r"[?#%\[\]\\\s]", place):
        raise UsageError(
            f"got {url}, expected {scheme}://BUCKET/KEY, of which the key has no empty parts, blanks or ? # % [ ] \\",
            argument="library",
        )
    where = [os.environ.get(name, "") for name in _SERVERS.get(scheme, ())]
    digest = hashlib.sha256("\0".join([url, *where]).encode()).hexdigest()[:16]
    folder = cache_folder("libraries") / digest / parts[-1]
    if copy_of(folder) is None:
        from index.object_store.store import open_store
        from index.object_store.working_copy import ObjectStoreCopy

        register(folder, ObjectStoreCopy(url, folder, open_store(url)))
    return folder
