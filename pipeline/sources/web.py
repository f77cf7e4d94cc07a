"""Files of web servers, by obstore: ``https://host/folder/film.mp4``. A folder is what its page links to below itself."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from functools import cache
from html.parser import HTMLParser
from typing import TYPE_CHECKING
from urllib.parse import unquote, urljoin, urlsplit

import obstore
from obstore.store import HTTPStore

from pipeline.sources.base import Entry
from pipeline.sources.obstore_calls import CLIENT, RETRIES, explained, fetch, head
from pipeline.sources.remote import RemoteFile

if TYPE_CHECKING:
    from obstore.store import ObjectStore

# Bytes of a page of links, and links that are followed from one folder to the next.
_MAX_PAGE_BYTES = 64 << 20
_MAX_DEPTH = 64


class WebStore:
    """Files of web servers; see `pipeline.sources.remote.RemoteStore`. Names are quoted, as links have them."""

    def head(self, path: str) -> RemoteFile | None:
        """A request for the file's headers. A page that stands for a folder is no file."""
        store, key = _split(path)
        return head(store, key, path) if key else None

    def pages(self, folder: str) -> Iterator[Callable[[], list[RemoteFile]]]:
        """One file at a time: a page of links says neither sizes nor versions."""
        for path in self._below(folder, 0):
            yield lambda path=path: [file] if (file := self.head(path)) else []  # type: ignore[misc]

    def _below(self, folder: str, depth: int) -> Iterator[str]:
        if depth > _MAX_DEPTH:
            raise OSError(errno.ELOOP, f"its folders are more than {_MAX_DEPTH} deep", folder)
        for entry in sorted(self.names(folder, "")):
            path = f"{folder}/{entry.name}"
            if entry.is_folder:
                yield from self._below(path, depth + 1)
            else:
                yield path

    def names(self, folder: str, beginning: str) -> Iterator[Entry]:
        """The links of a folder's page that lead to something directly below it."""
        store, key = _split(folder)
        with explained(folder):
            answer = obstore.get(store, f"{key}/" if key else "")
            if answer.meta["size"] > _MAX_PAGE_BYTES:
                raise OSError(errno.EFBIG, f"its page is larger than {_MAX_PAGE_BYTES >> 20} MB", folder)
            page = bytes(answer.bytes())
        if b"<" not in page[:1024]:
            raise NotADirectoryError(errno.ENOTDIR, "it is no page of links; give the addresses of its videos", folder)
        for name in _links(page.decode("utf-8", "replace"), f"{folder}/"):
            if name.startswith(beginning):
                yield Entry(name.rstrip("/"), is_folder=name.endswith("/"))

    def fetch(self, path: str, start: int, end: int, version: str) -> bytes:
        """A range of the file, if it has this version still."""
        store, key = _split(path)
        return fetch(store, key, path, start, end, version)


def _links(page: str, base: str) -> list[str]:
    """The names directly below ``base`` that a page links to, each once; folders end with a slash."""
    found: dict[str, None] = {}

    class Links(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            target = urljoin(base, dict(attrs).get("href") or "") if tag == "a" else ""
            name = target.removeprefix(base) if target.startswith(base) else ""
            if name.strip("./") and not set("?#") & set(name) and "/" not in name.rstrip("/"):
                found[name] = None

    Links().feed(page)
    return list(found)


def _split(path: str) -> tuple[ObjectStore, str]:
    """The store of a server, and the path there."""
    parts = urlsplit(path)
    return _store(f"{parts.scheme}://{parts.netloc}"), unquote(parts.path).strip("/")


@cache
def _store(server: str) -> ObjectStore:
    with explained(server):
        return HTTPStore.from_url(server, client_options=CLIENT, retry_config=RETRIES)
