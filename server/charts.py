"""Bar charts of what a library holds, whose bars lead to the clips that they count."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from server.chips import label_counts
from server.libraries import ServedLibrary

_WIDTH = 300  # of the longest bar

_LABELS = 20

# By name: a query for value and count, and the condition that a value stands for.
_QUERIES = {
    "day": (
        "select strftime(modified_at, '%Y-%m-%d') as name, sum(clip_count)::bigint as count "
        "from videos group by 1 order by 1 desc limit 31",
        "strftime(modified_at, '%Y-%m-%d') = {}",
    ),
    "folder": (
        "select regexp_extract(path, '^(.*)/', 1) as name, sum(clip_count)::bigint as count "
        "from videos group by 1 order by 2 desc limit 20",
        "regexp_extract(path, '^(.*)/', 1) = {}",
    ),
}


def charts(library: ServedLibrary) -> list[dict[str, Any]]:
    """Clips by label, day and folder: each a ``name`` and ``rows`` of name, count, width and address."""
    counted = (
        (name, [(row["name"], row["count"]) for row in library.rows(query) if row["name"] is not None], condition)
        for name, (query, condition) in _QUERIES.items()
    )
    of_labels = ("label", label_counts(library, _LABELS), "label = {}")
    return [_chart(name, counts, condition, library) for name, counts, condition in (of_labels, *counted)]


def _chart(name: str, counts: Sequence[tuple[str, int]], condition: str, library: ServedLibrary) -> dict[str, Any]:
    most = max((count or 0 for _, count in counts), default=0) or 1
    rows = []
    for value, count in counts:
        quoted = "'" + value.replace("'", "''") + "'"
        query = (
            "select clip_id, path, start_s, label, label_score from clips join videos using (video_id, path) "
            f"where {condition.format(quoted)} limit 200"
        )
        rows.append(
            {
                "name": value,
                "count": count or 0,
                "width": round(_WIDTH * (count or 0) / most, 1),
                "address": f"/sql?{urlencode({'library': library.name, 'query': query})}",
            }
        )
    return {"name": f"Clips by {name}", "rows": rows}
