"""The parameters of a request as a question: the names that ``vidsift search`` has for its options."""

from __future__ import annotations

import math
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, TypeVar, cast

from starlette.datastructures import FormData, QueryParams

from index.search.marks import Marks
from schemas.errors import UsageError
from schemas.search import RECALLS, By, Channel, SearchOptions
from server.problems import Problem

Value = TypeVar("Value")

MOST_ANSWERS = 1_000
"""The most answers that one request may ask for."""

SEARCH_PARAMETERS = (
    "text", "k", "by", "where", "not", "then", "within", "like", "in", "then_in", "rerank", "recall", "all",
    "distinct", "across_cuts", "right", "wrong", "library",
)  # fmt: skip
"""What a search takes."""


def search_options(given: QueryParams | FormData, *, also_like: tuple[str, ...] = ()) -> SearchOptions:
    """The question that parameters ask. Blank texts are passed over, as boxes of a page that were left empty.

    Args:
        given: the parameters; ``like`` takes ids of clips.
        also_like: files that were sent along as examples.

    Raises:
        Problem: there is no such parameter (400).
        UsageError: the value of one is not allowed.
    """
    if unknown := sorted(set(given.keys()) - set(SEARCH_PARAMETERS) - {"file"}):
        detail = f"{unknown[0]}: no such parameter, expected {', '.join(SEARCH_PARAMETERS)}"
        raise Problem(HTTPStatus.BAD_REQUEST, detail)
    k = number(given, "k", int, 10)
    if k > MOST_ANSWERS:
        raise UsageError(f"k: got {k}, expected {MOST_ANSWERS} or less; ask for fewer, or use vidsift search")
    then_text = next(iter(texts(given, "then")), None)
    return SearchOptions(
        texts=texts(given, "text"),
        like=(*map(str, clip_ids(given, "like")), *also_like),
        without=texts(given, "not"),
        then_text=then_text,
        within_s=None if then_text is None else number(given, "within", float, None),
        where=next(iter(texts(given, "where")), None),
        by=cast(By, text(given, "by") or "moment"),
        k=k,
        rerank=number(given, "rerank", int, 100),
        recall=_recall(text(given, "recall")),
        show_all=flag(given, "all"),
        distinct=flag(given, "distinct"),
        across_cuts=flag(given, "across_cuts"),
        channels=cast(tuple[Channel, ...], texts(given, "in")),
        then_channels=() if then_text is None else cast(tuple[Channel, ...], texts(given, "then_in")),
    )


def marks_of(given: QueryParams | FormData) -> Marks:
    """The clips that were called right and wrong.

    Raises:
        UsageError: one is no id of a clip, or is both.
    """
    return Marks(clip_ids(given, "right"), clip_ids(given, "wrong"))


def text(given: QueryParams | FormData, name: str) -> str:
    """The value of a parameter without blanks around it; an empty text where it is missing."""
    value = given.get(name)
    return value.strip() if isinstance(value, str) else ""


def texts(given: QueryParams | FormData, name: str) -> tuple[str, ...]:
    """All values of a parameter that are not blank."""
    values = (value.strip() for value in given.getlist(name) if isinstance(value, str))
    return tuple(value for value in values if value)


def number(given: QueryParams | FormData, name: str, kind: Callable[[str], Value], missing: Any) -> Any:
    """The value of a parameter as a number; ``missing`` where it is blank.

    Raises:
        UsageError: it is no number.
    """
    value = text(given, name)
    if not value:
        return missing
    expected = "a whole number" if kind is int else "a number"
    try:
        found: Any = kind(value)
    except ValueError as exc:
        raise UsageError(f"{name}: got {value!r}, expected {expected}") from exc
    try:
        finite = math.isfinite(found)
    except OverflowError:  # a whole number of hundreds of digits
        finite = False
    if not finite:
        raise UsageError(f"{name}: got {value!r}, expected {expected}")
    return found


def flag(given: QueryParams | FormData, name: str) -> bool:
    """Whether a parameter is on: ``1``, ``true`` or ``on``.

    Raises:
        UsageError: it is something else than that or off.
    """
    value = text(given, name).lower()
    if value in ("1", "true", "on", "yes"):
        return True
    if value in ("", "0", "false", "off", "no"):
        return False
    raise UsageError(f"{name}: got {value!r}, expected true or false")


def clip_ids(given: QueryParams | FormData, name: str) -> tuple[int, ...]:
    """The clip ids of a parameter, each once.

    Raises:
        UsageError: one is no id of a clip.
    """
    ids = []
    for value in texts(given, name):
        if not (value.isascii() and value.isdecimal() and len(value) < 20 and int(value) < 2**63):
            raise UsageError(f"{name}: got {value!r}, expected the id of a clip, as a search gives it; send files by POST")
        ids.append(int(value))
    return tuple(dict.fromkeys(ids))


def _recall(value: str) -> float:
    by_name = {"exact" if recall == 1 else str(recall): recall for recall in RECALLS}
    if value and value not in by_name:
        raise UsageError(f"recall: got {value!r}, expected {', '.join(by_name)}")
    return by_name.get(value, RECALLS[0])
