"""What a library of very many videos costs before and after decoding: to compare, to change, and to commit.

    python -m benchmarks.listing --videos 1000000

A made-up library of that many videos with two clips each, and made-up listings of its folder, whose files hold nothing but
their numbers. Each step runs in a process of its own. Prints its wall and CPU seconds, and by how much its memory grew at
its peak. Then lists a real folder of as many files as `--files` says, and commits a hundred videos `--commits` times.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from functools import partial
from hashlib import blake2b
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import write_deltalake

from index.storage.paths import Library
from index.storage.tables import Tables
from jobs.ingest.changes import compare
from jobs.ingest.commit import MERGE_EVERY
from jobs.ingest.find import list_files
from pipeline.sources import SOURCES
from pipeline.sources.base import Entry, Status
from pipeline.sources.find import Choice, PassedOver
from schemas.records import Span, VideoFile, VideoInfo, VideoRow, Written, clip_id_of, video_id_of
from schemas.tables import CLIPS, VIDEOS

_TOP = "made://disk"
_PER_FOLDER = 1000
_CLIPS_A_VIDEO = 2
_DIM = 32

SCENES = ("nothing changed", "1 % changed", "10 % moved", "10 % removed")


def path_of(number: int, folder: str = "") -> str:
    """The path of a made-up file."""
    return f"{_TOP}/{folder or f'{number // _PER_FOLDER:05d}'}/{number:08d}.mp4"


def size_of(number: int) -> int:
    """Its size, which few others have."""
    return 1_000_000 + number * 7919 % 999_983


def digest_of(number: int) -> str:
    """The digest of its content."""
    return blake2b(b"%08d" % number, digest_size=16).hexdigest()


class MadeUp:
    """A source of made-up files; see `pipeline.sources.base.Source`."""

    def __init__(self, num_files: int, scene: str) -> None:
        self._num_files, self._scene = num_files, scene

    def list_below(self, folder: str) -> None:
        """Folder by folder."""

    def list_folder(self, folder: str, beginning: str = "") -> list[Entry]:
        """Folders of a thousand files, and one of those that have moved."""
        if folder == _TOP:
            names = [f"{number:05d}" for number in range(0, -(-self._num_files // _PER_FOLDER))]
            return [Entry(name, is_folder=True) for name in [*names, *["moved"] * (self._scene == "10 % moved")]]
        name = folder.rsplit("/", 1)[1]
        if name == "moved":
            return [self._entry(number) for number in range(0, self._num_files, 10)]
        numbers = range(int(name) * _PER_FOLDER, min((int(name) + 1) * _PER_FOLDER, self._num_files))
        missing = self._scene in ("10 % moved", "10 % removed")
        return [self._entry(number) for number in numbers if number % 10 or not missing]

    def _entry(self, number: int) -> Entry:
        more = int(self._scene == "1 % changed" and number % 100 == 0)
        return Entry(f"{number:08d}.mp4", is_folder=False, status=Status("file", size_of(number) + more, number + more))

    def stat(self, path: str) -> Status:
        """Of the folder alone: nothing else is asked for than what is gone."""
        if path == _TOP:
            return Status("folder")
        raise FileNotFoundError(path)

    def open(self, path: str) -> BinaryIO:
        """The file's number."""
        return BytesIO(path[-12:-4].encode())

    def read_range(self, path: str, start: int, size: int) -> bytes:
        """Likewise."""
        return path[-12:-4].encode()[start : start + size]

    def local_path(self, path: str) -> None:
        """None."""


def video_row(number: int) -> VideoRow:
    """The row of a made-up video."""
    digest = digest_of(number)
    file = VideoFile(path_of(number), size_of(number), number)
    video = VideoInfo(video_id_of(digest, file.path), file, digest, "mp4", "h264", 640, 360, 0, 25.0, 8.0, 1, 1)
    return VideoRow(video, "indexed", _CLIPS_A_VIDEO)


