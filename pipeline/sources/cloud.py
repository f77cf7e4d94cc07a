"""Google Cloud Storage and Azure Blob Storage, by obstore: ``gs://bucket/key`` and ``az://container/key``.

Credentials come as each provider's own tools find them: environment variables, application default credentials, managed
identities. The account of ``az://`` is that of AZURE_STORAGE_ACCOUNT_NAME.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import TYPE_CHECKING

import obstore
from obstore.store import from_url

from pipeline.sources.base import Entry
from pipeline.sources.obstore_calls import CLIENT, RETRIES, explained, fetch, head, remote_file
from pipeline.sources.remote import RemoteFile

if TYPE_CHECKING:
    from obstore.store import ObjectStore

# Objects that are held at a time.
_CHUNK = 1000


class CloudStore:
    """Objects of buckets; see `pipeline.sources.remote.RemoteStore`."""

    def __init__(self, scheme: str) -> None:
        self._scheme = scheme

    def head(self, path: str) -> RemoteFile | None:
        """A request for the object's headers."""
        bucket, key = self._split(path)
        return head(_store(self._scheme, bucket), key, path) if key else None

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
            return [remote_file(f"{self._scheme}://{bucket}/{entry['path']}", entry) for entry in found]

        while not is_done:
            yield page

    def names(self, folder: str, beginning: str) -> Iterator[Entry]:
        """Objects and common prefixes; where a beginning is given, the objects from there on."""
        bucket, key = self._split(folder)
        store, above = _store(self._scheme, bucket), f"{key}/" if key else ""
        with explained(folder):
            if not beginning:
                found = obstore.list_with_delimiter(store, key or None)
                for prefix in found["common_prefixes"]:
                    yield Entry(prefix.rsplit("/", 1)[-1], is_folder=True)
                for entry in found["objects"]:
                    yield Entry(entry["path"].rsplit("/", 1)[-1], is_folder=False, status=remote_file("", entry).status)
                return
            for chunk in obstore.list(store, key or None, offset=above + beginning, chunk_size=_CHUNK):
                for entry in chunk:
                    if not entry["path"].startswith(above + beginning):
                        return
                    name, _, below = entry["path"][len(above) :].partition("/")
                    yield Entry(name, is_folder=bool(below), status=None if below else remote_file("", entry).status)

    def fetch(self, path: str, start: int, end: int, version: str) -> bytes:
        """A range of the object, if its ETag still is ``version``."""
        bucket, key = self._split(path)
        return fetch(_store(self._scheme, bucket), key, path, start, end, version)

    def _split(self, path: str) -> tuple[str, str]:
        bucket, _, key = path.removeprefix(f"{self._scheme}://").partition("/")
        return bucket, key


@cache
def _store(scheme: str, bucket: str) -> ObjectStore:
    with explained(f"{scheme}://{bucket}"):
        return from_url(f"{scheme}://{bucket}", client_options=CLIENT, retry_config=RETRIES)
