"""Filters that the search page offers: values of the catalogue that write a condition in SQL."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from server.libraries import ServedLibrary

_MOST = 12  # chips of a group
_AND = " and "


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
        chips = tuple(
            Chip(row["name"], row["count"], f"({row['condition']})" in where, address(_toggled(where, row["condition"])))
            for row in rows
            if row["name"]
        )
        if len(chips) > 1 or any(chip.active for chip in chips):
            groups.append(ChipGroup(name, chips))
    return groups


def _toggled(where: str, condition: str) -> str:
    """``where`` with ``condition`` in brackets put on, or off where it is on."""
    bracketed = f"({condition})"
    if bracketed == where:
        return ""
    for joined in (f"{_AND}{bracketed}", f"{bracketed}{_AND}"):
        if joined in where:
            return where.replace(joined, "", 1)
    if not where:
        return bracketed
    # What somebody has written may hold `or`, which binds less than `and`.
    own = where if where.startswith("(") and where.endswith(")") and _is_joined(where) else f"({where})"
    return f"{own}{_AND}{bracketed}"


def _is_joined(where: str) -> bool:
    """Whether a condition is nothing but conditions in brackets with `and` between them; quoted brackets count for none."""
    depth, quoted, outside = 0, False, ""
    for sign in where:
        quoted ^= sign == "'"
        if not quoted and sign == "(":
            depth += 1
        elif not quoted and sign == ")":
            depth -= 1
        elif depth == 0:
            outside += sign
    return not outside.replace(_AND, "")