def clips_of(video_ids: list[str]) -> pa.Table:
    """Two clips of each video."""
    spans = [Span(4.0 * k, 4.0 * k + 4) for k in range(_CLIPS_A_VIDEO)]
    count = len(video_ids) * len(spans)
    vectors = np.random.default_rng(0).standard_normal((count, _DIM), np.float32)
    return pa.table(
        {
            "clip_id": [clip_id_of(video_id, span) for video_id in video_ids for span in spans],
            "video_id": [video_id for video_id in video_ids for _ in spans],
            "start_s": [span.start_s for _ in video_ids for span in spans],
            "end_s": [span.end_s for _ in video_ids for span in spans],
            "labels": [[{"label": "made up", "score": 1.0}]] * count,
            "embedding": list(vectors),
            "classifier": ["none"] * count,
            "embedder": ["none"] * count,
        },
        schema=CLIPS,
    )


def make_library(folder: Path, num_videos: int) -> None:
    """A library of as many videos, in few and large files."""
    tables = Tables(Library(folder))
    for start in range(0, num_videos, 50_000):
        numbers = range(start, min(start + 50_000, num_videos))
        ids = [video_id_of(digest_of(number), path_of(number)) for number in numbers]
        count = len(ids)
        values: dict[str, Any] = {
            "video_id": ids,
            "path": [path_of(number) for number in numbers],
            "size_bytes": [size_of(number) for number in numbers],
            "modified_ns": list(numbers),
            "content_hash": [digest_of(number) for number in numbers],
            "track": [1] * count,
            "tracks": [1] * count,
            "clip_count": [_CLIPS_A_VIDEO] * count,
            "status": ["indexed"] * count,
            "ingested_at": [datetime.now(UTC)] * count,
        }
        columns = [pa.array(values.get(column.name, [None] * count), column.type) for column in VIDEOS]
        write_deltalake(tables.videos, pa.table(columns, schema=VIDEOS), mode="append")
        write_deltalake(tables.clips, clips_of(ids), mode="append")


def read_known(folder: Path) -> str:
    """Read what the library knows of its videos."""
    return f"{Tables(Library(folder)).known_videos().nbytes / 1e6:.0f} MB of columns"


def compare_scene(folder: Path, num_videos: int, scene: str) -> str:
    """List a folder in which what ``scene`` says has happened, and compare it with the library."""
    SOURCES["made"] = lambda: MadeUp(num_videos, scene)
    known = Tables(Library(folder)).known_videos()
    began = time.process_time()
    listing = list_files([_TOP], Choice(), known, rehash=False, passed_over=PassedOver(), on_new=lambda: None)
    listed = time.process_time()
    changes = compare(listing, known, [_TOP])
    return (
        f"{listed - began:.1f} CPU s to list, {time.process_time() - listed:.1f} to compare; "
        f"unchanged {changes.unchanged}, to do {len(changes.to_do)}, "
        f"moved {len(changes.moved)}, removed {len(changes.removed)}"
    )


def move(folder: Path, num_videos: int) -> str:
    """Move each tenth video."""
    tables = Tables(Library(folder))
    numbers = range(0, num_videos, 10)
    moved = {video_id_of(digest_of(n), path_of(n)): VideoFile(path_of(n, "moved"), size_of(n), n) for n in numbers}
    tables.move_videos(moved)
    paths = tables.videos.to_pyarrow_table(columns=["path"])["path"].to_pylist()
    return f"{sum('/moved/' in path for path in paths)} of {len(paths)} moved"


def remove(folder: Path, num_videos: int) -> str:
    """Remove each tenth video, and its clips."""
    tables = Tables(Library(folder))
    tables.remove_videos([video_id_of(digest_of(number), path_of(number)) for number in range(0, num_videos, 10)])
    tables.drop_orphans()
    return f"{tables.videos.count()} videos and {tables.clips.count()} clips left"


def look_for_orphans(folder: Path) -> str:
    """What each ingest does, and seldom finds anything."""
    tables = Tables(Library(folder))
    tables.drop_orphans()
    return f"{tables.clips.count()} clips"


