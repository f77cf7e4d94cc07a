"""The files of a catalog, and the views that make four tables of them: videos, clips, labels and tags.

A segment's file says of each clip the number of its video within the segment. What that video is called and where it lies
now is in the file of videos, which also says for each video which segment holds its clips. Rows of a segment that it no
longer names are dead: the views leave them out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from schemas.errors import LibraryError
from schemas.sql import CLIPS, LABELS, TAGS, VIDEOS, TableMeaning

# Up to so many clips, tables come in the order of time without a query that asks for it. Sorting a million labels for every
# query would take longer than most queries.
_SORTED_CLIPS = 20_000

_ORDERS = {CLIPS: "path, start_s", LABELS: "path, start_s, rank", TAGS: "tag, path, start_s"}


@dataclass(frozen=True, slots=True)
class CatalogFiles:
    """The files that a catalog consists of.

    Attributes:
        videos: written by `index.snapshot.catalog_build.write_videos`.
        segments: one for each segment, written by ``write_segment_catalog``.
        tags: one for each segment, written by ``write_tag_part``; None where it has no tags.
    """

    videos: Path
    segments: Sequence[Path] = ()
    tags: Sequence[Path | None] = ()

    def named(self) -> Iterator[tuple[str, Path]]:
        """Each file with the name that it is attached by."""
        yield "_videos", self.videos
        for number, segment in enumerate(self.segments):
            yield f"_segment_{number}", segment
        for number, part in enumerate(self.tags):
            if part is not None:
                yield f"_tags_{number}", part


def attach(connection: duckdb.DuckDBPyConnection, files: CatalogFiles) -> None:
    """Attach all files for reading, and make the views.

    Raises:
        LibraryError: a file is missing, damaged, or is not what it should be.
    """
    for name, path in files.named():
        quoted = str(path.absolute()).replace("'", "''")
        try:
            connection.execute(f"attach '{quoted}' as {name} (type duckdb, read_only)")
        except duckdb.Error as exc:
            raise not_a_catalog(path) from exc
    try:
        connection.execute(f"create view videos as select {', '.join(VIDEOS.column_names)} from _videos.videos")
        segments = range(len(files.segments))
        is_small = sum(_num_clips(connection, segment) for segment in segments) <= _SORTED_CLIPS
        complete = [_is_complete(connection, segment) for segment in segments]
        for table, order in _ORDERS.items():
            sources = [_source(files, table.name, segment, complete[segment]) for segment in segments]
            parts = [f"select {', '.join(table.column_names)} from {source}" for source in sources if source is not None]
            rows = " union all ".join(parts) or _no_rows(table)
            connection.execute(f"create view {table.name} as {rows}{f' order by {order}' if is_small else ''}")
    except duckdb.Error as exc:
        raise not_a_catalog(files.videos.parent) from exc


def not_a_catalog(path: Path) -> LibraryError:
    """What is said of a file that is missing, or is none of DuckDB's."""
    return LibraryError(f"--library: {str(path)!r} cannot be read as a catalog; run the ingest again")


def _num_clips(connection: duckdb.DuckDBPyConnection, segment: int) -> int:
    """The clips in a segment, also those that are dead."""
    ((count,),) = connection.sql(f"select count(*) from _segment_{segment}.clips").fetchall()
    return int(count)


def _is_complete(connection: duckdb.DuckDBPyConnection, segment: int) -> bool:
    """Whether all videos of a segment are current, so that none of its rows is dead."""
    query = f"select 1 from _segment_{segment}.videos where video not in (select video from {_live(segment)}) limit 1"
    return not connection.sql(query).fetchall()


def _no_rows(table: TableMeaning) -> str:
    """A select of no rows with a table's columns."""
    return f"select {', '.join(f'null::{column.type} as {column.name}' for column in table.columns)} where false"


def _live(segment: int) -> str:
    """The current videos of a segment."""
    return f"(select video, video_id, path from _videos.videos where segment = {segment})"


def _source(files: CatalogFiles, table: str, segment: int, is_complete: bool) -> str | None:
    """The rows of a segment's part of a table with the names and paths of their videos; None where it has none.

    Where no row is dead, a left join with at most one row for each is left out by DuckDB in queries that name no column of
    videos. It knows that there is at most one from the grouping.
    """
    if table != "tags":
        rows = f"_segment_{segment}.{table}"
    elif segment < len(files.tags) and files.tags[segment] is not None:
        rows = f"_tags_{segment}.tags"
    else:
        return None
    if not is_complete:
        return f"{rows} join {_live(segment)} using (video)"
    names = f"select video, any_value(video_id) as video_id, any_value(path) as path from {_live(segment)} group by video"
    return f"{rows} left join ({names}) using (video)"
