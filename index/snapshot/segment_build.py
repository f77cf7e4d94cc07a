"""Writes segments, each of the clips of one or several sources (`index.snapshot.clip_sources`)."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from index.snapshot.catalog_build import write_segment_catalog
from index.snapshot.clip_sources import ClipSource, NewVideos, TableClips
from index.snapshot.feature_records import (
    SEVERAL_LAYOUTS,
    features_info,
    is_worth_rewriting,
    join_places,
    rewrite_records,
)
from index.snapshot.ranges import ranges
from index.snapshot.sample import sample_of
from index.snapshot.segment import FORMAT, LABELS, TIMELINE, VIDEO_KEYS, Segment, SegmentInfo, finish_segment
from index.snapshot.segment_catalog import some_labels
from index.snapshot.segment_vectors import MAX_FLAT, write_vectors
from index.storage.paths import Library
from schemas.errors import LibraryError

Rows = NDArray[np.int64]
EmbedTexts = Callable[[Sequence[str]], NDArray[np.float32] | None]

_BATCH = 16_384
_QUERIES = 400


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
