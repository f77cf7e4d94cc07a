"""The library's Delta tables: who writes Parquet, and what makes it part of the table.

A row in ``videos`` is what makes that video's clips visible, so it is always committed after them.
"""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as dataset
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import DeltaError
from deltalake.transaction import AddAction, RemoveAction

from index.definitions import read_definitions
from index.library import Library
from jobs.tag_table import TagTable
from schemas.errors import LibraryError
from schemas.records import Span, VideoRow, Written, clip_id_of
from schemas.tables import CLIPS, TAGS, VIDEOS, modified_at, video_rows_of, videos_table


class Tables:
    """The tables of one library, opened for writing by the one process that may."""

    def __init__(self, library: Library) -> None:
        """Open the tables, making empty ones where there are none.

        Raises:
            LibraryError: the folder cannot be written, or what is there is no Delta table.
        """
        self._library = library
        with self._explained():
            self.videos = DeltaTable.create(library.videos, VIDEOS, mode="ignore")
            self.clips = DeltaTable.create(library.clips, CLIPS, mode="ignore")
        self.tags = TagTable(library.tags, self._explained)
        self.parquet_files()  # before anything follows their names
        self.tag_files()

    def known_videos(self) -> pa.Table:
        """What the library knows of each video: enough to tell whether a file has changed."""
        columns = ["video_id", "path", "size_bytes", "modified_ns", "content_hash", "status", "error_stage", "ingested_at"]
        with self._explained():
            return self.videos.to_pyarrow_table(columns=columns).sort_by("ingested_at")

    def commit_clips(self, files: Sequence[Written]) -> None:
        """Make written Parquet files part of ``clips``, in one transaction."""
        now_ms = int(time.time() * 1000)
        actions: list[AddAction | RemoveAction] = [
            AddAction(
                path=file.name,
                size=file.size_bytes,
                partition_values={},
                modification_time=now_ms,
                data_change=True,
                stats=json.dumps({"numRecords": sum(map(len, file.clip_ids.values()))}),
            )
            for file in files
        ]
        if actions:
            with self._explained():
                self.clips.create_write_transaction(actions, "append", self.clips.schema())
                self.clips.update_incremental()

    def commit_videos(self, rows: Sequence[VideoRow], *, replace_paths: bool) -> None:
        """Add rows to ``videos``, in one transaction.

        Args:
            rows: the videos that are done.
            replace_paths: some of the paths have rows already, which these replace.
        """
        if not rows:
            return
        table = videos_table(rows, ingested_at=datetime.now(UTC))
        if replace_paths:
            self._upsert(table, "old.path = new.path")
        else:
            with self._explained():
                write_deltalake(self.videos, table, mode="append")

    def video_rows(self, video_ids: Collection[str]) -> dict[str, VideoRow]:
        """Rows of ``videos`` as records, by video id."""
        if not video_ids:
            return {}
        with self._explained():
            found = self.videos.scan(predicate=f"video_id in ({_quoted(video_ids)})")
            rows = pa.RecordBatchReader.from_stream(found).read_all().cast(VIDEOS)
        return {row.video.video_id: row for row in video_rows_of(rows)}

    def move_videos(self, moved: dict[str, tuple[str, int]]) -> None:
        """Give videos new paths: video_id -> (path as text, modified_ns). Their clips stay as they are."""
        if not moved:
            return
        with self._explained():
            found = self.videos.scan(predicate=f"video_id in ({_quoted(moved)})")
            rows = pa.RecordBatchReader.from_stream(found).read_all().cast(VIDEOS).to_pylist()
        for row in rows:
            row["path"], row["modified_ns"] = moved[row["video_id"]]
            row["modified_at"] = modified_at(row["modified_ns"])
        self._upsert(pa.Table.from_pylist(rows, schema=VIDEOS), "old.video_id = new.video_id")

    def remove_videos(self, video_ids: Collection[str]) -> None:
        """Take videos out; their clips are invisible from then on."""
        if video_ids:
            with self._explained():
                self.videos.delete(f"video_id in ({_quoted(video_ids)})")

    def drop_orphans(self) -> None:
        """Delete clips and tags that no video owns: left by an ingest that was stopped, or by videos that changed."""
        with self._explained():
            self._drop_orphans()

    def _drop_orphans(self) -> None:
        owners = self.videos.to_pyarrow_table(columns=["video_id"])["video_id"]
        present = self.clips.to_pyarrow_table(columns=["video_id"])["video_id"].unique()
        orphans = present.filter(pc.invert(pc.is_in(present, value_set=owners.combine_chunks()))).to_pylist()
        if orphans:
            self.clips.delete(f"video_id in ({_quoted(orphans)})")
        self.tags.drop_orphans(owners)

    def restore(self, versions: dict[str, int]) -> None:
        """Bring ``videos`` and ``clips`` back to what they were at ``versions``.

        Names of tags are not part of that: they stay what they are. Their rows go, to be computed anew from what is back.

        Raises:
            LibraryError: files of that time have been dropped since, by a compaction.
        """
        with self._explained():
            _restore(self.clips, versions["clips"])
            self.tags.keep([])
            _restore(self.videos, versions["videos"])

    def compact(self) -> dict[str, int]:
        """Merge small files, and drop those that the current version does not need; gives their number before and after."""
        with self._explained():
            self._drop_orphans()
            before = self._count_files()
            for table in (self.videos, self.clips, self.tags.table):
                table.optimize.compact()
                table.vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False, full=True)
                table.create_checkpoint()
            return {"files_before": before, "files_after": self._count_files()}

    def _count_files(self) -> int:
        return sum(1 for folder in self._folders for _ in folder.glob("*.parquet"))

    @property
    def _folders(self) -> tuple[Path, ...]:
        return self._library.videos, self._library.clips, self._library.tags

    def copy_clips(self, video_id: str, copy_id: str) -> int:
        """Give a video the clips of another one of the same content, and return how many. Its row makes them visible."""
        with self._explained():
            found = self.clips.scan(predicate=f"video_id = '{video_id}'")
            rows = pa.RecordBatchReader.from_stream(found).read_all().cast(CLIPS)
            spans = zip(rows["start_s"].to_pylist(), rows["end_s"].to_pylist(), strict=True)
            ids = pa.array([clip_id_of(copy_id, Span(start_s, end_s)) for start_s, end_s in spans], pa.int64())
            rows = rows.set_column(0, "clip_id", ids).set_column(1, "video_id", pa.array([copy_id] * len(ids), pa.string()))
            if len(ids):
                write_deltalake(self.clips, rows, mode="append")
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
        """The Delta version of each table; and of tags, where there ever were any, with the revision of their names."""
        found = {"videos": self.videos.version(), "clips": self.clips.version(), "tags": self.tags.table.version()}
        found["tag_names"] = read_definitions(self._library).revision
        return {name: number for name, number in found.items() if number or not name.startswith("tag")}

    def _upsert(self, table: pa.Table, match: str) -> None:
        with self._explained():
            merge = self.videos.merge(table, predicate=match, source_alias="new", target_alias="old")
            merge.when_matched_update_all().when_not_matched_insert_all().execute()

    def parquet_files(self) -> tuple[list[str], list[str]]:
        """Paths of the Parquet files that make up the current versions of ``videos`` and ``clips``."""
        return _files(self.videos, self._library.videos), _files(self.clips, self._library.clips)

    def tag_files(self) -> list[str]:
        """Paths of the Parquet files that make up the current version of ``tags``."""
        with self._explained():
            return _files(self.tags.table, self._library.tags)

    def read_tags(self) -> pa.Table:
        """All of ``tags``, each file as it is on disk.

        Raises:
            LibraryError: a file is missing or damaged.
        """
        with self._explained():
            return _read(self.tag_files(), TAGS)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn what Delta Lake raises (a full disk, a lost file, a damaged log) into a line that says where."""
        try:
            yield
        except (DeltaError, OSError, pa.ArrowException) as exc:
            raise LibraryError(
                f"--library: the tables in {str(self._library.folder)!r} cannot be read or written: "
                f"{(str(exc) or type(exc).__name__).splitlines()[0]}"
            ) from exc


def _restore(table: DeltaTable, version: int) -> None:
    if table.version() != version:  # Delta Lake refuses to go back to where it is
        table.restore(version)


def _files(table: DeltaTable, folder: Path) -> list[str]:
    # Relative names and not URIs, which spell blanks and umlauts in other ways than the file system does.
    names = pa.table(table.get_add_actions(flatten=True))["path"].to_pylist()
    if odd := [name for name in names if "/" in name or "\\" in name or "%" in name or not name.endswith(".parquet")]:
        raise LibraryError(
            f"--library: the table {str(folder)!r} names the file {odd[0]!r}, allowed are Parquet files of its own folder; "
            "somebody else has written to it: restore it from a backup, or ingest into a new folder"
        )
    return [str(folder / name) for name in names]


def _read(files: list[str], schema: pa.Schema) -> pa.Table:
    return dataset.dataset(files, schema=schema, format="parquet").to_table() if files else schema.empty_table()


def _quoted(ids: Collection[str]) -> str:
    """Ids for a SQL list; they are hex digits of our own making."""
    assert all(i.isalnum() for i in ids), "ids are hex digits"
    return ", ".join(f"'{i}'" for i in ids)
