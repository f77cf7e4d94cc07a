"""The files of a catalog, and the views that make the tables of them: videos, clips, labels, tags, channels, duplicates.

A segment's file says of each clip the number of its video within the segment. What that video is called and where it lies
now is in the file of videos, which also says for each video which segment holds its clips. Rows of a segment whose video is
elsewhere by now are dead: the views leave them out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb

from schemas.errors import LibraryError
from schemas.sql import ANNOTATIONS, CHANNELS, CLIPS, DUPLICATES, LABELS, TAGS, VIDEOS, TableMeaning

# Up to so many clips, tables come in the order of paths and time where a query asks for none. Sorting a million labels takes
# longer than most queries.
_SORTED_CLIPS = 5_000

_TABLE_OF = {
    "videos": "live",
    "segment": "videos",
    "tags": "tags",
    "annotations": "annotations",
    "channels": "shots",
    "duplicates": "duplicates",
}
_NAMES = ("video_id", "path")
_ORDERS = {CLIPS: "path, start_s", LABELS: "path, start_s, rank", TAGS: "tag, path, start_s"}


@dataclass(frozen=True, slots=True)
class CatalogFiles:
    """The files that a catalog consists of, as `index.snapshot.catalog_build` writes them.

    Attributes:
        videos: by ``write_videos``.
        segments: one for each segment, by ``write_segment_catalog``.
        tags: one for each segment, by ``write_tag_part``; None where it has no tags.
        annotations: by ``index.snapshot.channel_publish.write_annotations``; None where no annotator has read any video.
        parts: the rows of each part of channels.
        duplicates: by ``index.snapshot.duplicate_publish.write_duplicates``; None where they were never looked for.
    """

    videos: Path
    segments: Sequence[Path] = ()
    tags: Sequence[Path | None] = ()
    annotations: Path | None = None
    parts: Sequence[Path] = ()
    duplicates: Path | None = None

    def named(self) -> Iterator[tuple[str, Path]]:
        """Each file with the name that it is attached by."""
        yield "_videos", self.videos
        for number, segment in enumerate(self.segments):
            yield f"_segment_{number}", segment
        for number, part in enumerate(self.tags):
            if part is not None:
                yield f"_tags_{number}", part
        if self.annotations is not None:
            yield "_annotations", self.annotations
        for number, part in enumerate(self.parts):
            yield f"_channels_{number}", part
        if self.duplicates is not None:
            yield "_duplicates", self.duplicates


@dataclass(frozen=True, slots=True)
class AttachedSegment:
    """A segment of a catalog that is open.

    Attributes:
        number: its position among the segments.
        first_row: the clips in the segments before it.
        num_clips: its rows, also those that are dead.
        has_live: whether any video of it is current.
        has_dead: whether any is not.
        has_tags: whether there is a file of its tags.
    """

    number: int
    first_row: int
    num_clips: int
    has_live: bool
    has_dead: bool
    has_tags: bool

    def stored(self, table: str) -> str | None:
        """The name of its part of clips, labels or tags; None where no row of it is live."""
        if not self.has_live or (table == "tags" and not self.has_tags):
            return None
        return f"_tags_{self.number}.tags" if table == "tags" else f"_segment_{self.number}.{table}"

    @property
    def live_videos(self) -> str:
        """Its current videos: video, video_id, path."""
        return f"(select video, video_id, path from _videos.live where segment = {self.number})"


def live_rows(
    table: TableMeaning,
    segments: Sequence[AttachedSegment],
    *,
    also_dead: bool = False,
) -> str:
    """The rows of a table that are stored in segments: ``_row``, ``_segment``, ``_video``, and all but names of videos.

    ``_row`` is the row of the clip among those of all segments.
    """
    columns = ", ".join(column.name for column in table.columns if column.name not in _NAMES)
    parts = []
    for segment in segments:
        if stored := segment.stored(table.name):
            row = f"{stored}.rowid" if table is CLIPS else '"row"'
            place = f"{segment.first_row}::bigint + {row} as _row, {segment.number} as _segment, video as _video"
            is_checked = segment.has_dead and not also_dead
            live = f" semi join {segment.live_videos} using (video)" if is_checked else ""
            parts.append(f"select {place}, {columns} from {stored}{live}")
    return f"({' union all '.join(parts) or _no_rows(table)})"


def named_rows(table: TableMeaning, segments: Sequence[AttachedSegment]) -> str:
    """The live rows of a table with all columns, and the three that `live_rows` adds.

    DuckDB leaves out the join in queries that name no column of videos: it is a left join, and the grouping says that it
    finds at most one row for each. For this it has to be one join of all segments.
    """
    names = ", ".join(f"any_value({name}) as {name}" for name in _NAMES)
    videos = f"(select segment as _segment, video as _video, {names} from _videos.live group by all)"
    columns = ", ".join(("_row", "_segment", "_video", *table.column_names))
    return f"(select {columns} from {live_rows(table, segments)} left join {videos} using (_segment, _video))"


def attach(connection: duckdb.DuckDBPyConnection, files: CatalogFiles) -> tuple[AttachedSegment, ...]:
    """Attach all files for reading, make the views, and return the segments.

    Raises:
        LibraryError: a file is missing, damaged, or is not what it should be.
    """
    for name, path in files.named():
        with _reading(path):
            quoted = str(path.absolute()).replace("'", "''")
            connection.execute(f"attach '{quoted}' as {name} (type duckdb, read_only)")
            connection.execute(f"select 1 from {name}.{_TABLE_OF[name.split('_')[1]]} limit 0")  # it may be another database
    segments: list[AttachedSegment] = []
    for number, path in enumerate(files.segments):
        with _reading(path):
            segments.append(_segment(connection, files, number, sum(before.num_clips for before in segments)))
    with _reading(files.videos):
        there = connection.sql("from _videos.videos limit 0").columns
        columns = (name if name in there else f"null::{kind} as {name}" for name, kind, _ in VIDEOS.columns)
        connection.execute(f"create view videos as select {', '.join(columns)} from _videos.videos")
        is_small = sum(segment.num_clips for segment in segments) <= _SORTED_CLIPS
        for table, order in _ORDERS.items():
            rows = f"select {', '.join(table.column_names)} from {named_rows(table, segments)}"
            connection.execute(f"create view {table.name} as {rows}{f' order by {order}' if is_small else ''}")
        for table in (*CHANNELS, ANNOTATIONS):
            order = " order by path, start_s" if is_small and table is not ANNOTATIONS else ""
            connection.execute(f"create view {table.name} as {_channel_rows(table, files)}{order}")
        connection.execute(f"create view {DUPLICATES.name} as {_duplicate_rows(files)}")
    return tuple(segments)


def _channel_rows(table: TableMeaning, files: CatalogFiles) -> str:
    """The live rows of a table that annotators of whole videos fill."""
    if files.annotations is None or (table is not ANNOTATIONS and not files.parts):
        return _empty(table)
    columns = ", ".join(table.column_names)
    videos = "join (select video_id, path from _videos.videos) using (video_id)"
    if table is ANNOTATIONS:
        return f"select {columns} from _annotations.annotations {videos} order by path, annotator"
    parts = (f"select {number} as part, * from _channels_{number}.{table.name}" for number in range(len(files.parts)))
    live = "join (select part, annotation, video_id from _annotations.annotations) using (part, annotation)"
    return f"select {columns} from ({' union all '.join(parts)}) {live} {videos}"


def _duplicate_rows(files: CatalogFiles) -> str:
    """The shared spans of videos that are there, each as the one video's and as the other's."""
    if files.duplicates is None:
        return _empty(DUPLICATES)
    swapped = (
        "select group_id, other_video_id as video_id, other_start_s as start_s, other_end_s as end_s, "
        "video_id as other_video_id, start_s as other_start_s, end_s as other_end_s, 1 / speed as speed, "
        "mirrored, confidence from _duplicates.duplicates"
    )
    videos = "join (select video_id, path from _videos.videos) using (video_id)"
    others = "join (select video_id as other_video_id, path as other_path from _videos.videos) using (other_video_id)"
    return (
        f"select {', '.join(DUPLICATES.column_names)} from (from _duplicates.duplicates union all {swapped}) "
        f"{videos} {others} order by group_id, path, start_s, other_path"
    )


def _empty(table: TableMeaning) -> str:
    return f"select {', '.join(f'null::{column.type} as {column.name}' for column in table.columns)} where false"


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Raises LibraryError where DuckDB cannot read what is in ``path``."""
    try:
        yield
    except duckdb.Error as exc:
        raise not_a_catalog(path) from exc


def not_a_catalog(path: Path) -> LibraryError:
    """What is said of a file that is missing, or is none of DuckDB's."""
    return LibraryError(f"{str(path)!r} cannot be read as a catalog; run the ingest again")


def _segment(connection: duckdb.DuckDBPyConnection, files: CatalogFiles, number: int, first_row: int) -> AttachedSegment:
    """What is to be known of a segment whose files are attached."""
    ((num_clips, num_videos),) = connection.sql(
        f"select (select count(*) from _segment_{number}.clips), (select count(*) from _segment_{number}.videos)"
    ).fetchall()
    ((num_live,),) = connection.sql(
        f"select count(*) from _segment_{number}.videos "
        f"semi join (select video from _videos.live where segment = {number}) using (video)"
    ).fetchall()
    has_tags = number < len(files.tags) and files.tags[number] is not None
    return AttachedSegment(number, first_row, num_clips, num_live > 0, num_live < num_videos, has_tags)


def _no_rows(table: TableMeaning) -> str:
    columns = ", ".join(f"null::{column.type} as {column.name}" for column in table.columns if column.name not in _NAMES)
    return f"select 0::bigint as _row, 0 as _segment, 0 as _video, {columns} where false"
