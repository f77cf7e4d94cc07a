"""Finds the clips that meet a condition that a user wrote in SQL.

A condition sees the columns of ``clips`` and ``videos``, where ``label`` is a clip's best label. One that names a column
which only ``labels`` has (``rank``, ``score``, ``model``) sees the clip's rows of that table instead, and holds for a clip
of which any one row meets all of it: ``label = 'waving' and rank <= 3``. The same goes for ``tags`` (``tag``, ``prompt``,
``score``, ``model``), and for what is said, written and shot while the clip lasts, with the columns of ``speech``,
``screen_text`` and ``shots``: ``speech.text ilike '%budget%'``, ``shots.picture = 'still'``. Any other condition can be
written as a sub-select: ``clip_id in (select ...)``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from index.sql.catalog import Catalog
from index.sql.catalog_files import AttachedSegment, live_rows, named_rows
from index.sql.remembered import remembered
from schemas.errors import QueryError, UnknownNameError
from schemas.sql import CHANNELS, CLIPS, LABELS, TAGS, VIDEOS, TableMeaning

TIMEOUT_S = 60.0
"""Seconds that a condition may take."""

# Rows, a number each, that are fetched at a time.
_BATCH_ROWS = 131_072

_MORE_THAN_A_CONDITION = "--where: got more than a condition, expected one such as: label = 'waving'"


def _beside(clips: str, table: TableMeaning) -> str:
    """Clips and what is known of their videos, with each row of a channel that shares seconds with them."""
    columns = ", ".join(f"{table.name}.{name}" for name in table.column_names if name not in _CLIP_COLUMNS)
    return (
        f"(select clips.*, videos.* exclude (video_id, path), {columns}, {table.name} "
        f"from {clips} clips join videos using (video_id) join {table.name} on {table.name}.video_id = clips.video_id "
        f"and {table.name}.start_s < clips.end_s and {table.name}.end_s > clips.start_s)"
    )


_CLIP_COLUMNS = CLIPS.column_names
_LABELS = "labels join (select * exclude (label) from clips) clips using (clip_id, video_id, path, start_s, end_s)"
_KEYS = "using (clip_id, video_id, path, start_s, end_s)"
# A condition is applied to the first of these sources that has all columns it names; the first two have every clip once.
_SOURCES = (
    "select clip_id from clips",
    "select clip_id from clips join videos using (video_id, path)",
    f"select distinct clip_id from {_LABELS} join videos using (video_id, path)",
    f"select distinct clip_id from clips join tags {_KEYS} join videos using (video_id, path)",
    f"select distinct clip_id from {_LABELS} join tags {_KEYS} join videos using (video_id, path)",
    *(f"select distinct clip_id from {_beside('clips', table)}" for table in CHANNELS),
)


def passing_clips(catalog: Catalog, condition: str, timeout_s: float = TIMEOUT_S) -> NDArray[np.int64]:
    """The ids of the clips that meet ``condition``, each once, in no order.

    Raises:
        QueryError: it is not a condition over these tables, or takes too long.
    """
    return np.asarray(_first_that_fits(catalog, _SOURCES, condition, timeout_s)["clip_id"].to_numpy(), np.int64)


def passing_mask(catalog: Catalog, condition: str, timeout_s: float = TIMEOUT_S) -> NDArray[np.bool_]:
    """Bool [rows], which of a catalog's clips meet ``condition``.

    The rows are those of its segments, one behind the other; those of a catalog that is one file are in the order of
    video_id, start_s and end_s. The last answers are remembered, but for conditions that may mean something else a moment
    later, such as ``random() < 0.1``.

    Raises:
        QueryError: it is not a condition over these tables, or takes longer than ``timeout_s`` seconds.
    """
    answers = remembered(catalog)
    if (known := answers.get(condition)) is not None:
        return known
    if catalog.segments is None:
        mask = np.isin(catalog.ids_by_row, passing_clips(catalog, condition, timeout_s))
    else:
        rows = _first_that_fits(catalog, _row_sources(catalog.segments), condition, timeout_s)["_row"]
        mask = _mask(rows, sum(segment.num_clips for segment in catalog.segments))
    answers.add(condition, mask)
    return mask


def _first_that_fits(catalog: Catalog, sources: Iterable[str], condition: str, timeout_s: float) -> pa.Table:
    """The rows that meet ``condition`` of the first source that has all columns that it names."""
    where = f"where (\n{condition}\n)"
    for source in sources:
        try:
            query = f"{source} {where}"
            return catalog.sql(query, timeout_s=timeout_s, argument="--where", batch_rows=_BATCH_ROWS)
        except UnknownNameError as exc:
            error = exc
    # Said about the columns of clips and videos, which nearly every condition names.
    catalog.sql(f"{_SOURCES[1]} {where} limit 0", timeout_s=timeout_s, argument="--where")
    raise error


def _row_sources(segments: Sequence[AttachedSegment]) -> Iterator[str]:
    """What `_SOURCES` says, of the rows of clips: each in a fast form, and in one that has all qualified names.

    The fast forms join by numbers. They lack what hardly a condition names: ``clips.path`` where ``path`` would do, or a
    label together with the best label's score.
    """
    columns = ", ".join(VIDEOS.column_names)
    videos = f"(select segment as _segment, video as _video, {columns} from _videos.videos) videos"
    by_number = f"join {videos} using (_segment, _video)"
    by_names = f"join {videos} using (_segment, _video, video_id, path)"
    clips, labels, tags = (f"{named_rows(table, segments)} {table.name}" for table in (CLIPS, LABELS, TAGS))
    keys = "using (_segment, _video, _row, clip_id, video_id, path, start_s, end_s)"
    others = f"join (select * exclude (label) from {clips}) clips {keys}"
    yield f"select _row from {live_rows(CLIPS, segments)} clips"
    yield f"select _row from {live_rows(CLIPS, segments, also_dead=True)} clips {by_number}"
    yield f"select _row from {clips} {by_names}"
    yield f"select _row from {live_rows(LABELS, segments, also_dead=True)} labels {by_number}"
    yield f"select _row from {labels} {others} {by_names}"
    yield f"select _row from {live_rows(TAGS, segments, also_dead=True)} tags {by_number}"
    yield f"select _row from {clips} join {tags} {keys} {by_names}"
    yield f"select _row from {labels} {others} join {tags} {keys} {by_names}"
    for table in CHANNELS:
        yield f"select _row from {_beside(named_rows(CLIPS, segments), table)}"


def _mask(rows: pa.ChunkedArray, count: int) -> NDArray[np.bool_]:
    """Bool [count], true for each of these rows, which may come several times and in any order."""
    mask = np.zeros(count, np.bool_)
    if rows.type != pa.int64() or rows.null_count:  # "true) union all select 'x' from clips where (true"
        raise QueryError(_MORE_THAN_A_CONDITION)
    for chunk in rows.chunks:
        some = chunk.to_numpy()
        if len(some) and not 0 <= some.min() <= some.max() < count:
            raise QueryError(_MORE_THAN_A_CONDITION)
        mask[some] = True
    return mask
