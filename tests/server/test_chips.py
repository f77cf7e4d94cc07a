"""Filters of the search page: `or` within a group, `and` between groups, and what somebody wrote stays."""

from __future__ import annotations

from typing import Any, cast

import duckdb
import pytest

pytest.importorskip("starlette")

from server.chips import Chip, chip_groups
from server.libraries import ServedLibrary


class Catalogue:
    """Clips of three labels, one of which has a quote in it and one a bracket and a word that joins."""

    def __init__(self) -> None:
        self._sql = duckdb.connect()
        self._sql.execute("create table clips as select unnest(['bowing', 'it''s', 'a) or (b']) as label")
        self._sql.execute("create table tags (tag varchar, score float)")
        self._sql.execute(
            "create table videos as select '/v/' || folder || '/a.mp4' as path, timestamp '2024-01-01' as modified_at, "
            "duration_s, 'h264' as codec, 320 as width, 240 as height "
            "from (values ('one', 30), ('two', 90)) as found (folder, duration_s)"
        )

    def remembered_rows(self, query: str) -> list[dict[str, Any]]:
        found = self._sql.execute(query)
        names = [column[0] for column in found.description or ()]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def chips(where: str) -> dict[str, Chip]:
    """The chips by name; their addresses are the conditions."""
    groups = chip_groups(cast(ServedLibrary, Catalogue()), where, lambda where: where)
    return {chip.name: chip for group in groups for chip in group.chips}


def clicked(where: str, *names: str) -> str:
    for name in names:
        where = chips(where)[name].address
    return where


BOWING, QUOTED, ODD = "label = 'bowing'", "label = 'it''s'", "label = 'a) or (b'"
ONE, TWO = "contains(path, '/one/')", "contains(path, '/two/')"


@pytest.mark.parametrize(
    ("where", "names", "expected"),
    [
        ("", ["bowing"], f"({BOWING})"),
        ("", ["bowing", "it's"], f"({BOWING} or {QUOTED})"),
        ("", ["bowing", "one", "a) or (b", "two"], f"({BOWING} or {ODD}) and ({ONE} or {TWO})"),
        ("", ["under a minute", "1 to 10 minutes"], "(duration_s < 60 or duration_s >= 60 and duration_s < 600)"),
        (f"({BOWING} or {ODD}) and ({ONE})", ["bowing"], f"({ODD}) and ({ONE})"),
        (f"({BOWING} or {ODD}) and ({ONE})", ["a) or (b", "bowing"], f"({ONE})"),
        (f"({BOWING}) and ({ONE})", ["one", "bowing"], ""),
        ("(label = 'rare')", ["bowing"], f"(label = 'rare' or {BOWING})"),
        # What was written by hand.
        ("fps > 20  AND codec='x'", ["one", "two", "two"], f"fps > 20  AND codec='x' and ({ONE})"),
        ("fps > 20 or fps < 5", ["one"], f"(fps > 20 or fps < 5) and ({ONE})"),
        (f"fps between 1 and 5 and ({ONE}) and x", ["two"], f"fps between 1 and 5 and ({ONE} or {TWO}) and x"),
        (f"fps between 1 and 5 and ({ONE}) and x", ["one"], "fps between 1 and 5 and x"),
        (f"not ({BOWING})", ["it's"], f"not ({BOWING}) and ({QUOTED})"),
        (f"({BOWING} or fps > 5)", ["it's"], f"({BOWING} or fps > 5) and ({QUOTED})"),
    ],
)
def test_a_click_puts_a_filter_on_or_off(where: str, names: list[str], expected: str) -> None:
    assert clicked(where, *names) == expected


@pytest.mark.parametrize(
    ("where", "active"),
    [
        (f"({BOWING} or {QUOTED}) and ({ONE})", {"bowing", "it's", "one"}),
        (f"not ({BOWING})", set()),
        (f"fps > 5 or ({BOWING})", set()),
        (f"fps > 5 and ({BOWING})", {"bowing"}),
    ],
)
def test_filters_that_are_on_are_shown_so(where: str, active: set[str]) -> None:
    assert {chip.name for chip in chips(where).values() if chip.active} == active
