"""The library's Delta tables: opened, read, and changed in transactions.

A video's row in ``videos`` makes its clips visible, so it is always committed after them. Features are committed before
their clips, so that no clip is ever without them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as dataset
from deltalake import DeltaTable, Schema
from deltalake.exceptions import DeltaError

from index.storage.channel_tables import ChannelTables
from index.storage.duplicate_table import DuplicateTable
from index.storage.paths import Library
from index.storage.tags_file import read_definitions
from index.storage.tags_table import TagTable
from index.storage.transactions import (
    add_files,
    add_rows,
    create_table,
    delete_except,
    distinct,
    merge_small_files,
    read_chunks,
    read_columns,
    replace_rows,
    rows_with,
)
from index.storage.working_copies import copy_of, fetch_history, fetch_logs, local_files, push
from schemas.errors import LibraryError
from schemas.records import Span, VideoFile, VideoRow, Written, WrittenFile, clip_id_of, path_text
from schemas.tables import (
    CLIPS,
    FEATURES,
    KNOWN_VIDEOS,
    TAG_ROWS,
    TAGS,
    VIDEOS,
    annotator_schema,
    modified_at,
    video_rows_of,
    videos_table,
)

# Columns of ``features`` for which Delta Lake keeps the least and greatest value of each file.
_STATISTICS = {"delta.dataSkippingStatsColumns": "clip_id,video_id"}


class Tables:
    """The tables of one library, opened for writing by the process that holds the write lock, or to be read only."""

    def __init__(
        self,
        library: Library,
        *,
        features: bool = False,
        annotators: Collection[str] = (),
        new_annotators: Mapping[str, pa.Schema] | None = None,
        read_only: bool = False,
    ) -> None:
        """Open the tables, making empty ones where there are none.

        Args:
            library: whose tables.
            features: whether the library keeps what rerank scores need; where not, it has no such table.
            annotators: the names of annotators' own tables (`index.storage.config.LibraryConfig.annotator_tables`).
            new_annotators: such tables by their columns, which are made where they are not there.
            read_only: make and write nothing; a missing table is an error then, except ``tags``.

        Raises:
            LibraryError: the folder cannot be written, or holds something else than Delta tables.
        """
        self._library = library
        self.features: DeltaTable | None = None
        with self._explained():
            if read_only:
                self.features = DeltaTable(library.features) if features else None
                self.videos, self.clips = DeltaTable(library.videos), DeltaTable(library.clips)
            else:
                if features:
                    self.features = create_table(library.features, FEATURES, _STATISTICS)
                self.videos = create_table(library.videos, VIDEOS)
                self.clips = create_table(library.clips, CLIPS)
                self._add_columns()
                for name, columns in (new_annotators or {}).items():
                    create_table(library.annotator_table(name), annotator_schema(columns))
            names = dict.fromkeys([*annotators, *(new_annotators or {})])
            self.annotators = {name: DeltaTable(library.annotator_table(name)) for name in names}
        self.tags = TagTable(library.tags, self._explained, read_only=read_only)
        self.channels = ChannelTables(library, self._explained)
        self.duplicates = DuplicateTable(library, self._explained)
        self.parquet_files()  # before anything follows their names
        self.feature_files()
        for name, table in self.annotators.items():
            _files(table, library.annotator_table(name))
        self.tag_files()
        self.channel_files()

    def _add_columns(self) -> None:
        """Add the columns to ``videos`` that were introduced after the library was made."""
        present = {field.name for field in self.videos.schema().fields}
        lacking = [field for field in VIDEOS if field.name not in present]
        if lacking:
            self.videos.alter.add_columns(Schema.from_arrow(pa.schema(lacking)).fields)

    def known_videos(self) -> pa.Table:
        """The columns ``KNOWN_VIDEOS`` of ``videos``, ascending by ``ingested_at``."""
        return self.read_videos(KNOWN_VIDEOS.names).sort_by("ingested_at")

    def read_videos(self, columns: Sequence[str]) -> pa.Table:
        """Columns of ``videos``."""
        with self._explained():
            return read_columns(self.videos, list(columns))

    def video_keys(self) -> pa.Table:
        """The columns of ``videos`` that tell which clips the library should show."""
        return self.read_videos(["video_id", "ingested_at", "clip_count"])

    def commit_clips(self, files: Sequence[Written]) -> None:
        """Make written Parquet files part of annotators' tables, ``features`` and then ``clips``, a transaction each."""
        for name, table in self.annotators.items():
            self._append(table, [(file.others[name], file.num_clips) for file in files])
        if self.features is not None:
            self._append(self.features, [(file.features, file.num_clips) for file in files if file.features])
        self._append(self.clips, [(WrittenFile(file.name, file.size_bytes), file.num_clips) for file in files])

    def _append(self, table: DeltaTable, files: Sequence[tuple[WrittenFile, int]]) -> None:
        """Make files part of ``table``, each given with its number of rows."""
        with self._explained():
            add_files(table, files)

    def commit_videos(self, rows: Sequence[VideoRow], *, replace_paths: bool) -> None:
        """Add rows to ``videos``, in one transaction.

        Args:
            rows: the videos that are done.
            replace_paths: some of the paths have rows already, which these replace.
        """
        if not rows:
            return
        table = videos_table(rows, ingested_at=datetime.now(UTC))
        replaced = table["path"].combine_chunks() if replace_paths else pa.array([], pa.string())
        with self._explained():
            replace_rows(self.videos, "path", replaced, table)

    def video_rows(self, video_ids: Collection[str]) -> dict[str, VideoRow]:
        """Rows of ``videos`` as records, by video id."""
        if not video_ids:
            return {}
        with self._explained():
            chunks = rows_with(self.videos, "video_id", pa.array(video_ids, pa.string()))
            return {row.video.video_id: row for chunk in chunks for row in video_rows_of(chunk)}

    def move_videos(self, moved: Mapping[str, VideoFile]) -> None:
        """Give videos, named by their ids, the paths, times and versions of other files. Their clips stay as they are."""
        if not moved:
            return
        video_ids = pa.array(moved, pa.string())
        with self._explained():
            rows = pa.concat_tables(rows_with(self.videos, "video_id", video_ids))
            files = [moved[video_id] for video_id in rows["video_id"].to_pylist()]
            columns = {
                "path": [path_text(file.path) for file in files],
                "modified_ns": [file.modified_ns for file in files],
                "modified_at": [modified_at(file.modified_ns) for file in files],
                "version": [file.version or None for file in files],
            }
            for name, values in columns.items():
                column = VIDEOS.field(name)
                rows = rows.set_column(rows.schema.get_field_index(name), column, pa.array(values, column.type))
            replace_rows(self.videos, "video_id", video_ids, rows)

    def remove_videos(self, video_ids: Collection[str]) -> None:
        """Remove videos; their clips are invisible from then on."""
        with self._explained():
            replace_rows(self.videos, "video_id", pa.array(video_ids, pa.string()))

    def push(self) -> None:
        """Bring what was committed to the object store that the library lives in, if it lives in one.

        Raises:
            LibraryError: somebody else has written there.
        """
        push(self._library.folder)

    def drop_orphans(self) -> None:
        """Delete rows that no video owns: left by an ingest that was stopped, or by changed videos."""
        with self._explained():
            self._drop_orphans()

    def _drop_orphans(self) -> None:
        owners = distinct(self.videos, "video_id")
        for table in (*self._of_clips(), self.tags.table):
            delete_except(table, "video_id", owners)
        self.channels.drop_orphans()
        self.duplicates.drop_orphans(owners)

    def restore(self, versions: dict[str, int]) -> None:
        """Restore all tables to ``versions``, or leave all as they are.

        The definitions of tags stay as they are, and so do the scores of videos that stay as they are. Those of others are
        deleted: a video that was indexed again has the same clip ids. The next publishing computes what is lacking.

        Raises:
            LibraryError: files of that time have been dropped since, by a compaction.
        """
        before, done = self.versions(), []
        with self._explained():
            fetch_history(self._library.folder)
            for name, table in self._by_name().items():
                if name in versions and table.version() != versions[name]:  # before anything is changed
                    folder = self._library.table(name)
                    local_files(_files(DeltaTable(folder, version=versions[name]), folder))
            try:
                # First of all, so that no clip has the score of another whenever this is stopped.
                delete_except(self.tags.table, "video_id", self._unchanged_since(versions["videos"]))
                for name, table in self._by_name().items():
                    if name in versions:
                        _restore(table, versions[name])
                        done.append(name)
            except (DeltaError, OSError, LibraryError):
                for name in done:
                    _restore(self._by_name()[name], before[name])
                _restore(self.tags.table, before.get("tags", 0))
                raise

    def _unchanged_since(self, version: int) -> pa.Array:
        """The ids of the videos whose clips are the same as in a version of ``videos``."""
        keys = ["video_id", "ingested_at"]
        then = read_columns(DeltaTable(self._library.videos, version=version), keys)
        return read_columns(self.videos, keys).join(then, keys, join_type="inner")["video_id"].combine_chunks()

    def compact(self) -> dict[str, int]:
        """Merge small files, delete those no longer needed, and return the number of files before and after."""
        with self._explained():
            self._drop_orphans()
            tables = self._by_name() | {"tags": self.tags.table}
            for name, table in tables.items():
                local_files(_files(table, self._library.table(name)))
            before = self._count_files()
            for table in tables.values():
                table.optimize.compact()
                table.vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False, full=True)
                table.create_checkpoint()
            if (copy := copy_of(self._library.folder)) is not None:
                files = {name: _files(table, self._library.table(name)) for name, table in tables.items()}
                copy.drop_files({name: {Path(file).name for file in of} for name, of in files.items()})
            return {"files_before": before, "files_after": self._count_files()}

    def _count_files(self) -> int:
        names = (*self._by_name(), "tags")
        return sum(1 for name in names for _ in (self._library.folder / name).glob("*.parquet"))

    def merge_small_files(self) -> None:
        """Merge the small files of each table that has many. Earlier versions keep theirs until a compaction."""
        with self._explained():
            for table in (*self._by_name().values(), self.tags.table):
                merge_small_files(table)

    def copy_clips(self, video_id: str, copy_id: str) -> int:
        """Copy the clips of a video to one of the same content, and return how many. The copy's row makes them visible."""
        with self._explained():
            rows = pa.concat_tables(rows_with(self.clips, "video_id", pa.array([video_id])))
            spans = zip(rows["start_s"].to_pylist(), rows["end_s"].to_pylist(), strict=True)
            ids = [clip_id_of(copy_id, Span(start_s, end_s)) for start_s, end_s in spans]
            copy_ids = dict(zip(rows["clip_id"].to_pylist(), ids, strict=True))
            for table in (*self.annotators.values(), *([] if self.features is None else [self.features]), self.clips):
                add_rows(table, _copied_rows(table, video_id, copy_ids, copy_id))
            return len(ids)

    def read(self) -> tuple[pa.Table, pa.Table]:
        """All of ``videos`` and all of ``clips``, each file as it is on disk.

        Raises:
            LibraryError: a file is missing or damaged.
        """
        with self._explained():
            videos, clips = self.parquet_files()
            return _read(videos, VIDEOS), _read(clips, CLIPS)

    def versions(self) -> dict[str, int]:
        """The Delta version of each table; in a library with tags also of ``tags``, and the revision of tags.json."""
        of_tags = {"tags": self.tags.version, "tag_names": read_definitions(self._library).revision}
        of_tables = {name: table.version() for name, table in self._by_name().items()}
        return of_tables | {name: number for name, number in of_tags.items() if number}

    def _by_name(self) -> dict[str, DeltaTable]:
        """The tables by name, which is also their folder's; ``videos`` comes first, since it makes the others visible."""
        features = {} if self.features is None else {"features": self.features}
        of_clips = {"clips": self.clips} | features | self.annotators
        return {"videos": self.videos} | of_clips | self.channels.by_name() | self.duplicates.by_name()

    def _of_clips(self) -> list[DeltaTable]:
        return [table for name, table in self._by_name().items() if name != "videos"]

    def parquet_files(self) -> tuple[list[str], list[str]]:
        """Paths of the Parquet files that make up the current versions of ``videos`` and ``clips``."""
        return _files(self.videos, self._library.videos), _files(self.clips, self._library.clips)

    def feature_files(self) -> list[str]:
        """Paths of the Parquet files that make up the current version of ``features``; none where the library keeps none."""
        return [] if self.features is None else _files(self.features, self._library.features)

    def channel_files(self) -> dict[str, list[str]]:
        """Paths of the Parquet files that make up the current version of each channel's table, by table."""
        with self._explained():
            return {name: _files(table, self._library.table(name)) for name, table in self.channels.by_name().items()}

    def tag_files(self) -> list[str]:
        """Paths of the Parquet files that make up the current version of ``tags``."""
        with self._explained():
            return self.tags.files(lambda table: _files(table, self._library.tags))

    def read_tags(self) -> pa.Table:
        """All of ``tags``, each file as it is on disk.

        Raises:
            LibraryError: a file is missing or damaged.
        """
        with self._explained():
            return _read(self.tag_files(), TAGS)

    def read_tag_rows(self, files: Sequence[str] | None = None) -> pa.Table:
        """The columns `TAG_ROWS` of ``tags``, or of those of its files that are given.

        Raises:
            LibraryError: a file is missing or damaged.
        """
        with self._explained():
            files = self.tag_files() if files is None else files
            repeated = [field.name for field in TAG_ROWS if pa.types.is_dictionary(field.type)]
            return _read(files, TAG_ROWS, dataset.ParquetReadOptions(dictionary_columns=repeated))

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn errors of Delta Lake (a full disk, a lost file, a damaged log) into a LibraryError that names the library."""
        try:
            yield
        except (DeltaError, OSError, pa.ArrowException) as exc:
            raise LibraryError(
                f"the tables in {self._library.shown!r} cannot be read or written: "
                f"{(str(exc) or type(exc).__name__).splitlines()[0]}"
            ) from exc


def read_clip_labels(library: Library) -> Iterator[pa.Table]:
    """``clip_id`` and ``labels`` of all clips, those of removed videos too, some at a time; each column is in one piece.

    For those who do not write the library: the table is opened as it is.

    Raises:
        LibraryError: the table is not there, or cannot be read.
    """
    try:
        fetch_logs(library.folder)
        yield from read_chunks(DeltaTable(library.clips), ["clip_id", "labels"])
    except (DeltaError, OSError, pa.ArrowException) as exc:
        said = (str(exc) or type(exc).__name__).splitlines()[0]
        raise LibraryError(f"the labels of {library.shown!r} cannot be read: {said}") from exc


def _copied_rows(table: DeltaTable, video_id: str, copy_ids: dict[int, int], copy_id: str) -> Iterator[pa.Table]:
    """A video's rows of a table of clips under another video's id; ``copy_ids`` are clip ids by the original's."""
    for rows in rows_with(table, "video_id", pa.array([video_id])):
        rows = rows.filter(pc.is_in(rows["clip_id"], value_set=pa.array(copy_ids, pa.int64())))
        ids = [copy_ids[clip_id] for clip_id in rows["clip_id"].to_pylist()]
        yield rows.set_column(0, "clip_id", pa.array(ids, pa.int64())).set_column(
            1, "video_id", pa.array([copy_id] * len(ids), pa.string())
        )


def _restore(table: DeltaTable, version: int) -> None:
    if table.version() != version:  # Delta Lake refuses to restore the current version
        table.restore(version)


def _files(table: DeltaTable, folder: Path) -> list[str]:
    # Relative names, since URIs spell blanks and umlauts in other ways than the file system does.
    names = pa.table(table.get_add_actions(flatten=True))["path"].to_pylist()
    if odd := [name for name in names if "/" in name or "\\" in name or "%" in name or not name.endswith(".parquet")]:
        raise LibraryError(
            f"the table {str(folder)!r} names the file {odd[0]!r}, expected Parquet files of its own folder; "
            "somebody else has written to it: restore it from a backup, or ingest into a new folder"
        )
    return [str(folder / name) for name in names]


def _read(files: Sequence[str], schema: pa.Schema, options: dataset.ParquetReadOptions | None = None) -> pa.Table:
    if not files:
        return schema.empty_table()
    parquet = dataset.ParquetFileFormat(read_options=options)
    table = dataset.dataset(local_files(files), schema=schema, format=parquet).to_table()
    table.validate(full=True)  # a damaged file may hold text that is not UTF-8
    return table
