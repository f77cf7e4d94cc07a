"""What a run's metrics say after its events, and how they are asked for."""

from __future__ import annotations

import math
import os
import socket
import sys
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
import ray.cloudpickle

import jobs.ingest.make_job
from index.storage.paths import Library
from jobs.ingest.ingest import ingest
from jobs.ingest.progress import Progress, Queues
from jobs.ingest.timing import RunStats, StageTiming
from jobs.observe.http import metrics_server
from jobs.observe.metrics import RunMetrics
from jobs.run_events import (
    Annotated,
    Committed,
    FilesListed,
    NotificationFailed,
    NotificationSent,
    Published,
    RoundEnded,
    RoundFailed,
    VideoProblem,
    WorkDone,
    WorkersStarted,
)
from jobs.watch.watch import Watch, WatchOptions
from schemas.errors import UsageError
from tests.helpers.inline_run import InlineRun
from tests.helpers.made_up_models import MadeUpModelsJob
from tests.helpers.simulated_arrivals import SimulatedArrivals
from tests.helpers.videos import write_video

ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers do not see the tests' folder


def values(metrics: RunMetrics, prefix: str = "vidsift_run_") -> dict[str, float]:
    """The values that are not zero, by name and label values, such as ``files_total indexed``."""
    return {
        " ".join([sample.name.removeprefix(prefix), *sample.labels.values()]): sample.value
        for family in metrics.registry.collect()
        for sample in family.samples
        if sample.name.startswith(prefix) and sample.value
    }


def stats_of(began_s: float, **stages: tuple[float, int, float, int]) -> RunStats:
    """Of stages by name: seconds, count, seconds of video, bytes fetched."""
    stats = RunStats(began_s=began_s)
    for stage, (seconds, count, video_s, fetched) in stages.items():
        stats.enter(StageTiming(stage, 0.0, seconds, count=count, video_s=video_s, fetched_bytes=fetched))
    return stats


@pytest.fixture
def metrics(tmp_path: Path) -> RunMetrics:
    return RunMetrics("watch", Library(tmp_path), clock=lambda: 1000.0)


def test_a_new_library_has_nothing_but_zeros_and_no_times(metrics: RunMetrics) -> None:
    assert {name for name, value in values(metrics).items() if math.isnan(value)} == {
        "last_publish_timestamp_seconds",
        "last_round_seconds",
    }
    known = {name.partition(" ")[0] for name, value in values(metrics).items() if not math.isnan(value)}
    assert known == {"info", "last_round_timestamp_seconds"}


def test_a_library_that_is_there_was_published_when_it_was(tmp_path: Path) -> None:
    library = Library(tmp_path)
    library.current_file.write_text("7\n")
    os.utime(library.current_file, (500.0, 500.0))
    assert values(RunMetrics("ingest", library))["last_publish_timestamp_seconds"] == 500.0


def test_each_event_is_counted(metrics: RunMetrics) -> None:
    before = values(metrics) | {"last_round_timestamp_seconds": 0.0}
    metrics.tell(FilesListed(found=9, unchanged=4, moved=1, removed=2, to_do=4, unsettled=3, seconds=0.5))
    metrics.tell(WorkersStarted(seconds=2.0))
    metrics.tell(VideoProblem(path="a", status="failed", stage="probe", error="x", clips=0))
    metrics.tell(
        Committed(
            indexed=2, partial=1, failed=1, clips=7, video_seconds=28.5, file_bytes=900, written_clips=8, seconds=0.25
        )
    )  # fmt: skip
    metrics.tell(Annotated(annotator="shots", done=2, partial=0, failed=1, rows=5, video_seconds=20.0, seconds=1.0))
    metrics.tell(Published(snapshot=3, clips=7, seconds=0.75))
    metrics.tell(
        RoundEnded(
            outcome="changed", seconds=4.0, searchable_seconds=12.0, away_sources=1, account={"found": 9, "unchanged": 4}
        )
    )
    metrics.tell(RoundFailed(error="x", again_seconds=10.0, seconds=1.0))
    metrics.tell(NotificationSent(alert="a", receiver="r", message_id="m"))
    metrics.tell(NotificationFailed(alert="a", receiver="r", error="x", again_seconds=15.0))
    after = values(metrics)
    assert {name: value for name, value in after.items() if before.get(name) != value} == {
        "found_files": 9,
        "unchanged_files": 4,
        "unsettled_files": 3,
        "files_total moved": 1,
        "files_total removed": 2,
        "files_total indexed": 2,
        "files_total partial": 1,
        "files_total failed": 1,
        "failures_total probe": 1,
        "clips_total": 7,
        "video_seconds_total": 28.5,
        "file_bytes_total": 900,
        "stage_seconds_total find": 0.5,
        "stage_seconds_total start": 2.0,
        "stage_seconds_total commit": 0.25,
        "stage_seconds_total publish": 0.75,
        "annotated_videos_total shots done": 2,
        "annotated_videos_total shots failed": 1,
        "last_publish_timestamp_seconds": 1000.0,
        "rounds_total changed": 1,
        "rounds_total failed": 1,
        "last_round_timestamp_seconds": 1000.0,
        "last_round_seconds": 4.0,
        "away_sources": 1,
        "notifications_total sent": 1,
        "notifications_total failed": 1,
    }


