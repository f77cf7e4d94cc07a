"""Where the clips of a segment come from: the tables' Parquet files, or an older segment that is merged into it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as dataset
from numpy.typing import NDArray

from index.snapshot.feature_records import write_records
from index.snapshot.ranges import ranges
from index.snapshot.segment import TIMELINE, VIDEO_KEYS, Segment
from index.snapshot.segment_catalog import read_catalog_rows
from index.storage.paths import Library
from index.storage.working_copies import local_files
from schemas.errors import LibraryError
from schemas.rerank_features import FeatureLayout
from schemas.tables import CLIPS

Rows = NDArray[np.int64]

MAX_NEW_CLIPS = 1_000_000
"""The most clips that are read from the tables into one segment; a larger library begins with several segments."""

_BATCH = 16_384
_KEYS = ["clip_id", "video_id", "start_s", "end_s"]


class ClipSource(Protocol):
    """Clips that a segment is made of, ordered by video id, start and end."""

    @property
    def videos(self) -> pa.Table:
        """`VIDEO_KEYS` of the videos, by video id."""

    @property
    def first_rows(self) -> Rows:
        """int64 [videos + 1]: the row of each video's first clip, and the number of clips."""

    @property
    def timeline(self) -> NDArray[np.void]:
        """`TIMELINE` [clips]."""

    def vectors_at(self, rows: Rows) -> NDArray[np.float32]:
        """float32 [n, dim]."""

    def catalog_rows(self, rows: Rows) -> pa.Table:
        """Columns ``labels`` and ``classifier`` of ascending ``rows``."""

    @property
    def places(self) -> tuple[Rows, Sequence[str], FeatureLayout | None]:
        """Where the features' records are: places, files and layout (`index.snapshot.feature_records`)."""


@dataclass(frozen=True, slots=True, eq=False)
class NewVideos:
    """Videos that no segment holds yet.

    Attributes:
        keys: ``video_id`` and ``ingested_at``.
        files: Parquet files that have their clips, and may have others.
        feature_files: Parquet files that have their features.
        num_clips: how many clips they have, where that is known.
    """

    keys: pa.Table
    files: Sequence[str]
    feature_files: Sequence[str]
    num_clips: int = 0


class TableClips:
    """Clips read from the tables. The vectors lie in a temporary file, so that memory does not bound them."""

    def __init__(self, keys: pa.Table, files: Sequence[str], dim: int, scratch: Path) -> None:
        """Read the clips of some videos.

        Args:
            keys: ``video_id`` and ``ingested_at`` of the videos.
            files: Parquet files that have their clips.
            dim: of the vectors.
            scratch: a folder for temporary files.

        Raises:
            LibraryError: a file cannot be read, or holds vectors of another dimension.
        """
        keys = keys.sort_by("video_id")
        read = _read_keys(files, keys["video_id"])
        numbers = pc.index_in(read["video_id"], value_set=keys["video_id"].combine_chunks()).to_numpy()
        start_s, end_s = read["start_s"].to_numpy(), read["end_s"].to_numpy()
        order = np.lexsort((end_s, start_s, numbers))
        row_of = np.empty(len(order), np.int64)
        row_of[order] = np.arange(len(order))
        self.timeline = np.empty(len(order), TIMELINE)
        self.timeline["clip_id"], self.timeline["video"] = read["clip_id"].to_numpy()[order], numbers[order]
        self.timeline["start_s"], self.timeline["end_s"] = start_s[order], end_s[order]
        self._read_contents(files, keys["video_id"], row_of, order, dim, scratch)
        counts = np.bincount(numbers, minlength=len(keys))
        self.first_rows = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        num_labels = pc.fill_null(pc.list_value_length(self._contents["labels"]), 0).to_numpy()
        of_videos = np.bincount(numbers[order], weights=num_labels, minlength=len(keys))
        self.videos = pa.table(
            [keys["video_id"], keys["ingested_at"], counts.astype(np.int32), of_videos.astype(np.int32)], schema=VIDEO_KEYS
        )
        self.places: tuple[Rows, Sequence[str], FeatureLayout | None] = np.full(len(order), -1), (), None

    def vectors_at(self, rows: Rows) -> NDArray[np.float32]:
        """float32 [n, dim]."""
        return np.asarray(self._vectors[rows], np.float32)

    def catalog_rows(self, rows: Rows) -> pa.Table:
        """Columns ``labels`` and ``classifier`` of these rows."""
        return self._contents.take(rows)

    def _read_contents(
        self, files: Sequence[str], video_ids: pa.ChunkedArray, row_of: Rows, order: Rows, dim: int, scratch: Path
    ) -> None:
        """Read what is not a key, the vectors into a file by row; ``row_of`` are the rows of the clips as they are read."""
        self._vectors: NDArray[np.float32] = np.empty((0, dim), np.float32)
        if len(row_of):
            with tempfile.NamedTemporaryFile(dir=scratch) as file:  # without a name the file goes with the array
                self._vectors = np.memmap(file, np.float32, "w+", shape=(len(row_of), dim))
        read, contents = 0, []
        for batch in clip_batches(files, video_ids, ["video_id", "labels", "embedding", "classifier"]):
            flat = pc.list_flatten(batch["embedding"]).to_numpy()
            if len(flat) != dim * len(batch):
                raise LibraryError(f"it holds embeddings of other dimensions than {dim}; see what vidsift verify says of it")
            self._vectors[row_of[read : read + len(batch)]] = flat.reshape(-1, dim)
            contents.append(batch.select(["labels", "classifier"]))
            read += len(batch)
        schema = pa.schema([CLIPS.field("labels"), CLIPS.field("classifier")])
        self._contents = pa.concat_tables(contents).take(order) if contents else schema.empty_table()


