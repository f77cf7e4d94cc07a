"""Google Cloud Storage on loopback: as much of its XML API as libraries need, with conditions by generations."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import format_datetime
from hashlib import md5
from typing import NamedTuple
from xml.sax.saxutils import escape

import pytest
from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.wrappers import Request, Response


class _Object(NamedTuple):
    content: bytes
    generation: int
    put_at: datetime

    @property
    def etag(self) -> str:
        return f'"{md5(self.content, usedforsecurity=False).hexdigest()}"'


class GoogleStore:
    """One bucket.

    Attributes:
        objects: by key.
    """

    def __init__(self) -> None:
        self.objects: dict[str, _Object] = {}
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()

    def answer(self, request: Request) -> Response:
        with self._lock:
            _, _, key = request.path.lstrip("/").partition("/")
            return self._listed(request) if not key else self._object(request, key)

    def _object(self, request: Request, key: str) -> Response:
        there = self.objects.get(key)
        if request.method == "PUT":
            wanted = request.headers.get("x-goog-if-generation-match")
            if wanted is not None and int(wanted) != (there.generation if there else 0):
                return Response("<Error><Code>PreconditionFailed</Code></Error>", 412)
            there = self.objects[key] = _Object(request.get_data(), next(self._numbers), datetime.now(UTC))
            return Response(b"", headers=_headers(there))
        if there is None:
            return Response("<Error><Code>NoSuchKey</Code></Error>", 404)
        if request.method == "DELETE":
            del self.objects[key]
            return Response(status=204)
        return Response(there.content, headers=_headers(there)).make_conditional(
            request, accept_ranges=True, complete_length=len(there.content)
        )

    def _listed(self, request: Request) -> Response:
        prefix = request.args.get("prefix", "")
        contents = "".join(
            f"<Contents><Key>{escape(key)}</Key><Size>{len(found.content)}</Size><ETag>{found.etag}</ETag>"
            f"<LastModified>{found.put_at.isoformat()}</LastModified></Contents>"
            for key, found in sorted(self.objects.items())
            if key.startswith(prefix)
        )
        return Response(f"<ListBucketResult><Name>b</Name>{contents}</ListBucketResult>", mimetype="application/xml")


def _headers(found: _Object) -> dict[str, str]:
    return {
        "ETag": found.etag,
        "x-goog-generation": str(found.generation),
        "Last-Modified": format_datetime(found.put_at, usegmt=True),
    }


class _Quiet(WSGIRequestHandler):  # type: ignore[misc]
    protocol_version = "HTTP/1.1"

    def log(self, type: str, message: str, *args: object) -> None:
        pass


@contextmanager
def google_store(patch: pytest.MonkeyPatch) -> Iterator[GoogleStore]:
    """A store to which this process goes for ``gs://``, as obstore is told by the file of an account."""
    store = GoogleStore()
    server = make_server("127.0.0.1", 0, Request.application(store.answer), threaded=True, request_handler=_Quiet)
    account = {
        "gcs_base_url": f"http://127.0.0.1:{server.server_port}",
        "disable_oauth": True,
        "client_email": "",
        "private_key": "",
        "private_key_id": "",
    }
    patch.setenv("GOOGLE_SERVICE_ACCOUNT_KEY", json.dumps(account))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield store
    finally:
        server.shutdown()
        server.server_close()