def test_the_work_of_several_runs_adds_up_and_none_is_counted_twice(metrics: RunMetrics) -> None:
    def show(stats: RunStats) -> None:
        metrics.show(Progress(0, 1, 1.0, stats))

    show(stats_of(10.0, plan=(1.0, 2, 60.0, 100)))
    show(stats_of(10.0, plan=(1.5, 3, 90.0, 300), decode=(2.0, 8, 30.0, 50)))
    metrics.tell(WorkDone(stats=stats_of(10.0, plan=(1.5, 3, 90.0, 300), decode=(5.0, 20, 80.0, 60))))
    show(stats_of(10.0, plan=(1.5, 3, 90.0, 300)))  # what the workers say before they know of the next run
    show(stats_of(20.0, plan=(9.0, 10, 200.0, 0)))  # more at once than before
    show(stats_of(10.0, plan=(1.5, 3, 90.0, 300)))
    metrics.tell(WorkDone(stats=stats_of(20.0, plan=(9.0, 10, 200.0, 0))))
    kept = {name: value for name, value in values(metrics).items() if name.startswith(("stage", "fetched"))}
    assert kept == {
        "stage_seconds_total plan": 10.5,
        "stage_seconds_total decode": 5.0,
        "stage_items_total plan": 13,
        "stage_items_total decode": 20,
        "stage_video_seconds_total plan": 290.0,
        "stage_video_seconds_total decode": 80.0,
        "fetched_bytes_total": 360,
    }


@pytest.mark.parametrize(
    "end", [Published(snapshot=1, clips=0, seconds=0.0), RoundFailed(error="", again_seconds=1, seconds=1)]
)
def test_nothing_waits_after_a_run(metrics: RunMetrics, end: Any) -> None:
    queues = Queues({"plan": 5, "annotate": 40}, {"decode": 2})
    metrics.show(Progress(0, 1, 1.0, RunStats(), queues))
    names = ("waiting plan", "waiting annotate", "tasks decode")
    assert [values(metrics).get(name) for name in names] == [5, 40, 2]
    metrics.tell(end)
    assert [values(metrics).get(name) for name in names] == [None, None, None]


def test_an_ingest_has_no_rounds(tmp_path: Path) -> None:
    names = {family.name for family in RunMetrics("ingest", Library(tmp_path)).registry.collect()}
    assert not [name for name in names if "round" in name or "notification" in name]


def test_names_follow_prometheus(metrics: RunMetrics) -> None:
    for family in metrics.registry.collect():
        assert family.documentation
        assert family.name.startswith(("vidsift_run_", "process_"))
        assert family.type in ("counter", "gauge"), "OTLP sends these two"
        assert not {"s", "ms", "mb", "count", "total"} & set(family.name.split("_")), family.name
        assert [sample.name for sample in family.samples if sample.name.endswith("_created")] == []