class SegmentClips:
    """The clips of a segment's live videos, to be merged into another segment."""

    def __init__(self, segment: Segment, dead_videos: Rows) -> None:
        """``dead_videos`` are the numbers of the videos to leave out."""
        self._segment = segment
        self._kept = np.setdiff1d(np.arange(segment.info.videos), dead_videos)
        self.videos = segment.videos.take(self._kept)
        first = segment.first_rows
        self._rows = ranges(first[self._kept], first[self._kept + 1])
        counts = first[self._kept + 1] - first[self._kept]
        self.first_rows = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)

    @cached_property
    def timeline(self) -> NDArray[np.void]:
        """`TIMELINE` [clips]; videos are numbered anew."""
        timeline = self._segment.timeline[self._rows]
        timeline["video"] = np.searchsorted(self._kept, timeline["video"])
        return timeline

    def vectors_at(self, rows: Rows) -> NDArray[np.float32]:
        """float32 [n, dim]."""
        return self._segment.vectors.vectors_at(self._rows[rows])

    def catalog_rows(self, rows: Rows) -> pa.Table:
        """Columns ``labels`` and ``classifier`` of ascending ``rows``."""
        return read_catalog_rows(self._segment.catalog, self._rows[rows])

    @property
    def places(self) -> tuple[Rows, Sequence[str], FeatureLayout | None]:
        """Where the features' records are."""
        features = self._segment.features
        if features is None:
            return np.full(len(self._rows), -1), (), None
        return features.places[self._rows], features.files, features.layout


def in_parts(new: NewVideos) -> list[NewVideos]:
    """New videos in parts of at most `MAX_NEW_CLIPS` clips (more where one video has more), each with the files it needs.

    Goes by the order of the files, so that parts share few.
    """
    if not len(new.keys):
        return []
    video_ids = new.keys["video_id"].combine_chunks()
    of_files = [pc.index_in(_read_keys([file], video_ids)["video_id"], value_set=video_ids).to_numpy() for file in new.files]
    numbers = np.concatenate([*of_files, np.arange(len(video_ids))])  # the last stand for videos without clips
    sizes = np.bincount(numbers) - 1
    order = np.argsort(np.unique(numbers, return_index=True)[1])
    part = np.empty(len(order), np.int64)
    part[order] = (np.cumsum(sizes[order]) - sizes[order]) // MAX_NEW_CLIPS
    parts = []
    for number in np.unique(part):
        in_part = part == number
        files = [file for file, of_file in zip(new.files, of_files, strict=True) if in_part[of_file].any()]
        parts.append(
            NewVideos(new.keys.filter(pa.array(in_part)), files, new.feature_files, num_clips=int(sizes[in_part].sum()))
        )
    return parts


def read_new(
    new: NewVideos, dim: int, library: Library, scratch: Path, known_records: Sequence[str] | None = None
) -> TableClips:
    """The clips of new videos; their features' records are written, but those in a file of ``known_records``."""
    clips = TableClips(new.keys, new.files, dim, scratch)
    if known_records is not None:
        clips.places = write_records(library.records, new.feature_files, clips.timeline["clip_id"], known_records)
    return clips


def lacking_clips(files: Sequence[str], videos: pa.Table) -> bool:
    """Whether ``files`` have fewer clips of any of ``videos`` than its column ``clip_count`` says."""
    video_ids = videos["video_id"].combine_chunks()
    read = pc.index_in(_read_keys(files, video_ids)["video_id"], value_set=video_ids).to_numpy()
    counted = np.bincount(read, minlength=len(videos))
    return bool((counted < videos["clip_count"].fill_null(0).to_numpy()).any())


def _read_keys(files: Sequence[str], video_ids: pa.ChunkedArray | pa.Array) -> pa.Table:
    """The columns `_KEYS` of the clips of these videos, in the order in which `clip_batches` gives them."""
    schema = pa.schema([CLIPS.field(name) for name in _KEYS])
    batches = [batch.select(_KEYS) for batch in clip_batches(files, video_ids, _KEYS)]
    return pa.concat_tables(batches).combine_chunks() if batches else schema.empty_table()


def clip_batches(files: Sequence[str], video_ids: pa.ChunkedArray | pa.Array, columns: Sequence[str]) -> Iterator[pa.Table]:
    """Columns of the clips of these videos, as Parquet files have them, in batches; ``video_id`` must be one of them."""
    if isinstance(video_ids, pa.ChunkedArray):
        video_ids = video_ids.combine_chunks()
    for file in files:
        try:
            rows = dataset.dataset(local_files([file]), schema=CLIPS, format="parquet")
            for batch in rows.to_batches(list(columns), batch_size=_BATCH):
                table = pa.table(batch)
                # Not as a filter of the dataset: files that Delta Lake has rewritten have texts of another type, whose
                # statistics Arrow cannot compare with these.
                table = table.filter(pc.is_in(table["video_id"], value_set=video_ids))
                if len(table):
                    yield table
        except (OSError, pa.ArrowException) as exc:
            raise LibraryError(f"a table's file cannot be read: {str(exc).splitlines()[0]}; restore it") from exc
