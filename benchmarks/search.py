"""The cost of a search in a library of up to ten million made-up clips, without its text model; and of adding to it.

    python -m benchmarks.search --clips 1000000 --dim 512
    python -m benchmarks.search --clips 1000000 --folder /tmp/million    # makes the library there once, and asks it again

The clips and texts are those of `benchmarks.made_up_vectors`, which behave like real ones. They go into one segment, as
``vidsift compact`` would have left them; 2,048 records of features are shared by all clips, so that ten million take 17 GB
of disk and not 300. Prints, for texts that were not asked before, the median and the 95th percentile of wall times on all
cores, and the mean of CPU times; the recall against a scan of everything; memory and disk; and how long it
takes to open the library and to publish 1,000 more clips. Beside it, a scan of all vectors by NumPy, for up to two million:
what a script over an array of embeddings would do. `benchmarks.warm_and_cold` has the text model and the command.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from benchmarks.made_up_vectors import CHUNK, MadeUpVectors
from index.search.searcher import Searcher
from index.snapshot.feature_records import RecordFile
from index.snapshot.flat_vectors import faiss
from index.snapshot.publish import publish_segments, publish_tables
from index.snapshot.segment import TIMELINE, VIDEO_KEYS
from index.snapshot.segment_build import write_segment, writing_folder
from index.snapshot.shown import ShownSegment
from index.storage.config import LibraryConfig, write_library_config
from index.storage.paths import Library
from index.storage.tables import Tables
from pipeline.models.base import EmbeddedClips, RerankEmbedder
from pipeline.write import write_clips
from schemas.models import Checkpoint, Label
from schemas.options import Sampling
from schemas.records import ClipRow, Span, VideoFile, VideoInfo, VideoRow, clip_id_of
from schemas.rerank_features import ClipFeatures, FeatureLayout, digests_of
from schemas.search import SearchOptions
from schemas.tables import CLASSIFIER_COLUMNS

_PER_VIDEO, _WINDOW_S, _LABELS, _RECORDS, _TOKENS = 100, 4.0, 400, 2_048, 49
# Rows that a search for ten answers asks for, without reranking and with it (`index.search.candidates`).
_DEPTHS = 200, 400
_RECALL_TEXTS, _SCAN_ROWS = 500, 32_768

_NEW_CLIPS = 1_000
_SCANNED = 2_000_000


class MadeUpEmbedder:
    """Texts ``0``, ``1``, ... are the world's texts; all others are something else. A rerank score is that of one token."""

    logit_scale = 100.0
    preprocessing: Any = None
    device: Any = None
    dtype: Any = None

    def __init__(self, texts: NDArray[np.float32]) -> None:
        """``texts`` are float32 [texts, dim]."""
        self._texts, self.dim = texts, texts.shape[1]

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """float32 [texts, dim]."""
        return np.stack([self._texts[int(text) if text.isdigit() else -1 - len(text) % 20] for text in texts])

    def embed_clips(self, pixels: Any) -> NDArray[np.float32]:
        """Never asked: the made-up clips come with their vectors."""
        raise NotImplementedError

    def embed_clips_with_features(self, pixels: Any) -> EmbeddedClips:
        """Never asked: the made-up clips come with their vectors."""
        raise NotImplementedError

    def rerank_scores(
        self, texts: Sequence[str], embeddings: NDArray[np.float32], features: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """float32 [texts, clips]."""
        return np.asarray(100 * (self.embed_texts(texts) @ (embeddings + 1e-3 * features.mean(axis=1)).T), np.float32)


@dataclass(frozen=True)
class MadeUpClips:
    """The clips of the world as a source of a segment."""

    world: MadeUpVectors
    count: int
    ingested_at: datetime
    layout: FeatureLayout
    records: str

    @cached_property
    def videos(self) -> pa.Table:
        """`VIDEO_KEYS`."""
        numbers = range(self.count // _PER_VIDEO)
        per_video = np.full(len(numbers), _PER_VIDEO, np.int32)
        times = pa.array([self.ingested_at] * len(numbers), VIDEO_KEYS.field("ingested_at").type)
        return pa.table([[f"{n:016x}" for n in numbers], times, per_video, 2 * per_video], schema=VIDEO_KEYS)

    @property
    def first_rows(self) -> NDArray[np.int64]:
        """int64 [videos + 1]."""
        return np.arange(0, self.count + 1, _PER_VIDEO)

    @cached_property
    def timeline(self) -> NDArray[np.void]:
        """`TIMELINE` [clips]."""
        timeline = np.empty(self.count, TIMELINE)
        rows = np.arange(self.count)
        timeline["clip_id"], timeline["video"] = rows, rows // _PER_VIDEO
        timeline["start_s"] = _WINDOW_S * (rows % _PER_VIDEO)
        timeline["end_s"] = timeline["start_s"] + _WINDOW_S
        return timeline

    def vectors_at(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """float32 [n, dim], of rows that ascend."""
        chunks = rows // CHUNK
        return np.concatenate([self._chunk(int(n))[rows[chunks == n] % CHUNK] for n in np.unique(chunks)])

    def catalog_rows(self, rows: NDArray[np.int64]) -> pa.Table:
        """``labels`` and ``classifier``: of 400 labels, the clip's own with .9 and the next with .1."""
        numbers = (np.stack([rows, rows + 1], axis=1) % _LABELS).ravel()
        names = pa.DictionaryArray.from_arrays(numbers, [f"label {n}" for n in range(_LABELS)]).cast(pa.string())
        scores = pa.array(np.tile(np.array([0.9, 0.1], np.float32), len(rows)))
        of_clips = pa.StructArray.from_arrays([names, scores], ["label", "score"])
        labels = pa.ListArray.from_arrays(np.arange(0, 2 * len(rows) + 1, 2, dtype=np.int32), of_clips)
        return pa.table([labels, pa.repeat(pa.scalar("made-up"), len(rows))], schema=CLASSIFIER_COLUMNS)

    @property
    def places(self) -> tuple[NDArray[np.int64], Sequence[str], FeatureLayout]:
        """Where the features are."""
        return np.arange(self.count) % _RECORDS, (self.records,), self.layout

    def _chunk(self, number: int) -> NDArray[np.float32]:
        if _held.get("number") != number:
            _held.update(number=number, vectors=self.world.clips(number))
        vectors: NDArray[np.float32] = _held["vectors"]
        return vectors


_held: dict[str, Any] = {}


def config_of(dim: int) -> LibraryConfig:
    """The library's config; its models are never loaded."""
    classifier = Checkpoint("made-up", "made-up", None, "videomae", "0" * 64)
    embedder = Checkpoint("made-up", "made-up", None, "xclip", "1" * 64, (), dim)
    return LibraryConfig(classifier, embedder, Sampling(), "int8")


def make_library(library: Library, world: MadeUpVectors, count: int) -> None:
    """Write and publish a library of ``count`` clips in one segment."""
    library.folder.mkdir(parents=True)
    config = config_of(world.dim)
    write_library_config(library, config)
    tables = Tables(library, features=True)
    commit_videos(tables, 0, count // _PER_VIDEO)
    layout = FeatureLayout("int8", _TOKENS, world.dim)
    (ingested_at,) = set(tables.video_keys()["ingested_at"].to_pylist())
    source = MadeUpClips(world, count, ingested_at, layout, write_records(library, world, layout))
    with writing_folder(library.segments) as scratch:
        segment = write_segment(library, [source], world.dim, scratch, lambda texts: world.texts(len(texts), draw=9))
    publish_segments(library, tables, config, [ShownSegment(segment, np.empty(0, np.int64))])


def commit_videos(tables: Tables, begin: int, end: int) -> None:
    """Rows of videos by number."""
    rows = [
        VideoRow(
            VideoInfo(f"{n:016x}", VideoFile(f"/videos/{n:07}.mp4", 1, 0), duration_s=_PER_VIDEO * _WINDOW_S),
            "indexed",
            _PER_VIDEO,
        )
        for n in range(begin, end)
    ]
    tables.commit_videos(rows, replace_paths=False)


def write_records(library: Library, world: MadeUpVectors, layout: FeatureLayout) -> str:
    """One file of records, whose embeddings are those of the first clips."""
    rng = np.random.default_rng(0)
    file, vectors = RecordFile(library.records), world.clips(0)[:_RECORDS]
    for vector in vectors:
        record = layout.encode(vector[None], rng.normal(size=(1, _TOKENS, world.dim)).astype(np.float32))[0].tobytes()
        file.add(int(digests_of([record])[0]), record)
    name = file.finish()
    assert name is not None
    return name


def publish_more(library: Library, world: MadeUpVectors, number: int) -> float:
    """Commit 1,000 more clips, and return the seconds that publishing them takes."""
    config = config_of(world.dim)
    tables, layout = Tables(library, features=True), FeatureLayout("int8", _TOKENS, world.dim)
    begin = (1 << 40) + number * (_NEW_CLIPS // _PER_VIDEO)
    vectors = world.held_out_clips(_NEW_CLIPS)
    described = ClipFeatures(layout, layout.encode(vectors[:1], np.ones((1, _TOKENS, world.dim), np.float32))[0].tobytes())
    rows = []
    for n, vector in enumerate(vectors):
        video_id, start_s = f"{begin + n // _PER_VIDEO:016x}", _WINDOW_S * (n % _PER_VIDEO)
        span = Span(start_s, start_s + _WINDOW_S)
        rows.append(ClipRow(clip_id_of(video_id, span), video_id, span, (Label("label 0", 0.9),), vector, described))
    classifier, embedder = config.classifier.stamp, config.embedder.stamp
    written = write_clips(rows, library.clips, classifier=classifier, embedder=embedder, features_folder=library.features)
    tables.commit_clips([written])
    commit_videos(tables, begin, begin + _NEW_CLIPS // _PER_VIDEO)
    began = time.perf_counter()
    publish_tables(library, tables, config)
    return time.perf_counter() - began


def cost_text(ask: Callable[[str], object], texts: Sequence[str]) -> str:
    """Milliseconds of asking: p50 and p95 of wall time, mean of CPU time; the first two questions warm up."""
    wall, cpu = [], []
    for text in texts:
        began, cpu_began = time.perf_counter(), time.process_time()
        ask(text)
        wall.append(1000 * (time.perf_counter() - began))
        cpu.append(1000 * (time.process_time() - cpu_began))
    p50, p95 = np.percentile(wall[2:], [50, 95])
    return f"{p50:8.1f} {p95:8.1f} {np.mean(cpu[2:]):8.1f}"


def rerank_text(searcher: Searcher, numbers: Iterator[int]) -> str:
    """Milliseconds of wall time, p50 and p95, that reranking 100 clips adds to a search."""
    rerank, wall = searcher.scorer.rerank, list[float]()

    def timed(*arguments: Any) -> Any:
        began = time.perf_counter()
        scores = rerank(*arguments)
        wall.append(1000 * (time.perf_counter() - began))
        return scores

    searcher.scorer.rerank = timed  # type: ignore[assignment]
    for _ in range(32):
        searcher.search(SearchOptions(texts=(str(next(numbers)),), rerank=100, show_all=True))
    p50, p95 = np.percentile(wall[2:], [50, 95])
    return f"{p50:8.1f} {p95:8.1f}"


def anonymous_mb() -> float:
    """Megabytes of this process's memory that are not pages of mapped files."""
    lines = Path("/proc/self/smaps_rollup").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("Anonymous:"))


def print_costs(library: Library, world: MadeUpVectors, count: int) -> None:
    """Ask the library, and print the table."""
    embedder: Any = MadeUpEmbedder(world.texts(1_000, draw=1))
    assert isinstance(embedder, RerankEmbedder)
    before_mb = anonymous_mb()
    began = time.perf_counter()
    searcher = Searcher(library.folder, load=lambda: embedder)
    searcher.search(SearchOptions(texts=("999",), rerank=0, show_all=True))
    print(f"{'opened, to the first answer':<52} {1000 * (time.perf_counter() - began):8.0f} ms")
    print(f"{'milliseconds':<52} {'p50':>8} {'p95':>8} {'CPU':>8}")
    numbers = iter(range(900))
    for name, options in (
        ("plain", {}),
        ("the same, recall .99", {"recall": 0.99}),
        ("rerank 100", {"rerank": 100}),
        ("20 videos", {"by": "video", "k": 20}),
        ("--not", {"without": ("a",)}),
        ("--then", {"then_text": "ab"}),
        ("a filter that half pass", {"where": "start_s >= 200"}),
        ("the same, not asked before", {"where": "start_s >= 200 and {0} = {0}"}),
        ("a filter that 1 in 400 pass", {"where": "label = 'label 7'"}),
        ("the same, not asked before", {"where": "label = 'label 7' and {0} = {0}"}),
        ("a filter that 1 in 100,000 pass", {"where": "clip_id % 100000 = 77"}),
        ("the same, not asked before", {"where": "clip_id % 100000 = 77 and {0} = {0}"}),
    ):

        def ask(text: str, options: dict[str, Any] = options) -> object:
            given = {"rerank": 0, "show_all": True, **options}
            if "where" in given:
                given["where"] = given["where"].format(text)
            return searcher.search(SearchOptions(texts=(text,), **given))

        print(f"{name:<52} {cost_text(ask, [str(next(numbers)) for _ in range(32)])}", flush=True)
    print(f"{'of that with rerank 100, its reranking':<52} {rerank_text(searcher, numbers)}")
    clips = searcher.scorer.clips
    if count <= _SCANNED:
        vectors = clips.vectors_at(np.arange(count))
        texts = embedder.embed_texts([str(n) for n in range(32)])
        scan = cost_text(lambda n: np.argpartition(-(vectors @ texts[int(n)]), 10)[:10], [str(n) for n in range(32)])
        print(f"{'all vectors by NumPy, the ten best':<52} {scan}")
        del vectors
    print_recall(clips, embedder)
    print(f"{'memory of a warm reader, mapped pages aside':<52} {anonymous_mb() - before_mb:8.0f} MB")
    stored = sum(path.stat().st_size for path in library.segments.glob("*/*.faiss"))
    print(f"{'vectors on disk':<52} {stored / count:8.0f} bytes a clip")
    searcher.snapshot.catalog.close()


def print_recall(clips: Any, embedder: Any) -> None:
    """Recall of text-like queries against a scan of everything, and its standard error."""
    queries = embedder.embed_texts([str(n) for n in range(_RECALL_TEXTS, 2 * _RECALL_TEXTS)])
    exact = exact_rows(clips, queries)
    for recall in (0.95, 0.99):
        for depth in _DEPTHS:
            found, _ = clips.search(queries, depth, recall=recall, passing=None)
            name = f"recall of the 10 and 100 best, asked for {recall:g} and {depth} rows"
            for at in (10, 100):
                shares = [np.isin(e[:at], f[:at]).mean() for e, f in zip(exact, found, strict=True)]
                name += f" {np.mean(shares):8.3f} +- {np.std(shares) / len(shares) ** 0.5:.3f}"
            print(name, flush=True)


def exact_rows(clips: Any, queries: NDArray[np.float32]) -> NDArray[np.int64]:
    """int64 [queries, 100], the best rows of all, by one pass over the vectors."""
    scores, rows = np.empty((len(queries), 0), np.float32), np.empty((len(queries), 0), np.int64)
    for begin in range(0, clips.num_rows, _SCAN_ROWS):
        block = np.arange(begin, min(begin + _SCAN_ROWS, clips.num_rows))
        found = faiss.knn(queries, clips.vectors_at(block), min(100, len(block)), metric=faiss.METRIC_INNER_PRODUCT)
        scores, rows = np.hstack([scores, found[0]]), np.hstack([rows, found[1] + begin])
        best = np.argsort(-scores, axis=1)[:, :100]
        scores, rows = np.take_along_axis(scores, best, 1), np.take_along_axis(rows, best, 1)
    return rows


def main() -> None:
    """Make the library, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=100_000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--folder", type=Path, help="make the library in this folder, or use the one that is there")
    arguments = parser.parse_args()
    world = MadeUpVectors(arguments.dim)
    with tempfile.TemporaryDirectory() as scratch:
        library = Library((arguments.folder or Path(scratch)) / "library")
        if not library.current_file.exists():
            began, cpu_began = time.perf_counter(), time.process_time()
            make_library(library, world, arguments.clips)
            took, cpu = time.perf_counter() - began, time.process_time() - cpu_began
            print(f"{arguments.clips} clips made and published in {took:.0f} s, {cpu:.0f} s of CPU ({os.cpu_count()} cores)")
        print_costs(library, world, arguments.clips)
        times = [publish_more(library, world, time.time_ns() // 1000 + n) for n in range(3)]
        print(f"{'publishing 1,000 more clips, three times':<52} {' '.join(f'{s:8.2f}' for s in times)} s")


if __name__ == "__main__":
    main()