def commit(folder: Path, num_commits: int) -> str:
    """A hundred videos with a file of their clips, again and again, as an ingest commits them."""
    tables = Tables(Library(folder))
    times = []
    for number in range(num_commits):
        rows = [video_row(number * 100 + k) for k in range(100)]
        ids = [row.video.video_id for row in rows]
        clips, name = clips_of(ids), f"{number:06d}.parquet"
        pq.write_table(clips, folder / "clips" / name)
        by_video = clips["clip_id"].to_numpy().reshape(len(ids), -1).tolist()
        clip_ids = {video_id: tuple(clips) for video_id, clips in zip(ids, by_video, strict=True)}
        written = Written(name, (folder / "clips" / name).stat().st_size, clip_ids)
        began = time.monotonic()
        tables.commit_clips([written])
        tables.commit_videos(rows, replace_paths=False)
        if (number + 1) % MERGE_EVERY == 0:
            tables.merge_small_files()
        times.append((time.monotonic() - began) * 1000)
    tables.merge_small_files()
    told = {n: np.median(times[max(0, n - 9) : n + 1]) for n in (0, num_commits // 10, num_commits - 1)}
    return ", ".join(f"number {n}: {ms:.0f} ms" for n, ms in told.items()) + f", the slowest: {max(times):.0f} ms"


def open_tables(folder: Path) -> str:
    """Open the tables that many commits have made."""
    tables = Tables(Library(folder))
    sizes = {
        name: [os.path.getsize(path) for path in files]
        for name, files in zip(("videos", "clips"), tables.parquet_files(), strict=True)
    }
    files = ", ".join(f"{name}: {len(s)} files, median {np.median(s) / 1e3:.0f} KB" for name, s in sizes.items())
    log = list((folder / "videos" / "_delta_log").iterdir())
    return f"{files}; log of videos: {len(log)} files, {sum(path.stat().st_size for path in log) / 1e6:.1f} MB"


def list_real(folder: Path, num_files: int) -> str:
    """List a real folder of which the library knows nothing."""
    known = VIDEOS.empty_table()
    files = list_files([folder], Choice(), known, rehash=False, passed_over=PassedOver(), on_new=lambda: None)
    assert len(files) == num_files
    return f"{len(files)} files"


def _measured(step: Callable[[], str]) -> tuple[float, float, float, str]:
    """Wall and CPU seconds of a step, by how many MB this process grew at its peak, and what the step tells."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from what is resident now
    before, cpu, began = _peak_mb(), time.process_time(), time.monotonic()
    told = step()
    return time.monotonic() - began, time.process_time() - cpu, _peak_mb() - before, told


def _peak_mb() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024


def run(name: str, step: Callable[[], str]) -> None:
    """Run a step in a new process, and print its line."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        wall_s, cpu_s, peak_mb, told = pool.submit(_measured, step).result()
    print(f"{name:<26} {wall_s:8.1f} {cpu_s:8.1f} {peak_mb:8.0f}  {told}", flush=True)


def steps(root: Path, num_videos: int, num_commits: int, num_files: int) -> Iterator[tuple[str, Callable[[], str]]]:
    """The steps by name, each made ready before it is given."""
    known, grown, real = root / "known", root / "grown", root / "real"
    if num_videos:
        make_library(known, num_videos)
        yield "read what is known", partial(read_known, known)
        for scene in SCENES:
            yield scene, partial(compare_scene, known, num_videos, scene)
        yield "look for orphans", partial(look_for_orphans, known)
        yield "move 10 %", partial(move, known, num_videos)
        yield "remove 10 %", partial(remove, known, num_videos)
    if num_commits:
        make_library(grown, 0)
        yield f"{num_commits} commits", partial(commit, grown, num_commits)
        yield "open the tables", partial(open_tables, grown)
        yield "read what is known", partial(read_known, grown)
    for number in range(num_files):
        path = real / f"{number // _PER_FOLDER:05d}" / f"{number:08d}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"0")
    if num_files:
        yield "list a real folder", partial(list_real, real, num_files)


def main() -> None:
    """Run, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=int, default=100_000)
    parser.add_argument("--commits", type=int, default=1000)
    parser.add_argument("--files", type=int, default=100_000)
    arguments = parser.parse_args()
    print(f"{'':<26} {'seconds':>8} {'CPU s':>8} {'MB':>8}")
    with tempfile.TemporaryDirectory() as scratch:
        for name, step in steps(Path(scratch), arguments.videos, arguments.commits, arguments.files):
            run(name, step)


if __name__ == "__main__":
    main()
