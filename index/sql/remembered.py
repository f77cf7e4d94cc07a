"""Remembers which clips met the last conditions, for conditions whose answer does not change while a catalog is open."""

from __future__ import annotations

import re
from collections import OrderedDict
from functools import cached_property
from typing import NamedTuple
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


class _Bits(NamedTuple):
    """A mask of rows, one bit a row."""

    num_rows: int
    bits: NDArray[np.uint8]


class Answers:
    """Which rows met the last conditions."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = ref(catalog)
        self._masks: OrderedDict[str, _Bits] = OrderedDict()

    def get(self, condition: str) -> NDArray[np.bool_] | None:
        """Which rows met ``condition``; None if that is not remembered, or may be others by now."""
        if condition not in self._masks or not self.is_repeatable(condition):
            return None
        self._masks.move_to_end(condition)
        num_rows, bits = self._masks[condition]
        return np.unpackbits(bits, count=num_rows).view(np.bool_)

    def add(self, condition: str, mask: NDArray[np.bool_]) -> None:
        """Remember which rows met ``condition``, and forget the oldest where there are too many."""
        self._masks[condition] = _Bits(len(mask), np.packbits(mask))
        self._masks.move_to_end(condition)
        while len(self._masks) > _MOST or sum(mask.bits.nbytes for mask in self._masks.values()) > _MOST_BYTES:
            self._masks.popitem(last=False)

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


_ANSWERS: WeakKeyDictionary[Catalog, Answers] = WeakKeyDictionary()


def remembered(catalog: Catalog) -> Answers:
    """What is remembered of an open catalog."""
    return _ANSWERS.setdefault(catalog, Answers(catalog))
