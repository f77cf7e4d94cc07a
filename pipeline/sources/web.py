"""Files of web servers, by requests: ``https://host/folder/film.mp4``. A folder is what its page links to below itself.

Servers that ask for a name and a password get those of ``~/.netrc``. Names are quoted, as links have them.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from functools import cache
from html.parser import HTMLParser
from urllib.parse import quote, urljoin

import requests

from pipeline.sources.base import Entry
from pipeline.sources.remote import RemoteFile, TemporaryError, changed, retried

# Seconds to wait for a connection, and for the next bytes of an answer.
_WAIT_S = (10, 30)

# Bytes of a page of links, and links that are followed from one folder to the next.
_MAX_PAGE_BYTES = 64 << 20
_MAX_DEPTH = 64

_BUSY = frozenset({408, 425, 429, 500, 502, 503, 504})


class WebStore:
    """Files of web servers; see `pipeline.sources.remote.RemoteStore`."""

    def head(self, path: str) -> RemoteFile | None:
        """A request for the file's headers. What the server sends on to an address with a slash at its end is a folder."""
        with _answer("HEAD", path) as answer:
            if answer.status_code in (404, 410) or answer.url.endswith("/"):
                return None
            _check(answer, path)
            if "Content-Length" not in answer.headers:
                raise OSError(errno.EOPNOTSUPP, "the server does not say how long it is, which is needed", path)
            return RemoteFile(path, int(answer.headers["Content-Length"]), _modified_ns(answer), _version(answer))

    def pages(self, folder: str) -> Iterator[Callable[[], list[RemoteFile]]]:
        """One file at a time: a page of links says neither sizes nor versions."""
        for path in self._below(folder, 0):
            yield lambda path=path: [file] if (file := self.head(path)) else []  # type: ignore[misc]

    def _below(self, folder: str, depth: int) -> Iterator[str]:
        if depth > _MAX_DEPTH:
            raise OSError(errno.ELOOP, f"its folders are more than {_MAX_DEPTH} deep", folder)
        for entry in retried(lambda: sorted(self.names(folder, ""))):
            path = f"{folder}/{entry.name}"
            if entry.is_folder:
                yield from self._below(path, depth + 1)
            else:
                yield path

    def names(self, folder: str, beginning: str) -> Iterator[Entry]:
        """The links of a folder's page that lead to something directly below it."""
        with _answer("GET", f"{folder}/") as answer:
            if answer.status_code in (404, 410):
                raise FileNotFoundError(errno.ENOENT, "there is no such page", folder)
            _check(answer, folder)
            if "html" not in answer.headers.get("Content-Type", ""):
                raise NotADirectoryError(errno.ENOTDIR, "it is no page of links; give the addresses of its videos", folder)
            page = answer.raw.read(_MAX_PAGE_BYTES + 1, decode_content=True)
            if len(page) > _MAX_PAGE_BYTES:
                raise OSError(errno.EFBIG, f"its page is larger than {_MAX_PAGE_BYTES >> 20} MB", folder)
        for name in _links(page.decode("utf-8", "replace"), f"{_quoted(folder)}/"):
            if name.startswith(beginning):
                yield Entry(name.rstrip("/"), is_folder=name.endswith("/"))

    def fetch(self, path: str, start: int, end: int, version: str) -> bytes:
        """A range of the file, if it has this version still."""
        headers = {"Range": f"bytes={start}-{end - 1}"}
        if version.startswith('"'):  # a weak ETag never matches (RFC 9110, 13.1.1); what comes is compared below
            headers["If-Match"] = version
        with _answer("GET", path, headers) as answer:
            if answer.status_code in (412, 416) or (answer.status_code == 206 and _version(answer) != version):
                raise changed(path)
            _check(answer, path)
            if answer.status_code != 206:
                reason = (
                    "the server gives no parts of files (Range requests), which are needed; copy the file to where one does"
                )
                raise OSError(errno.EOPNOTSUPP, reason, path)
            data: bytes = answer.content
            return data


@contextmanager
def _answer(method: str, path: str, headers: dict[str, str] | None = None) -> Iterator[requests.Response]:
    """The answer to a request, whose body is still to be read; errors as those of the system."""
    plain = {"Accept-Encoding": "identity", **(headers or {})}
    try:
        with _session(os.getpid()).request(
            method, _quoted(path), headers=plain, timeout=_WAIT_S, stream=True, allow_redirects=True
        ) as answer:
            yield answer
    except requests.exceptions.SSLError:
        raise OSError(errno.EACCES, "the server's certificate is not valid", path) from None
    except (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema, requests.exceptions.TooManyRedirects) as exc:
        raise OSError(errno.EINVAL, f"it cannot be asked for ({type(exc).__name__})", path) from None
    except requests.exceptions.RequestException as exc:
        raise TemporaryError(errno.EIO, f"the connection failed ({type(exc).__name__})", path) from None


def _check(answer: requests.Response, path: str) -> None:
    """Raise what an answer that is an error means."""
    if answer.status_code in (401, 403, 407):
        reason = f"the server refuses it ({answer.status_code}); names and passwords come from ~/.netrc"
        raise PermissionError(errno.EACCES, reason, path)
    if answer.status_code in _BUSY:
        raise TemporaryError(errno.EAGAIN, f"the server is busy ({answer.status_code})", path)
    if answer.status_code >= 400:
        raise OSError(errno.EIO, f"the server answers {answer.status_code} ({answer.reason})", path)


def _version(answer: requests.Response) -> str:
    """The ETag; else the time."""
    modified_ns = _modified_ns(answer)
    return answer.headers.get("ETag") or (f"at {modified_ns}" if modified_ns else "")


def _modified_ns(answer: requests.Response) -> int:
    try:
        return int(parsedate_to_datetime(answer.headers["Last-Modified"]).timestamp()) * 10**9
    except (KeyError, ValueError):
        return 0


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


def _quoted(path: str) -> str:
    """The address with what addresses cannot hold quoted; what is quoted stays."""
    return quote(path, safe=":/%@!$&'()*+,;=~[]")


@cache
def _session(pid: int) -> requests.Session:
    """This process's connections."""
    session = requests.Session()
    session.headers["User-Agent"] = "vidsift"
    return session
