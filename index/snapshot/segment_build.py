"""Writes segments: from the tables' Parquet files, and from older segments that are merged."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as dataset
import pyarrow.parquet as pq
from numpy.typing import NDArray

from index.snapshot.catalog_build import write_segment_catalog
from index.snapshot.feature_records import (
    SEVERAL_LAYOUTS,
    features_info,
    is_worth_rewriting,
    join_places,
    rewrite_records,
    write_records,
)
from index.snapshot.ranges import ranges
from index.snapshot.sample import sample_of
from index.snapshot.segment import FORMAT, LABELS, TIMELINE, VIDEO_KEYS, Segment, SegmentInfo, finish_segment
from index.snapshot.segment_catalog import read_catalog_rows, some_labels
from index.snapshot.segment_vectors import MAX_FLAT, write_vectors
from index.storage.paths import Library
from schemas.errors import LibraryError
from schemas.rerank_features import FeatureLayout
from schemas.tables import CLIPS

Rows = NDArray[np.int64]
EmbedTexts = Callable[[Sequence[str]], NDArray[np.float32] | None]

MAX_NEW_CLIPS = 1_000_000
"""The most clips that are read from the tables into one segment; a larger library begins with several segments."""

_BATCH = 16_384
_QUERIES = 256
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
    """Clips read from the tables. The vectors lie in a file until `close`, so that memory does not bound them."""

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


def write_segment(
    library: Library, sources: Sequence[ClipSource], dim: int, scratch: Path, embed_texts: EmbedTexts | None = None
) -> Segment:
    """Write one segment of all clips of ``sources``.

    Args:
        library: to write it in.
        sources: no two hold the same video.
        dim: of the vectors.
        scratch: a folder on the library's disk for what is not finished.
        embed_texts: gives vectors of texts, or None: a large segment's labels are the queries that its recall is measured
            with.

    Raises:
        LibraryError: a source cannot be read, or the segment cannot be written.
    """
    merged = MergedClips(sources, dim)
    aside = Path(tempfile.mkdtemp(dir=scratch))
    aside.chmod(0o755)
    np.save(aside / "timeline.npy", merged.timeline)
    np.save(aside / "sample.npy", sample_of(merged.timeline["clip_id"]))
    pq.write_table(merged.videos, aside / "videos.parquet")
    best = BestLabels(len(merged))
    write_segment_catalog(aside / "clips.duckdb", best.watch(merged.catalog_batches()))
    best.save(aside)
    queries = None
    if embed_texts is not None and len(merged) > MAX_FLAT:
        queries = embed_texts(some_labels(aside / "clips.duckdb", _QUERIES))
    vectors = write_vectors(aside, dim, merged.vector_batches(), queries=queries)
    features = merged.write_places(aside / "features.npy", library.records)
    return finish_segment(aside, library.segments, SegmentInfo(FORMAT, len(merged), len(merged.videos), vectors, features))


def write_catalog_of(path: Path, new: NewVideos, dim: int, scratch: Path) -> TableClips:
    """Write the catalog of a segment of these videos, without the segment, and give its clips."""
    clips = TableClips(new.keys, new.files, dim, scratch)
    write_segment_catalog(path, MergedClips([clips], dim).catalog_batches())
    return clips


@contextmanager
def writing_folder(parent: Path) -> Iterator[Path]:
    """A folder for files that are being written, in ``parent``; removed at the end. Those of stopped processes are, too."""
    parent.mkdir(parents=True, exist_ok=True)
    for leftover in parent.glob(".writing-*"):
        if leftover.name != f".writing-{os.getpid()}":
            shutil.rmtree(leftover, ignore_errors=True)  # which follows no link
    folder = parent / f".writing-{os.getpid()}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class BestLabels:
    """The best label of each clip of a segment, taken from the batches that go into its catalog."""

    def __init__(self, num_clips: int) -> None:
        """For so many clips."""
        self._labels = np.full(num_clips, -1, LABELS)
        self._numbers: dict[str, int] = {}

    def watch(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """The same batches."""
        begin = 0
        for batch in batches:
            lengths = pc.fill_null(pc.list_value_length(batch["labels"]), 0).to_numpy()
            first = (np.cumsum(lengths) - lengths)[lengths > 0]
            best = pc.list_flatten(batch["labels"]).take(first)
            names = pc.dictionary_encode(pc.struct_field(best, "label"))
            numbers = np.array(
                [self._numbers.setdefault(n, len(self._numbers)) for n in names.dictionary.to_pylist()], np.int32
            )
            rows = begin + np.flatnonzero(lengths)
            self._labels["label"][rows] = numbers[names.indices.to_numpy()] if len(rows) else 0
            self._labels["score"][rows] = pc.struct_field(best, "score").to_numpy()
            begin += len(batch)
            yield batch

    def save(self, folder: Path) -> None:
        """Write labels.npy and labels.json."""
        np.save(folder / "labels.npy", self._labels)
        (folder / "labels.json").write_text(json.dumps(list(self._numbers)) + "\n", encoding="utf-8")


class MergedClips:
    """The clips of several sources in the order of one segment."""

    def __init__(self, sources: Sequence[ClipSource], dim: int) -> None:
        self._sources, self._dim = sources, dim
        videos = pa.concat_tables([source.videos for source in sources]) if sources else VIDEO_KEYS.empty_table()
        order = pc.sort_indices(videos, [("video_id", "ascending")]).to_numpy()
        self.videos = videos.take(order)
        source = np.repeat(np.arange(len(sources)), [len(of.videos) for of in sources])[order]
        begin = np.concatenate([of.first_rows[:-1] for of in sources] or [np.empty(0, np.int64)])[order]
        end = np.concatenate([of.first_rows[1:] for of in sources] or [np.empty(0, np.int64)])[order]
        self._source = np.repeat(source, end - begin)
        self._row = ranges(begin, end)
        self.timeline = np.empty(len(self._row), TIMELINE)
        for number, at, rows in self._by_source(slice(None)):
            self.timeline[at] = sources[number].timeline[rows]
        self.timeline["video"] = np.repeat(np.arange(len(order)), end - begin)

    def __len__(self) -> int:
        return len(self._row)

    def vector_batches(self) -> Iterator[NDArray[np.float32]]:
        """float32 [some, dim], the vectors in the order of rows."""
        for begin in range(0, len(self), _BATCH):
            block = slice(begin, begin + _BATCH)
            vectors = np.empty((len(self._row[block]), self._dim), np.float32)
            for number, at, rows in self._by_source(block):
                vectors[at] = self._sources[number].vectors_at(rows)
            yield vectors

    def catalog_batches(self) -> Iterator[pa.RecordBatch]:
        """What `write_segment_catalog` needs, in blocks of rows."""
        for begin in range(0, len(self), _BATCH):
            block = slice(begin, begin + _BATCH)
            parts, places = [], []
            for number, at, rows in self._by_source(block):
                parts.append(self._sources[number].catalog_rows(rows))
                places.append(at)
            contents = pa.concat_tables(parts).take(np.argsort(np.concatenate(places)))
            timeline = self.timeline[block]
            columns = {
                name: pa.array(np.ascontiguousarray(timeline[name])) for name in ("clip_id", "video", "start_s", "end_s")
            }
            table = pa.table(columns | {name: contents[name] for name in ("labels", "classifier")})
            yield from table.combine_chunks().to_batches()

    def write_places(self, path: Path, records: Path) -> dict[str, Any] | None:
        """Write where the features' records are, and give what segment.json says of them; None where there are none."""
        layouts = {layout for source in self._sources if (layout := source.places[2]) is not None}
        if not layouts:
            return None
        if len(layouts) > 1:
            raise LibraryError(SEVERAL_LAYOUTS)
        layout = layouts.pop()
        joined, files = join_places([source.places[:2] for source in self._sources])
        if is_worth_rewriting(records, joined, files, layout.record_bytes):
            joined, files = rewrite_records(records, joined, files, layout)
        first = np.concatenate([[0], np.cumsum([len(source.timeline) for source in self._sources])])
        np.save(path, joined[first[self._source] + self._row])
        return features_info(layout, files)

    def _by_source(self, block: slice) -> Iterator[tuple[int, Rows, Rows]]:
        """For each source with rows of the block: its number, the positions in the block, and the rows in the source."""
        source, row = self._source[block], self._row[block]
        for number in np.unique(source):
            at = np.flatnonzero(source == number)
            yield int(number), at, row[at]


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
            rows = dataset.dataset([file], schema=CLIPS, format="parquet")
            for batch in rows.to_batches(list(columns), batch_size=_BATCH):
                table = pa.table(batch)
                # Not as a filter of the dataset: files that Delta Lake has rewritten have texts of another type, whose
                # statistics Arrow cannot compare with these.
                table = table.filter(pc.is_in(table["video_id"], value_set=video_ids))
                if len(table):
                    yield table
        except (OSError, pa.ArrowException, duckdb.Error) as exc:
            raise LibraryError(f"a table's file cannot be read: {str(exc).splitlines()[0]}; restore it") from exc
