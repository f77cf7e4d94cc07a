"""What the driver of an ingest costs by the number of files: a simulation, in which workers only take time.

    python -m benchmarks.driver --files 1000 10000 100000 1000000

Made-up videos of six minutes on average: of each thousand, a film of ten hours, 20 of two hours, 100 of 15 minutes, and the
rest of less than two minutes. A made-up cluster decodes and annotates them (`benchmarks.simulated_ray`): its workers take
the seconds that the steps were measured to take, on a clock that runs as fast as the driver lets it. The scheduler, the
ledger and the commits are the real ones, with real Delta tables. Each number of files runs in a process of its own.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.simulated_ray import Costs, SimulatedRay, simulated
from index.storage.paths import Library
from index.storage.tables import Tables
from jobs.ingest.changes import Changes
from jobs.ingest.commit import Committer
from jobs.ingest.ingest import _index_videos
from jobs.ingest.pace import Pace
from jobs.ingest.profile import ProfileBuilder
from jobs.ingest.ray_run import RayRun
from jobs.ingest.report import IngestReport
from jobs.ingest.steps import Job
from jobs.ingest.timing import StageTiming
from pipeline.annotators import ClassifierAnnotator, EmbedderAnnotator
from schemas.models import Checkpoint, Geometry, ModelInput
from schemas.options import IngestOptions, Sampling
from schemas.records import VideoFile
from schemas.tables import CLIPS

_LENGTHS_S = {0: 36_000.0, **dict.fromkeys(range(1, 21), 7200.0), **dict.fromkeys(range(21, 121), 900.0)}
_SMALL_BYTES = 1 << 20  # smaller files are merged, so they have to be there


@dataclass(frozen=True, slots=True)
class Figures:
    """What one simulated ingest cost the driver."""

    files: int
    hours: float
    clips: int
    wall_h: float
    decoders_idle: float
    begin_s: float
    driver_s: float
    commit_s: float
    peak_mb: float
    most_tasks: int
    tasks: int
    commits: int
    parquet: int
    largest_commit: int
    slowest_commit_s: float


def made_up_files(num_files: int, bytes_per_s: float) -> list[VideoFile]:
    """Files of six minutes on average, in an order that mixes them."""
    files = []
    for number in range(num_files):
        kind = number * 7919 % 1000
        seconds = _LENGTHS_S.get(kind, 20.0 + kind * 0.15)
        files.append(
            VideoFile(f"/videos/{number // 1000:05d}/{number:08d}.mp4", int(seconds * bytes_per_s) + number % 1000, number)
        )
    return files


class _Session:
    """Stands in for `RaySession`."""

    def __init__(self, run: RayRun) -> None:
        self._run, self.start = run, StageTiming("start", time.time())

    def ready(self) -> RayRun:
        return self._run


class _WatchedTables(Tables):
    """Tables that count what is committed."""

    largest, slowest_s, commits = 0, 0.0, 0

    def commit_clips(self, files: Any) -> None:
        self.largest, self.commits = max(self.largest, len(files)), self.commits + 1
        super().commit_clips(files)


def measure(num_files: int, cpus: int, gpus: int, costs: Costs, share: float = 1.0) -> Figures:
    """Ingest so many made-up files, of this share of their length, in this process."""
    before_mb = _resident_mb("VmRSS")
    files = made_up_files(num_files, costs.bytes_per_s * share)
    with tempfile.TemporaryDirectory() as scratch:
        library = Library(Path(scratch) / "library")
        tables = _WatchedTables(library, features=costs.features_bytes > 0)
        shown = ModelInput(16, Geometry(224, (224, 224)))
        checkpoint = Checkpoint("m", scratch, None, "videomae", "")
        job = Job(
            (ClassifierAnnotator(checkpoint, shown), EmbedderAnnotator(checkpoint, shown)),
            Sampling(),
            library.folder,
            IngestOptions(address="made-up:6379"),
        )
        cluster = SimulatedRay(costs, cpus=cpus, gpus=gpus, store_bytes=gpus * (8 << 30))
        cluster.make_file = _Files(Path(scratch), library.clips)
        changes, report, profile = Changes(to_do=files), IngestReport(found=num_files), ProfileBuilder()
        pace = Pace(show_every_s=1e6)
        with simulated(cluster):
            session: Any = _Session(RayRun(job))
            committer = Committer(tables, changes, report, profile, pace.commit_every_s)
            del files
            _index_videos(library, session, changes, committer, profile, pace, None)
        commits = [timing for timing in profile.driver if timing.stage == "commit"]
        assert report.indexed == num_files, report
        return Figures(
            num_files,
            report.video_seconds / 3600,
            report.clips,
            cluster.now_s / 3600,
            1 - cluster.busy_s / (cluster.now_s * cpus),
            cluster.began_s,
            cluster.driver_s,
            sum(timing.cpu_s for timing in commits),
            _resident_mb("VmHWM") - before_mb,
            cluster.max_tasks,
            cluster.num_tasks,
            tables.commits,
            cluster.num_files,
            tables.largest,
            max(timing.seconds for timing in commits),
        )


class _Files:
    """Makes files as small as those that are merged: links to few files, which hold as many rows and short vectors."""

    def __init__(self, scratch: Path, folder: Path) -> None:
        self._scratch, self._folder = scratch, folder
        self._templates: dict[int, tuple[Path, int]] = {}

    def __call__(self, name: str, size_bytes: int, num_rows: int) -> None:
        if size_bytes >= _SMALL_BYTES:
            return
        template, links = self._templates.get(num_rows, (self._scratch, 0))
        if links % 30_000 == 0:
            template = self._scratch / f"{num_rows}-{links}.parquet"
            pq.write_table(_rows(num_rows), template)
        os.link(template, self._folder / name)
        self._templates[num_rows] = template, links + 1


def _rows(count: int) -> pa.Table:
    values: dict[str, Any] = {
        "clip_id": list(range(count)),
        "video_id": ["0" * 16] * count,
        "start_s": [0.0] * count,
        "end_s": [4.0] * count,
        "embedding": [[0.0]] * count,
    }
    return pa.table([pa.array(values.get(column.name, [None] * count), column.type) for column in CLIPS], schema=CLIPS)


def _resident_mb(what: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{what}:")) / 1024


def main() -> None:
    """Run, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, nargs="+", default=[1000, 10_000, 100_000])
    parser.add_argument("--cpus", type=int, default=256, help="of the made-up cluster")
    parser.add_argument("--gpus", type=int, default=32)
    parser.add_argument(
        "--share", type=float, default=1.0, help="of each video's length: .1 makes 36 seconds of six minutes"
    )
    parser.add_argument("--task-ms", type=float, default=0.0, help="what Ray's own calls cost the driver for each task")
    parser.add_argument("--real", type=int, default=0, help="ingest so many real small files by real Ray instead")
    parser.add_argument("--features", action="store_true", help="keep features for the rerank score")
    arguments = parser.parse_args()
    if arguments.real:
        print(measure_real(arguments.real))
        return
    costs = Costs(task_s=arguments.task_ms / 1000, features_bytes=27_920 * arguments.features)
    for num_files in arguments.files:
        began = time.monotonic()
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            figures = pool.submit(measure, num_files, arguments.cpus, arguments.gpus, costs, arguments.share).result()
        print(_text(figures), f"(simulated in {time.monotonic() - began:.0f} s)", flush=True)


