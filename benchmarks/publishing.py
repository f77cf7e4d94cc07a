"""What publishing costs in a large library with tags: 1,000 clips more, a rollback, a video removed, nothing but a tag.

    python -m benchmarks.publishing --clips 1000000 --folder /tmp/million    # makes the library there once, and uses a copy
    python -m benchmarks.publishing --clips 1000000 --per-video 10           # 100,000 videos

The clips are those of `benchmarks.made_up_vectors`, in Parquet files as an ingest leaves them after a compaction, and the
library has three tags. Prints for each step the seconds, those of CPU time, megabytes that were read and written, and how
much memory the process has had at most, mapped pages aside. Copies are hard links: nothing in a library is written in place.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from benchmarks.made_up_vectors import CHUNK, MadeUpVectors
from benchmarks.search import anonymous_mb
from index.snapshot.catalog_build import write_paths, write_videos
from index.snapshot.publish import publish_tables
from index.snapshot.snapshot import Snapshot
from index.storage.config import LibraryConfig, write_library_config
from index.storage.paths import Library
from index.storage.tables import Tables
from index.storage.tags_file import read_definitions, write_definitions
from jobs.maintain.rollback import rollback
from jobs.tag.tag import change_tags
from schemas.models import Checkpoint
from schemas.options import Sampling
from schemas.records import VideoFile, VideoInfo, VideoRow, Written, WrittenFile
from schemas.tables import CLIPS
from schemas.tags import TagDefinition

_WINDOW_S, _LABELS, _NEW_CLIPS, _TAGS = 4.0, 400, 1_000, 3
# Clips of 512 dimensions are 2 kB each, so a file is of the size that a compaction aims at.
_PER_FILE = 50_000


def config_of(dim: int) -> LibraryConfig:
    """The library's config; its models are never loaded."""
    classifier = Checkpoint("made-up", "made-up", None, "videomae", "0" * 64)
    embedder = Checkpoint("made-up", "made-up", None, "xclip", "1" * 64, (), dim)
    return LibraryConfig(classifier, embedder, Sampling())


def tag_of(config: LibraryConfig, number: int) -> TagDefinition:
    """A tag whose scores spread from 0 to 1."""
    weights = np.random.default_rng(number).normal(size=config.embedding_dim)
    return TagDefinition(
        name=f"tag {number}", weights=tuple(weights.tolist()), bias=0.0, embedder=config.embedder.stamp, prompts=("a", "b")
    )


