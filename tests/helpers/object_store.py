"""S3 on loopback, by moto, which can be told to fail."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

SECRET = "a-secret-that-nobody-may-see"
BUCKET = "archive"

App = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
Fault = Callable[[App, dict[str, Any], Callable[..., Any]], Iterable[bytes]]
"""What happens to a request in place of an answer."""


class FaultyStore:
    """S3 under ``url``.

    Attributes:
        faults: what happens to the next requests for bytes of objects, in turn; None lets one pass.
        always: what happens to any request in place of an answer, by its environment; None lets it pass.
        before: called before each request for bytes, with its path.
        gets: paths of all requests for bytes.
    """

    def __init__(self, url: str, app: App) -> None:
        self.url, self._app = url, app
        self.faults: deque[Fault | None] = deque()
        self.always: Callable[[dict[str, Any]], Fault | None] = lambda environ: None
        self.before: Callable[[str], None] = lambda path: None
        self.gets: list[str] = []

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if (fault := self.always(environ)) is not None:
            return fault(self._app, environ, start_response)
        if environ["REQUEST_METHOD"] == "GET" and "HTTP_RANGE" in environ:
            self.gets.append(environ["PATH_INFO"])
            self.before(environ["PATH_INFO"])
            fault = self.faults.popleft() if self.faults else None
            if fault is not None:
                return fault(self._app, environ, start_response)
        return self._app(environ, start_response)

    def put(self, key: str, content: bytes | Path) -> None:
        data = content if isinstance(content, bytes) else content.read_bytes()
        client().put_object(Bucket=BUCKET, Key=key, Body=data)

    def put_folder(self, folder: Path, prefix: str = "") -> None:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                self.put(f"{prefix}{path.relative_to(folder).as_posix()}", path)


def client() -> Any:
    """A client of the store that the environment names."""
    return _client(os.environ["AWS_ENDPOINT_URL"])


@cache
def _client(url: str) -> Any:
    import boto3

    return boto3.session.Session().client("s3")


def answer(status: str, code: str) -> Fault:
    """An answer of S3 that is an error."""

    def fault(app: App, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        start_response(status, [("Content-Type", "application/xml")])
        return [f"<Error><Code>{code}</Code><Message>try again</Message></Error>".encode()]

    return fault


def broken_off(app: App, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """The right answer, of which half comes."""
    body = b"".join(app(environ, start_response))
    yield body[: len(body) // 2]


def stalled(seconds: float) -> Fault:
    """The right answer, late."""

    def fault(app: App, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        time.sleep(seconds)
        return app(environ, start_response)

    return fault


class _Quiet(WSGIRequestHandler):  # type: ignore[misc]
    protocol_version = "HTTP/1.1"

    def log(self, type: str, message: str, *args: Any) -> None:
        pass


@contextmanager
def object_store(patch: pytest.MonkeyPatch, cache: Path) -> Iterator[FaultyStore]:
    """A store with an empty bucket, to which this process and its children go for ``s3://``; pages are kept in ``cache``."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    store = FaultyStore("", DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, store, threaded=True, request_handler=_Quiet)
    store.url = f"http://127.0.0.1:{server.server_port}"
    for name, value in {
        "AWS_ACCESS_KEY_ID": "someone",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": store.url,
        "XDG_CACHE_HOME": str(cache),
    }.items():
        patch.setenv(name, value)
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN"):
        patch.delenv(name, raising=False)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    _forget()
    try:
        made = client()
        if any(bucket["Name"] == BUCKET for bucket in made.list_buckets()["Buckets"]):  # moto has one state a process
            for found in made.list_objects_v2(Bucket=BUCKET).get("Contents", ()):
                made.delete_object(Bucket=BUCKET, Key=found["Key"])
        else:
            made.create_bucket(Bucket=BUCKET)
        yield store
    finally:
        server.shutdown()
        server.server_close()
        _forget()


def _forget() -> None:
    """Forget clients and pages of another store."""
    from pipeline import sources
    from pipeline.sources import page_cache, s3

    s3._client.cache_clear()
    page_cache.page_cache.cache_clear()
    sources._s3.cache_clear()
