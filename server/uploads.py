"""Files that a browser sends as examples: of bounded size, kept while they are looked at, and deleted."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path, PurePath

import anyio.to_thread
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request

from server.problems import Problem

MOST_BYTES = 256 << 20
"""The largest request."""

_LONGEST_NAME = 100  # of a file, where an error names it

_PICTURES = {"image/png": ".png", "image/jpeg": ".jpg"}


@dataclass(frozen=True, slots=True)
class SentFile:
    """A file that was sent.

    Attributes:
        path: where it is kept meanwhile.
        name: as it was sent.
    """

    path: Path
    name: str

    def named(self, detail: str) -> str:
        """An error's text with the file's own name in it."""
        return detail.replace(repr(str(self.path)), repr(self.name)).replace(str(self.path), self.name)


@asynccontextmanager
async def received(request: Request) -> AsyncIterator[tuple[FormData, SentFile | None]]:
    """The fields of a form, and its ``file`` in a folder of its own, which is deleted afterwards.

    Raises:
        Problem: the request holds no form, or something else as the file (400).
    """
    try:
        form = await request.form(max_files=1, max_fields=100)
    except HTTPException as exc:
        raise Problem(HTTPStatus.BAD_REQUEST, f"got no form that can be read ({exc.detail})") from exc
    folder = Path(tempfile.mkdtemp(prefix="vidsift-upload-"))
    try:
        sent = form.get("file")
        file = None
        if isinstance(sent, UploadFile):
            kind = _PICTURES.get(sent.content_type or "") or Path(sent.filename or "").suffix.lower()
            path = folder / ("example" + (kind if kind in {".png", ".jpg", ".jpeg"} else ".video"))
            await anyio.to_thread.run_sync(_copy, sent, path)
            file = SentFile(path, PurePath(sent.filename or "").name[:_LONGEST_NAME] or "without a name")
        elif sent:
            raise Problem(HTTPStatus.BAD_REQUEST, "file: got a text, expected a file")
        yield form, file
    finally:
        await form.close()
        shutil.rmtree(folder, ignore_errors=True)


def _copy(sent: UploadFile, path: Path) -> None:
    with path.open("wb") as file:
        shutil.copyfileobj(sent.file, file)
