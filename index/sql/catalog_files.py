"""The files of a catalog, and the views that make four tables of them: videos, clips, labels and tags.

A segment's file says of each clip the number of its video within the segment. What that video is called and where it lies
now is in the file of videos, which also says for each video which segment holds its clips. Rows of a segment whose video is
elsewhere by now are dead: the views leave them out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from schemas.errors import LibraryError
from schemas.sql import CLIPS, LABELS, TAGS, VIDEOS, TableMeaning

# Up to so many clips, tables come in the order of paths and time where a query asks for none. Sorting a million labels takes
# longer than most queries.
_SORTED_CLIPS = 20_000

_ORDERS = {CLIPS: "path, start_s", LABELS: "path, start_s, rank", TAGS: "tag, path, start_s"}


@dataclass(frozen=True, slots=True)
class CatalogFiles:
    """The files that a catalog consists of, as `index.snapshot.catalog_build` writes them.

    Attributes:
        videos: by ``write_videos``.
        segments: one for each segment, by ``write_segment_catalog``.
        tags: one for each segment, by ``write_tag_part``; None where it has no tags.
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


@dataclass(frozen=True, slots=True)
class AttachedSegment:
    """A segment of a catalog that is open.

    Attributes:
        number: its position among the segments.
        num_clips: its rows, also those that are dead.
        has_live: whether any video of it is current.
        has_dead: whether any is not.
        has_tags: whether there is a file of its tags.
    """

    number: int
    num_clips: int
    has_live: bool
    has_dead: bool
    has_tags: bool

    def rows(self, table: str) -> str | None:
        """Its live rows of clips, labels or tags, with the id and path of their video; None where it has none.

        Where no row is dead, DuckDB leaves out the join in queries that name no column of videos: it is a left join, and the
        grouping says that it finds at most one row for each.
        """
        rows = self.stored(table)
        if rows is None or self.has_dead:
            return rows and f"{rows} join {self.videos} using (video)"
        names = f"select video, any_value(video_id) as video_id, any_value(path) as path from {self.videos} group by video"
        return f"{rows} left join ({names}) using (video)"

    def stored(self, table: str) -> str | None:
        """Its rows of clips, labels or tags as they are stored; None where none is live."""
        if not self.has_live or (table == "tags" and not self.has_tags):
            return None
        return f"_tags_{self.number}.tags" if table == "tags" else f"_segment_{self.number}.{table}"

    @property
    def videos(self) -> str:
        """Its current videos: video, video_id, path."""
        return f"_videos.live_{self.number}"


def attach(connection: duckdb.DuckDBPyConnection, files: CatalogFiles) -> tuple[AttachedSegment, ...]:
    """Attach all files for reading, make the views, and return the segments.

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
        segments = tuple(_segment(connection, files, number) for number in range(len(files.segments)))
        connection.execute(f"create view videos as select {', '.join(VIDEOS.column_names)} from _videos.videos")
        is_small = sum(segment.num_clips for segment in segments) <= _SORTED_CLIPS
        for table, order in _ORDERS.items():
            sources = [source for segment in segments if (source := segment.rows(table.name))]
            parts = [f"select {', '.join(table.column_names)} from {source}" for source in sources]
            rows = " union all ".join(parts) or _no_rows(table)
            connection.execute(f"create view {table.name} as {rows}{f' order by {order}' if is_small else ''}")
    except duckdb.Error as exc:
        raise not_a_catalog(files.videos.parent) from exc
    return segments


def not_a_catalog(path: Path) -> LibraryError:
    """What is said of a file that is missing, or is none of DuckDB's."""
    return LibraryError(f"--library: {str(path)!r} cannot be read as a catalog; run the ingest again")


def _segment(connection: duckdb.DuckDBPyConnection, files: CatalogFiles, number: int) -> AttachedSegment:
    """What is to be known of a segment whose files are attached."""
    ((num_clips, num_videos),) = connection.sql(
        f"select (select count(*) from _segment_{number}.clips), (select count(*) from _segment_{number}.videos)"
    ).fetchall()
    num_live = 0
    # There is no such table for a segment of which no video is current.
    if connection.sql(f"select 1 from duckdb_tables() where table_name = 'live_{number}'").fetchall():
        ((num_live,),) = connection.sql(
            f"select count(*) from _segment_{number}.videos semi join _videos.live_{number} using (video)"
        ).fetchall()
    has_tags = number < len(files.tags) and files.tags[number] is not None
    return AttachedSegment(number, num_clips, num_live > 0, num_live < num_videos, has_tags)


def _no_rows(table: TableMeaning) -> str:
    """A select of no rows with a table's columns."""
    return f"select {', '.join(f'null::{column.type} as {column.name}' for column in table.columns)} where false"
