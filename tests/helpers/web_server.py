"""A web server on loopback with a page of links for each folder, ranges, and ETags if wanted."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate
from hashlib import md5
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import quote, unquote


class Web:
    """What the server has.

    Attributes:
        url: where it is.
        files: contents by path, without a slash at the beginning.
        etags: whether answers name the version.
        ranges: whether it gives parts of files.
        asked: method and path of each request.
        busy: how many of the next requests are answered with 503.
    """

    def __init__(self) -> None:
        self.url = ""
        self.files: dict[str, bytes] = {}
        self.etags = self.ranges = True
        self.asked: list[str] = []
        self.busy = 0

    def page(self, folder: str) -> bytes | None:
        """The page of a folder, whose path ends with a slash or is empty."""
        below = {path[len(folder) :].partition("/")[:2] for path in self.files if path.startswith(folder)}
        links = "".join(f'<a href="{quote(name + slash)}">{name}</a>\n' for name, slash in sorted(below))
        more = '<a href="../">up</a><a href="?C=N;O=D">sort</a><a href="https://elsewhere.test/x.mp4">out</a><a>none</a>'
        return f"<html><body>{more}{links}</body></html>".encode() if below else None


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    web: Web

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        self.web.asked.append(f"{self.command} {self.path}")
        if self.web.busy:
            self.web.busy -= 1
            self.answer(503, b"")
            return
        path = unquote(self.path.removeprefix("/"))
        is_page = path.endswith("/") or not path
        content = self.web.page(path) if is_page else self.web.files.get(path)
        if content is not None:
            self.give(content, is_page)
        elif self.web.page(f"{path}/"):
            self.answer(301, b"", {"Location": f"{self.path}/"})
        else:
            self.answer(404, b"")

    def give(self, content: bytes, is_page: bool) -> None:
        etag = f'"{md5(content).hexdigest()}"'
        headers = {"ETag": etag} if self.web.etags else {}
        headers["Content-Type"] = "text/html" if is_page else "video/mp4"
        asked = re.match(r"bytes=(\d+)-(\d+)", self.headers.get("Range", "")) if self.web.ranges else None
        if self.headers.get("If-Match", etag) != etag:
            self.answer(412, b"")
        elif asked:
            start, end = int(asked[1]), min(int(asked[2]) + 1, len(content))
            self.answer(206, content[start:end], headers | {"Content-Range": f"bytes {start}-{end - 1}/{len(content)}"})
        else:
            self.answer(200, content, headers)

    def answer(self, status: int, content: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        times = {"Last-Modified": formatdate(1_700_000_000, usegmt=True)}
        for name, value in {**times, **(headers or {}), "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def web_server() -> Iterator[Web]:
    web = Web()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"web": web}))
    web.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield web
    finally:
        server.shutdown()
        server.server_close()
