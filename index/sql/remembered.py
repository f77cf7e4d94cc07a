"""Remembers which clips met the last conditions, for conditions whose answer does not change while a catalog is open."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Sequence
from functools import cached_property
from weakref import WeakKeyDictionary, ref

import numpy as np
from numpy.typing import NDArray

from index.sql.catalog import Catalog

# Conditions that are remembered of a catalog, and the most memory that their answers take together.
_MOST, _MOST_BYTES = 8, 64 << 20

# What makes an answer depend on more than the catalog and is no function of DuckDB's list, or only in some versions.
_CHANGING = {
    "current_catalog", "current_database", "current_date", "current_role", "current_schema", "current_time",
    "current_timestamp", "current_user", "hits", "localtime", "localtimestamp", "sample", "session_user", "tablesample",
    "user",
}  # fmt: skip
_CONSTANT_TABLES = {"generate_series", "range", "repeat", "repeat_row", "unnest"}
_FUNCTIONS = """
select distinct lower(function_name) as name from duckdb_functions()
where stability is distinct from 'CONSISTENT' and not (function_type = 'aggregate' and stability is null)
"""


class Answers:
    """The rows that met the last conditions, as 32-bit numbers."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = ref(catalog)
        self._rows: OrderedDict[str, list[NDArray[np.int32]]] = OrderedDict()

    def get(self, condition: str) -> list[NDArray[np.int64]] | None:
        """The rows that met ``condition``; None if they are not remembered, or may be others by now."""
        if condition not in self._rows or not self.is_repeatable(condition):
            return None
        self._rows.move_to_end(condition)
        return [rows.astype(np.int64) for rows in self._rows[condition]]

    def add(self, condition: str, rows: Sequence[NDArray[np.int64]]) -> None:
        """Remember the rows that met ``condition``, and forget the oldest where there are too many."""
        self._rows[condition] = [of_segment.astype(np.int32) for of_segment in rows]
        self._rows.move_to_end(condition)
        while len(self._rows) > _MOST or sum(map(_size, self._rows.values())) > _MOST_BYTES:
            self._rows.popitem(last=False)

    def is_repeatable(self, condition: str) -> bool:
        """Whether ``condition`` surely holds for the same clips each time, judged by its words wherever they stand."""
        words = set(re.findall(r"\w+", condition.lower()))
        return "u&" not in condition.lower() and not words & self._changing

    @cached_property
    def _changing(self) -> frozenset[str]:
        """Words that may mean something else each time: functions, unless DuckDB says that they do not, and some more."""
        catalog = self._catalog()
        functions = set() if catalog is None else set(catalog.sql(_FUNCTIONS)["name"].to_pylist())
        return frozenset(functions - _CONSTANT_TABLES | _CHANGING)


def _size(rows: Sequence[NDArray[np.int32]]) -> int:
    return sum(of_segment.nbytes for of_segment in rows)


_ANSWERS: WeakKeyDictionary[Catalog, Answers] = WeakKeyDictionary()


def remembered(catalog: Catalog) -> Answers:
    """What is remembered of an open catalog."""
    return _ANSWERS.setdefault(catalog, Answers(catalog))
