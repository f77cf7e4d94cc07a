"""Filters that the search page offers: values of the catalogue that write a condition in SQL."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from server.libraries import ServedLibrary

_MOST = 12  # chips of a group

# Of a condition: what can hide brackets and words, brackets, and the words that join; and values.
_TOKEN = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|[()]|\b(?:and|or)\b""", re.IGNORECASE)
_VALUE = re.compile(r"'(?:[^']|'')*'|\b\d+(?:\.\d+)?\b")


@dataclass(frozen=True, slots=True)
class Chip:
    """A filter that can be put on and off.

    Attributes:
        name: what is shown.
        count: how many clips or videos meet it.
        active: whether the condition holds it now.
        address: of the page with it put on, or off.
    """

    name: str
    count: int
    active: bool
    address: str


@dataclass(frozen=True, slots=True)
class ChipGroup:
    """Filters on one column."""

    name: str
    chips: tuple[Chip, ...]

    @property
    def active(self) -> bool:
        """Whether one of them is on."""
        return any(chip.active for chip in self.chips)


# By name: a query for value, condition and count.
_QUERIES = {
    "Label": "select label as name, 'label = ' || {quoted} as condition, count(*) as count "
    "from clips where label is not null group by 1 order by 3 desc",
    "Tag": "select tag as name, 'tag = ' || {quoted} || ' and score > 0.5' as condition, count(*) as count "
    "from tags where score > 0.5 group by 1 order by 3 desc",
    "Folder": "select regexp_extract(path, '([^/]*)/[^/]*$', 1) as name, "
    "'contains(path, ' || {quoted_folder} || ')' as condition, count(*) as count from videos group by 1 order by 3 desc",
    "Date": "select strftime(modified_at, '%Y-%m') as name, "
    "'strftime(modified_at, ''%Y-%m'') = ' || {quoted} as condition, count(*) as count "
    "from videos group by 1 order by 1 desc",
    "Duration": "select * from (select 'under a minute' as name, 'duration_s < 60' as condition, "
    "count(*) filter (duration_s < 60) as count from videos union all select '1 to 10 minutes', "
    "'duration_s >= 60 and duration_s < 600', count(*) filter (duration_s >= 60 and duration_s < 600) from videos union all "
    "select 'over 10 minutes', 'duration_s >= 600', count(*) filter (duration_s >= 600) from videos) where count > 0",
    "Codec": "select codec as name, 'codec = ' || {quoted} as condition, count(*) as count "
    "from videos where codec is not null group by 1 order by 3 desc",
    "Resolution": "select width || ' x ' || height as name, 'width = ' || width || ' and height = ' || height as condition, "
    "count(*) as count from videos where width is not null group by 1, 2 order by 3 desc",
}  # fmt: skip
_QUOTED = "'''' || replace(name, '''', '''''') || ''''"
_QUOTED_FOLDER = "'''/' || replace(name, '''', '''''') || '/'''"


def label_counts(library: ServedLibrary, most: int) -> list[tuple[str, int]]:
    """The labels of the most clips, with their numbers of clips."""
    rows = library.rows(
        "select label, count(*) as count from clips where label is not null group by label order by count desc, label "
        "limit $most",
        most=most,
    )
    return [(row["label"], row["count"]) for row in rows]


def chip_groups(library: ServedLibrary, where: str, address: Callable[[str], str]) -> list[ChipGroup]:
    """The filters of a library, those of each group that most clips or videos meet.

    Args:
        library: whose catalogue is asked.
        where: the condition as it is now.
        address: of the page with another condition.
    """
    groups = []
    for name, query in _QUERIES.items():
        text = query.format(quoted=_QUOTED, quoted_folder=_QUOTED_FOLDER)
        rows = library.remembered_rows(f"{text} limit {_MOST}")
        shapes = {_shape(row["condition"]) for row in rows}
        own = _terms_of_group(where, shapes)
        chips = tuple(
            Chip(
                row["name"],
                row["count"],
                any(row["condition"] in term.alternatives for term in own),
                address(_toggled(where, row["condition"], own)),
            )
            for row in rows
            if row["name"]
        )
        if len(chips) > 1 or any(chip.active for chip in chips):
            groups.append(ChipGroup(name, chips))
    return groups


@dataclass(frozen=True, slots=True)
class _Term:
    """A part of a condition, in brackets, that is nothing but filters of one group with `or` between them."""

    start: int
    end: int
    alternatives: tuple[str, ...]


def _toggled(where: str, condition: str, own: list[_Term]) -> str:
    """``where`` with ``condition`` put on, or off where it is on: beside others of its group by `or`, else by `and`.

    Args:
        where: the condition as it is now; what somebody wrote into it stays.
        condition: of a filter.
        own: the terms of the filter's group.
    """
    holding = next((term for term in own if condition in term.alternatives), None)
    if holding is not None:
        rest = tuple(one for one in holding.alternatives if one != condition)
        return _without(where, holding) if not rest else _replaced(where, holding, rest)
    if own:
        return _replaced(where, own[0], (*own[0].alternatives, condition))
    if not where:
        return f"({condition})"
    # `or` binds less than `and`.
    return f"{where if len(_spans(where, 'or')) == 1 else f'({where})'} and ({condition})"


def _replaced(where: str, term: _Term, alternatives: tuple[str, ...]) -> str:
    return f"{where[: term.start]}({' or '.join(alternatives)}){where[term.end :]}"


def _without(where: str, term: _Term) -> str:
    """``where`` without a term and one `and` beside it."""
    spans = _spans(where, "and")
    number = spans.index((term.start, term.end))
    if number > 0:
        return where[: spans[number - 1][1]] + where[term.end :]
    return where[spans[1][0] :] if len(spans) > 1 else ""


def _terms_of_group(where: str, shapes: set[str]) -> list[_Term]:
    """The terms of ``where`` that are filters of a group, which is told by the ``shapes`` of its conditions."""
    if len(_spans(where, "or")) > 1:
        return []
    terms = []
    for start, end in _spans(where, "and"):
        if where[start : start + 1] != "(" or where[end - 1 : end] != ")":
            continue
        inner = where[start + 1 : end - 1]
        alternatives = tuple(inner[first:last] for first, last in _spans(inner, "or"))
        if all(_shape(one) in shapes for one in alternatives):
            terms.append(_Term(start, end, alternatives))
    return terms


def _shape(condition: str) -> str:
    """A condition with its values left out."""
    return _VALUE.sub("?", condition)


def _spans(text: str, word: str) -> list[tuple[int, int]]:
    """Where the pieces of ``text`` between a word begin and end; the word counts outside of brackets and quotes alone."""
    depth, begin, spans = 0, 0, []
    for token in _TOKEN.finditer(text):
        depth += {"(": 1, ")": -1}.get(token[0], 0)
        if depth == 0 and token[0].lower() == word:
            spans.append((begin, token.start()))
            begin = token.end()
    spans.append((begin, len(text)))
    return [_trimmed(text, *span) for span in spans]


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    piece = text[start:end]
    return start + len(piece) - len(piece.lstrip()), start + len(piece.rstrip())
