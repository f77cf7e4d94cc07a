"""What a page was asked: the question in its address, with the page's own number of answers."""

from __future__ import annotations

from starlette.datastructures import QueryParams

from schemas.search import SearchOptions
from server.parameters import search_options, text, texts

DEFAULT_K = 24
"""How many answers a page shows."""


def question_of(given: QueryParams, example: tuple[str, ...] = ()) -> SearchOptions | None:
    """The question that a page's parameters ask; None where they ask none.

    Args:
        given: the parameters; ``start`` and ``end`` of a moment's page are passed over.
        example: a file that was sent along.

    Raises:
        Problem: there is no such parameter (400).
        UsageError: the value of one is not allowed.
    """
    if not (texts(given, "text") or texts(given, "like") or example):
        return None
    asked = [(name, value) for name, value in given.multi_items() if name not in ("start", "end")]
    own = [] if text(given, "k") else [("k", str(DEFAULT_K))]
    return search_options(QueryParams([*asked, *own]), also_like=example)