def commit_clips(tables: Tables, vectors: NDArray[np.float32], first_video: int, per_video: int) -> None:
    """Commit clips in one file, and their videos."""
    count = len(vectors)
    numbers = np.arange(count)
    video_ids = [f"{n:016x}" for n in range(first_video, first_video + count // per_video)]
    ids = pa.DictionaryArray.from_arrays(pa.array(numbers // per_video), video_ids).cast(pa.string())
    names = pa.DictionaryArray.from_arrays(numbers % _LABELS, [f"label {n}" for n in range(_LABELS)]).cast(pa.string())
    labels = pa.StructArray.from_arrays([names, pa.array(np.full(count, 0.9, np.float32))], ["label", "score"])
    start_s = _WINDOW_S * (numbers % per_video)
    rows = pa.table(
        [
            pa.array(np.random.default_rng(first_video).integers(0, 1 << 62, count)),
            ids,
            start_s,
            start_s + _WINDOW_S,
            pa.ListArray.from_arrays(np.arange(count + 1, dtype=np.int32), labels),
            pa.ListArray.from_arrays(
                np.arange(0, vectors.size + 1, vectors.shape[1], dtype=np.int32), vectors.astype(np.float32).ravel()
            ).cast(CLIPS.field("embedding").type),
            pa.repeat(pa.scalar("made-up"), count),
            pa.repeat(pa.scalar("made-up"), count),
        ],
        schema=CLIPS,
    )
    path = tables._library.clips / f"part-{uuid.uuid4().hex}.parquet"
    pq.write_table(rows, path, compression="zstd")
    tables.commit_clips([Written(*WrittenFile(path.name, path.stat().st_size), {video_id: () for video_id in video_ids})])
    videos = [
        VideoRow(
            VideoInfo(of, VideoFile(f"/videos/{n // 500}/{of}.mp4", 1, 0), duration_s=per_video * _WINDOW_S),
            "indexed",
            per_video,
        )
        for n, of in enumerate(video_ids)
    ]
    tables.commit_videos(videos, replace_paths=False)


def make_library(library: Library, world: MadeUpVectors, clips: int, per_video: int) -> None:
    """Write and publish a library with tags."""
    library.folder.mkdir(parents=True)
    config = config_of(world.dim)
    write_library_config(library, config)
    tables, done = Tables(library), 0
    for number in range(-(-clips // CHUNK)):
        for vectors in np.split(world.clips(number), CHUNK // _PER_FILE):
            if done < clips:
                commit_clips(tables, vectors[: clips - done], done // per_video, per_video)
                done += len(vectors)
    tags = tuple(tag_of(config, number) for number in range(_TAGS))
    write_definitions(library, read_definitions(library).changed(add=tags))
    publish_tables(library, tables, config)


def measure(name: str, step: Callable[[], object]) -> None:
    """Run a step, and print what it cost."""
    peak, is_done = [0.0], threading.Event()

    def watch() -> None:
        while not is_done.wait(0.02):
            peak[0] = max(peak[0], anonymous_mb())

    watcher = threading.Thread(target=watch)
    watcher.start()
    io_began, began, cpu_began = _io_mb(), time.perf_counter(), time.process_time()
    step()
    took, cpu, io = time.perf_counter() - began, time.process_time() - cpu_began, _io_mb()
    is_done.set()
    watcher.join()
    moved = " ".join(f"{after - before:9.0f}" for before, after in zip(io_began, io, strict=True))
    print(f"{name:<44} {took:8.2f} {cpu:8.2f} {moved} {peak[0]:8.0f}", flush=True)


def _io_mb() -> tuple[float, float]:
    """Megabytes that this process has read and written, from the page cache or not, but for mapped files."""
    counts = dict(line.split(": ") for line in Path("/proc/self/io").read_text(encoding="ascii").splitlines())
    return int(counts["rchar"]) / 1e6, int(counts["wchar"]) / 1e6


def measure_all(library: Library, world: MadeUpVectors, per_video: int) -> None:
    """Change the library step by step, and print the table."""
    config = config_of(world.dim)
    print(f"{'':<44} {'s':>8} {'CPU s':>8} {'MB read':>9} {'written':>9} {'MB held':>8}")
    for number in range(4):
        tables = Tables(library)
        commit_clips(tables, world.held_out_clips(_NEW_CLIPS), (number + 1) << 40, per_video)
        measure("publishing 1,000 more clips", lambda tables=tables: publish_tables(library, tables, config))  # type: ignore[misc]
    measure("rollback by one", lambda: rollback(library.folder, Snapshot(library).number - 1))
    tables = Tables(library)
    tables.remove_videos([f"{0:016x}"])  # it is in the large segment
    measure("a video removed: its rows dropped", tables.drop_orphans)
    measure("a video removed: publishing", lambda: publish_tables(library, tables, config))
    measure("rollback to before", lambda: rollback(library.folder, Snapshot(library).number - 1))
    tables, definitions = Tables(library), read_definitions(library).changed(add=(tag_of(config, _TAGS),))
    measure("one tag more", lambda: change_tags(library, tables, config, definitions, {}))
    with tempfile.TemporaryDirectory() as scratch:
        snapshot = Snapshot(library)
        places = snapshot.catalog.sql("select video_id, segment, video from _videos.live")
        of = Path(scratch)
        print(f"{len(places):,} videos")
        measure("videos.duckdb", lambda: write_videos(of / "videos.duckdb", tables.parquet_files()[0], places))
        measure("paths.arrow", lambda: write_paths(of / "paths.arrow", of / "videos.duckdb"))
        snapshot.catalog.close()


def main() -> None:
    """Make the library, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=100_000)
    parser.add_argument("--per-video", type=int, default=100)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--folder", type=Path, help="make the library in this folder, or use the one that is there")
    arguments = parser.parse_args()
    world = MadeUpVectors(arguments.dim)
    with tempfile.TemporaryDirectory(dir=arguments.folder and arguments.folder.parent) as scratch:
        made = Library((arguments.folder or Path(scratch)) / "library")
        if not made.current_file.exists():
            measure(
                f"making and publishing {arguments.clips:,} clips",
                lambda: make_library(made, world, arguments.clips, arguments.per_video),
            )
        copy = Library(Path(scratch) / "copy")
        shutil.copytree(made.folder, copy.folder, copy_function=os.link)
        measure_all(copy, world, arguments.per_video)


if __name__ == "__main__":
    main()
