"""The addresses of pages, pictures and moments."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from server.libraries import ServedLibrary
from server.parameters import SEARCH_PARAMETERS


def page_address(path: str, given: Any, **changed: str) -> str:
    """The address of a page with the parameters of this one, but for those that are ``changed``; empty ones are left out."""
    kept = [(name, value) for name, value in given.multi_items() if name not in changed and value]
    return f"{path}?{urlencode([*kept, *((name, value) for name, value in changed.items() if value)])}"


def moment_address(clip_id: int, given: Any, start_s: float, end_s: float) -> str:
    """The address of a moment's page, which keeps the question that parameters ask."""
    question = [(name, value) for name, value in given.multi_items() if name in SEARCH_PARAMETERS and value]
    return f"/moment/{clip_id}?{urlencode([('start', f'{start_s:.3f}'), ('end', f'{end_s:.3f}'), *question])}"


def rendering_address(clip_id: int, start_s: float, end_s: float, library: ServedLibrary, kind: str) -> str:
    """The address of a moment's picture (jpg), strip (webp) or clip (mp4)."""
    span = {"start": f"{start_s:.3f}", "end": f"{end_s:.3f}", "library": library.name}
    return f"/api/moments/{clip_id}.{kind}?{urlencode(span)}"