def measure_real(num_files: int) -> str:
    """Ingest so many real files of a second by real Ray on this machine, with made-up models."""
    import jobs.ingest.make_job
    from demo.checkpoints import write_classifier, write_embedder
    from jobs.ingest.ingest import ingest
    from tests.helpers.made_up_models import MadeUpModelsJob
    from tests.helpers.videos import write_video

    vars(jobs.ingest.make_job)["Job"] = MadeUpModelsJob
    with tempfile.TemporaryDirectory() as scratch:
        folder, before_mb = Path(scratch), _resident_mb("VmRSS")
        content = write_video(folder / "first.mp4", 25).read_bytes()
        for number in range(num_files):
            path = folder / "videos" / f"{number // 1000:03d}" / f"{number:06d}.mp4"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content + b"\0\0\0\x10free%08d" % number)  # no two have the same content
        models = write_classifier(folder / "classifier"), write_embedder(folder / "embedder")
        began_cpu_s = time.process_time()
        report = ingest(
            folder / "videos", folder / "library", classifier=str(models[0]), embedder=str(models[1]), features="none"
        )
        cpu_s = time.process_time() - began_cpu_s
        assert report.indexed == num_files, report
    return (
        f"real Ray, {num_files} files of a second: {report.wall_seconds:.0f} s; driver: {cpu_s:.1f} CPU s, "
        f"{1e3 * cpu_s / num_files:.2f} ms a file; memory grew by {_resident_mb('VmHWM') - before_mb:.0f} MB"
    )


def _text(f: Figures) -> str:
    return "\n".join(
        [
            f"{f.files} files, {f.hours:.0f} h, {f.clips} clips: {f.wall_h:.2f} h on the cluster, "
            f"its CPUs idle for {f.decoders_idle:.1%} of it",
            f"  {f.begin_s:.2f} s until the first task; driver: {f.driver_s:.0f} CPU s of which {f.commit_s:.0f} to commit, "
            f"{1e3 * f.driver_s / f.files:.2f} ms a file, {1e6 * f.driver_s / f.clips:.0f} µs a clip",
            f"  memory grew by {f.peak_mb:.0f} MB; {f.tasks} tasks, at most {f.most_tasks} at a time",
            f"  {f.commits} commits of up to {f.largest_commit} files, the slowest {f.slowest_commit_s:.2f} s; "
            f"{f.parquet} Parquet files written a table",
        ]
    )


if __name__ == "__main__":
    main()
