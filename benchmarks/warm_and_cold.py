"""The cost of a search in a library of 100,000 made-up clips with the full-size X-CLIP (random weights): warm and cold.

    python -m benchmarks.warm_and_cold --clips 100000
    python -m benchmarks.warm_and_cold --clips 100000 --folder /tmp/100k    # makes the library there once, and asks it again

Asks 30 texts that were not asked before, in one process that has the library open, and prints the median, the 95th
percentile and the best of their wall times, and the mean of their CPU times over all threads, which a busy machine changes
least. Beside it: the same question put to the vectors by NumPy alone, which is what a script over an array of embeddings
would do; and how long the command takes from its start to its end. Takes about 6 GB of disk while it runs.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from demo.checkpoints import write_classifier, write_embedder
from index.search.searcher import Searcher
from index.snapshot.publish import publish_tables
from index.storage.config import LibraryConfig, write_library_config
from index.storage.paths import Library
from index.storage.tables import Tables
from pipeline.models.checkpoint import find_checkpoint
from pipeline.write import write_clips
from schemas.models import Label
from schemas.options import Sampling
from schemas.records import ClipRow, Span, VideoFile, VideoInfo, VideoRow
from schemas.rerank_features import ClipFeatures, FeatureLayout
from schemas.search import SearchOptions

_BATCH, _PER_VIDEO, _DIM, _TOKENS = 1_000, 100, 512, 49
_WORDS = [
    "a",
    "dog",
    "cat",
    "person",
    "child",
    "car",
    "ball",
    "cake",
    "rope",
    "runs",
    "jumps",
    "bakes",
    "throws",
    "opens",
    "in",
]


def made_clips(count: int) -> Iterator[list[ClipRow]]:
    """Batches of clips: random embeddings, labels and features, 100 clips of 4 s in a video."""
    rng = np.random.default_rng(0)
    layout = FeatureLayout("int8", _TOKENS, _DIM)
    features = rng.normal(size=(_BATCH, _TOKENS, _DIM)).astype(np.float32)
    for begin in range(0, count, _BATCH):
        vectors = rng.normal(size=(_BATCH, _DIM)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        records = layout.encode(vectors, features)
        rows = []
        for row in range(_BATCH):
            number = begin + row
            start_s = 4.0 * (number % _PER_VIDEO)
            labels = (Label(f"label {number % 400}", 0.9), Label(f"label {(number + 1) % 400}", 0.1))
            described = ClipFeatures(layout, records[row].tobytes())
            video_id = f"{number // _PER_VIDEO:016x}"
            rows.append(ClipRow(number, video_id, Span(start_s, start_s + 4.0), labels, vectors[row], described))
        yield rows


def make_library(folder: Path, models: Path, count: int) -> Library:
    """Write and publish the library, as an ingest would have."""
    write_classifier(models / "classifier")
    write_embedder(models / "embedder", "base")
    classifier = find_checkpoint(str(models / "classifier"), "--classifier")
    embedder = find_checkpoint(str(models / "embedder"), "--embedder")
    folder.mkdir(parents=True)
    library, identity = Library(folder), LibraryConfig(classifier, embedder, Sampling(), "int8")
    write_library_config(library, identity)
    tables = Tables(library, features=True)
    for rows in made_clips(count):
        written = write_clips(
            rows,
            library.clips,
            classifier=classifier.stamp,
            embedder=embedder.stamp,
            features_folder=library.features,
        )
        tables.commit_clips([written])
    videos = [
        VideoRow(
            VideoInfo(f"{number:016x}", VideoFile(f"/videos/{number}.mp4", 1, 0), duration_s=4.0 * _PER_VIDEO),
            "indexed",
            _PER_VIDEO,
        )
        for number in range(count // _PER_VIDEO)
    ]
    tables.commit_videos(videos, replace_paths=False)
    publish_tables(library, tables, identity)
    return library


def texts(seed: int, count: int = 30) -> list[str]:
    """Texts that were not asked before."""
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(_WORDS, 6)) for _ in range(count)]


class Cost(NamedTuple):
    """Milliseconds of one question, over several: wall time at the median, the 95th percentile and best; mean CPU time."""

    p50: float
    p95: float
    best: float
    cpu: float

    def __str__(self) -> str:
        return "".join(f" {value:7.1f}" for value in self)


def cost_of(ask: Callable[[str], object], asked: list[str]) -> Cost:
    """The cost of asking; the first two questions warm up and do not count."""
    wall, cpu = [], []
    for text in asked:
        began, cpu_began = time.perf_counter(), time.process_time()
        ask(text)
        wall.append(1000 * (time.perf_counter() - began))
        cpu.append(1000 * (time.process_time() - cpu_began))
    p50, p95 = np.percentile(wall[2:], [50, 95])
    return Cost(float(p50), float(p95), min(wall[2:]), float(np.mean(cpu[2:])))


def print_costs(library: Library, clips: int) -> None:
    """Ask the library, warm and cold, and print the table."""
    searcher = Searcher(library.folder)
    print(f"{'warm, a new text each time; milliseconds':<44} {'p50':>7} {'p95':>7} {'best':>7} {'CPU':>7}")
    for number, (name, rerank, condition) in enumerate(
        (
            ("plain", 0, None),
            ("rerank 100", 100, None),
            ("rerank 100, a filter that 1 in 400 pass", 100, "label = 'label 7'"),
            ("rerank 100, a filter that half pass", 100, "start_s >= 200"),
        )
    ):

        def ask(text: str, rerank: int = rerank, condition: str | None = condition) -> object:
            return searcher.search(SearchOptions(texts=(text,), rerank=rerank, where=condition))

        print(f"{name:<44}{cost_of(ask, texts(number))}")
    vectors = np.random.default_rng(0).normal(size=(clips, _DIM)).astype(np.float32)
    embed = searcher.scorer.encoder.text_vectors
    print(f"{'text model, NumPy product and sort':<44}"
          f"{cost_of(lambda text: np.argsort(-(vectors @ embed([text])[0]))[:10], texts(99))}")  # fmt: skip
    times = []
    for text in texts(5, 3):
        began = time.perf_counter()
        command = [sys.executable, "-m", "cli", "search", text, "--library", str(library.folder), "--all"]
        subprocess.run(command, check=True, capture_output=True)
        times.append(time.perf_counter() - began)
    print(f"{'the command, from start to end (median of 3)':<44} {np.median(times):5.1f} s")


def main() -> None:
    """Make the library, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=100_000)
    parser.add_argument("--folder", type=Path, help="make the library in this folder, or use the one that is there")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder: Path = arguments.folder or Path(scratch)
        library = Library(folder / "library")
        if not library.current_file.exists():
            began = time.perf_counter()
            make_library(library.folder, folder / "models", arguments.clips)
            print(f"{arguments.clips} clips written and published in {time.perf_counter() - began:.0f} s")
        print(f"torch threads: {torch.get_num_threads()}")
        print_costs(library, arguments.clips)


if __name__ == "__main__":
    main()
