"""Errors as answers: JSON by RFC 9457 (``application/problem+json``) for programs, and a sentence for people."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from starlette.responses import JSONResponse

from schemas.errors import LibraryError, ModelError, UsageError, VidsiftError
from server.media.video_file import MediaError

# What the API calls arguments that have other names in Python.
ARGUMENTS = {
    "texts": "text",
    "without": "not",
    "then_text": "then",
    "within_s": "within",
    "show_all": "all",
    "then_channels": "then_in",
    "channels": "in",
    "--where": "where",
    "QUERY": "query",
}


class Problem(Exception):
    """An answer that is an error.

    Attributes:
        status: of HTTP.
        detail: what is wrong, what was given, what is expected and what to do.
    """

    def __init__(self, status: int, detail: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.detail, self.headers = status, detail, headers


def problem_of(exc: Exception) -> Problem:
    """The answer that an error becomes: 400 for a call that cannot work, 503 for a library or model that cannot be used."""
    if isinstance(exc, Problem):
        return exc
    if isinstance(exc, MediaError):
        return Problem(exc.status, str(exc))
    if isinstance(exc, UsageError):
        return Problem(HTTPStatus.BAD_REQUEST, _in_words_of_the_api(exc))
    if isinstance(exc, LibraryError | ModelError):
        return Problem(HTTPStatus.SERVICE_UNAVAILABLE, str(exc))
    return Problem(HTTPStatus.INTERNAL_SERVER_ERROR, "something went wrong here; the server's own output says what")


def problem_response(problem: Problem) -> JSONResponse:
    """A problem as JSON."""
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": title_of(problem.status),
        "status": problem.status,
        "detail": problem.detail,
    }
    return JSONResponse(body, problem.status, problem.headers, media_type="application/problem+json")


def title_of(status: int) -> str:
    """HTTP's words for a status; blank for one that HTTP does not know."""
    return HTTPStatus(status).phrase if status in set(HTTPStatus) else ""


def _in_words_of_the_api(exc: VidsiftError) -> str:
    """The error's text with the API's names of arguments."""
    text = str(exc)
    for name, of_api in ARGUMENTS.items():
        text = text.replace(f"`{name}`", f"`{of_api}`")
        if text.startswith(f"{name}:") or text.startswith(f"{name} "):
            text = of_api + text[len(name) :]
    return text
