"""A page as HTML, by Jinja's templates in ``web/templates``."""

from __future__ import annotations

from http import HTTPStatus
from pathlib import Path, PurePath
from typing import Any

import jinja2
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from schemas.text import clock
from server.addresses import rendering_address
from server.context import context_of
from server.libraries import ServedLibrary


def file_name(path: str) -> str:
    """The last part of a path."""
    return PurePath(path).name


_TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent / "web" / "templates"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_TEMPLATES.filters["clock"] = clock
_TEMPLATES.filters["file_name"] = file_name
_TEMPLATES.globals["rendering_address"] = rendering_address


def rendered_page(
    request: Request, template: str, library: ServedLibrary, page: str, status_code: int = HTTPStatus.OK, **values: Any
) -> Response:
    """A template with ``values`` filled in, and the bar with the pages and libraries above it.

    Args:
        request: that is answered.
        template: the template's file.
        library: that the page shows.
        page: the address of the page in the bar that this one belongs to.
        status_code: of HTTP; any number.
        values: what the template needs besides.
    """
    libraries = context_of(request).libraries.names
    html = _TEMPLATES.get_template(template).render(library=library, libraries=libraries, page=page, **values)
    return HTMLResponse(html, status_code, {"cache-control": "no-store"})