def test_metrics_of_a_watch_whose_videos_arrive_break_and_go(
    tmp_path: Path, classifier_folder: Path, embedder_folder: Path, inline_run: type[InlineRun]
) -> None:
    videos, library = tmp_path / "videos", tmp_path / "library"
    videos.mkdir()
    metrics = RunMetrics("watch", Library(library))
    write_video(videos / "a.mp4", 50)

    def arrive() -> list[Path]:
        (videos / "broken.mp4").write_text("no video")
        (videos / "a.mp4").rename(videos / "b.mp4")
        return [videos / "broken.mp4", videos / "a.mp4", videos / "b.mp4"]

    models = {"classifier": str(classifier_folder), "embedder": str(embedder_folder)}
    arrivals = SimulatedArrivals([(100, arrive)], 1000)
    watch = Watch(
        [str(videos)], library, arrivals, options=WatchOptions(), ingest_arguments=models, on_event=metrics.tell
    )  # fmt: skip
    with pytest.raises(KeyboardInterrupt):
        watch.run()
    named = {name: value for name, value in values(metrics).items() if not name.startswith(("stage", "last", "info"))}
    assert named.pop("file_bytes_total") == (videos / "b.mp4").stat().st_size + len("no video")
    assert named.pop("video_seconds_total") == pytest.approx(50 / 25, abs=0.1)
    assert named == {
        "files_total indexed": 1,
        "files_total failed": 1,
        "files_total moved": 1,
        "failures_total probe": 1,
        "clips_total": 1,
        "found_files": 2,
        "unchanged_files": 2,
        "rounds_total changed": 2,
        "rounds_total unchanged": 2,
    }
    assert values(metrics)["stage_seconds_total publish"] > 0


def test_metrics_are_served_until_the_end_and_a_taken_port_is_an_error(metrics: RunMetrics) -> None:
    with metrics_server(metrics.registry, "127.0.0.1", 0) as address:
        port = int(address.removeprefix("http://127.0.0.1:").removesuffix("/metrics"))
        with urlopen(address) as answer:
            assert answer.headers["Content-Type"].startswith("text/plain; version=")
            assert b'vidsift_run_files_total{status="indexed"} 0.0\n' in answer.read()
        with pytest.raises(
            UsageError, match=f"^metrics_port: 127.0.0.1:{port} cannot be listened at .Address already in use"
        ):
            metrics_server(metrics.registry, "127.0.0.1", port).__enter__()
    with pytest.raises(OSError, match="refused"), socket.create_connection(("127.0.0.1", port), timeout=5):
        pass


@pytest.mark.parametrize("host", ["no such host", "192.0.2.1", "x" * 100, "\x1b"])
def test_hosts_that_are_not_this_machine(metrics: RunMetrics, host: str) -> None:
    with pytest.raises(UsageError, match="cannot be listened at"):
        metrics_server(metrics.registry, host, 0).__enter__()


@pytest.mark.on_ray
@pytest.mark.slow
def test_the_workers_of_an_ingest_are_counted_whole(
    tmp_path: Path,
    classifier_folder: Path,
    embedder_folder: Path,
    ray_session_for_tests: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(jobs.ingest.make_job, "Job", MadeUpModelsJob)
    (tmp_path / "videos").mkdir()
    for number in range(3):
        write_video(tmp_path / "videos" / f"{number}.mp4", 200 + number)
    metrics = RunMetrics("ingest", Library(tmp_path / "library"))
    seen: list[Progress | Any] = []

    def show(progress: Progress | Any) -> None:
        metrics.show(progress)
        seen.append(progress)

    report = ingest(
        [tmp_path / "videos"],
        tmp_path / "library",
        classifier=str(classifier_folder),
        embedder=str(embedder_folder),
        on_progress=show,
        on_event=metrics.tell,
    )
    assert report.profile is not None
    told = values(metrics)
    for stage in report.profile.stages:
        assert told[f"stage_seconds_total {stage.stage}"] == pytest.approx(stage.seconds), stage.stage
    assert told["stage_items_total plan"] == 3
    assert told["stage_items_total annotate"] == told["clips_total"] == report.clips
    assert told["stage_video_seconds_total annotate"] == pytest.approx(told["video_seconds_total"])
    assert max(sum(progress.queues.tasks.values()) for progress in seen) > 0
    assert not [name for name in told if name.startswith(("waiting", "tasks"))]
