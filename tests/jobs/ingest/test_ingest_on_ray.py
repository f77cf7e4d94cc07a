"""Whole ingests on Ray, over folders that change, break and kill."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import threading
import time
import types
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import ray.cloudpickle

import jobs.ingest.find
import jobs.ingest.layout
import jobs.ingest.make_job
import jobs.ingest.ray_run
from index.snapshot.snapshot import Snapshot
from index.storage.paths import Library
from jobs.ingest.ingest import ingest
from jobs.ingest.pace import Pace
from jobs.ingest.progress import Progress
from jobs.ingest.resources import ResourcePlan, plan_resources
from jobs.ingest.scheduler import Scheduler
from jobs.ingest.steps import Job
from jobs.ingest.time_limit import TimeLimit
from pipeline.sources.find import find_videos
from schemas.errors import JobError, UsageError
from schemas.options import IngestOptions
from schemas.records import Clip, JobFailed, SpanDone, SpanJob, VideoFailed, VideoFile, Written
from tests.helpers.ingests import Ingest, counts
from tests.helpers.made_up_models import MadeUpModelsJob
from tests.helpers.videos import write_many, write_video

ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers do not see the tests' folder
pytestmark = pytest.mark.on_ray


@pytest.fixture
def run(
    tmp_path: Path,
    classifier_folder: Path,
    embedder_folder: Path,
    ray_session_for_tests: None,
    monkeypatch: pytest.MonkeyPatch,
) -> Ingest:
    """Ingests on Ray with models that need no PyTorch."""
    monkeypatch.setattr(jobs.ingest.make_job, "Job", MadeUpModelsJob)
    (tmp_path / "videos").mkdir()
    return Ingest(tmp_path / "videos", tmp_path / "library", classifier_folder, embedder_folder)


def test_a_folder_in_all_the_ways_it_can_change(run: Ingest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs.ingest.make_job, "Job", Job)  # with the models themselves
    write_video(run.folder / "long.mp4", 250)
    write_video(run.folder / "short.avi", 30, codec="mpeg4")
    write_video(run.folder / "slow.mkv", 20, fps=2)
    seen: list[Progress] = []
    report = run(on_progress=seen.append)
    assert counts(report) == {"indexed": 3, "clips": 3 + 1 + 3}
    assert report.video_seconds == pytest.approx(10.0 + 1.2 + 10.0)
    assert run.sql("select path, start_s, end_s from clips order by path, start_s") == [
        {"path": str(run.folder / name), "start_s": start_s, "end_s": end_s}
        for name, start_s, end_s in (
            ("long.mp4", 0.0, 4.0),
            ("long.mp4", 4.0, 8.0),
            ("long.mp4", 8.0, 10.0),
            ("short.avi", 0.0, 1.2),
            ("slow.mkv", 0.0, 4.0),
            ("slow.mkv", 4.0, 8.0),
            ("slow.mkv", 8.0, 10.0),
        )
    ]
    assert run.sql("select count(*) as n from labels group by clip_id") == [{"n": 5}] * 7
    assert all(progress.total_videos == 3 for progress in seen)

    assert counts(run()) == {"unchanged": 3}
    assert Snapshot(Library(run.library)).number == 1, "nothing new, nothing published"

    before = run.sql("select video_id, clip_id from clips where path like '%long.mp4' order by clip_id")
    (run.folder / "sub").mkdir()
    (run.folder / "long.mp4").rename(run.folder / "sub" / 'film\'s "cut".mp4')
    write_video(run.folder / "short.avi", 60, codec="mpeg4")
    (run.folder / "slow.mkv").unlink()
    assert counts(run()) == {"indexed": 1, "moved": 1, "removed": 1, "clips": 1}
    after = run.sql("select video_id, clip_id from clips where path like '%film''s \"cut\".mp4' order by clip_id")
    assert after == before, "a moved video keeps its clips"
    assert run.sql("select path, end_s from clips where path like '%avi'") == [
        {"path": str(run.folder / "short.avi"), "end_s": pytest.approx(2.4)}
    ]
    assert run.sql("select count(*) as n from videos") == [{"n": 2}]
    assert counts(run()) == {"unchanged": 2}


class KillerJob(MadeUpModelsJob):
    """Dies, hangs or raises on some files, as native code does."""

    def plan(self, file: VideoFile) -> list[SpanJob | VideoFailed]:
        if "killed-in-probe" in file.path:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().plan(file)

    def decode(self, job: SpanJob) -> Iterator[Clip | SpanDone]:
        import ctypes

        if "segfault" in job.video.file.path and job.part == job.num_parts - 1:
            os.kill(os.getpid(), signal.SIGSEGV)
        if "hang" in job.video.file.path:
            ctypes.PyDLL(None).sleep(1000)  # holds the interpreter's lock, so that no Python timeout fires
        if "memory-hog" in job.video.file.path:
            held = [bytearray(64 << 20) for _ in range(10_000)]
            return iter(held)  # type: ignore[arg-type]
        return super().decode(job)


def test_a_file_that_kills_its_worker_is_a_row_and_the_job_goes_on(run: Ingest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs.ingest.make_job, "Job", KillerJob)
    for number, name in enumerate(("good-1", "good-2", "killed-in-probe", "hang", "segfault", "memory-hog")):
        write_video(run.folder / f"{name}.mp4", 25 + number)
    write_video(run.folder / "segfault-late.mp4", 400, fps=5)
    report = run(options=IngestOptions(video_timeout_s=3.0))
    assert counts(report) | {"clips": 0} == {"indexed": 2, "partial": 1, "failed": 4, "clips": 0}
    rows = {row["path"].rsplit("/", 1)[1]: row for row in run.sql("select * from videos where status <> 'indexed'")}
    assert {name: (row["status"], row["error_stage"]) for name, row in rows.items()} == {
        "killed-in-probe.mp4": ("failed", "probe"),
        "hang.mp4": ("failed", "decode"),
        "segfault.mp4": ("failed", "decode"),
        "memory-hog.mp4": ("failed", "decode"),
        "segfault-late.mp4": ("partial", "decode"),
    }
    assert rows["hang.mp4"]["error"].startswith("timed out: reading a part of it took longer than 3 s, twice")
    assert rows["segfault.mp4"]["error"].startswith("crashed: the process that read it died twice")
    assert rows["killed-in-probe.mp4"]["error"].startswith("crashed: ")
    assert rows["segfault-late.mp4"]["error"].startswith("1 of 2 parts: crashed: the process that read it died twice")
    assert rows["segfault-late.mp4"]["clip_count"] == 15


class FullDiskJob(MadeUpModelsJob):
    """Writes until the disk is full: the kernel's own ENOSPC, in the middle of a file."""

    def write(self, rows: Any) -> Written | JobFailed:
        import pipeline.write

        def fills_up(_: object, stream: Any, **__: object) -> None:
            stream.write(b"PAR1")
            with open("/dev/full", "wb", buffering=0) as full:
                full.write(b"the rest")

        module = vars(pipeline.write)
        before = module["pq"]
        module["pq"] = types.SimpleNamespace(write_table=fills_up)
        try:
            return Job.write(self, rows)
        finally:
            module["pq"] = before  # this worker serves other tests too


def test_a_disk_that_cannot_be_written_ends_the_job_and_leaves_the_library_whole(
    run: Ingest, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_video(run.folder / "a.mp4", 25)
    run()
    write_video(run.folder / "b.mp4", 30)
    with monkeypatch.context() as patched:
        patched.setattr(jobs.ingest.make_job, "Job", FullDiskJob)
        with pytest.raises(JobError, match=r"cannot be written on .*: No space left on device; what was finished is kept"):
            run()
    assert run.sql("select path from videos") == [{"path": str(run.folder / "a.mp4")}]
    assert counts(run()) == {"indexed": 1, "unchanged": 1, "clips": 1}


def test_what_was_finished_before_an_interruption_is_kept_and_not_read_again(
    run: Ingest, monkeypatch: pytest.MonkeyPatch
) -> None:
    from jobs.ingest.ledger import VideoLedger
    from jobs.ingest.report import Interrupted

    for number in range(12):
        write_video(run.folder / f"{number:02d}.mp4", 50 + number)
    add, written = VideoLedger.add, []

    def stops_at_the_fourth(ledger: VideoLedger, outcome: Any) -> None:
        add(ledger, outcome)
        written.append(outcome.num_clips if isinstance(outcome, Written) else 0)  # a file may hold clips of several videos
        if sum(written) >= 4:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(VideoLedger, "add", stops_at_the_fourth)
        with pytest.raises(Interrupted) as interrupted:
            run(options=IngestOptions(batch_size=1), pace=Pace(rows_per_file=1, file_every_s=0.0))
    report = interrupted.value.report
    assert 1 <= report.indexed <= sum(written)
    assert report.not_done == 12 - report.indexed
    assert report.profile is not None, "and it is said what it cost"
    kept = run.sql("select path, clip_count from videos order by path")
    assert len(kept) == report.indexed
    assert counts(run()) == {"indexed": report.not_done, "unchanged": report.indexed, "clips": report.not_done}
    assert all(row in run.sql("select path, clip_count from videos") for row in kept)


def test_rows_are_written_after_a_while_however_few(run: Ingest, monkeypatch: pytest.MonkeyPatch) -> None:
    from jobs.ingest.ledger import VideoLedger

    for number in range(6):
        write_video(run.folder / f"{number:02d}.mp4", 50 + number)
    add, files = VideoLedger.add, []

    def counted(ledger: VideoLedger, outcome: Any) -> None:
        add(ledger, outcome)
        files.append(isinstance(outcome, Written))

    monkeypatch.setattr(VideoLedger, "add", counted)
    assert run(options=IngestOptions(batch_size=1), pace=Pace(write_after_s=0.0)).clips == 6
    assert sum(files) > 1


class ChainKillerJob(MadeUpModelsJob):
    """Dies in the third minute of a video: of one always, of another once."""

    def decode_chain(self, jobs: Sequence[SpanJob]) -> Iterator[Clip | SpanDone]:
        for item in super().decode_chain(jobs):
            path = Path(item.video.file.path) if isinstance(item, SpanDone) else None
            if path is not None and isinstance(item, SpanDone) and item.part == 2:
                if path.name == "once.mp4" and not path.with_suffix(".died").exists():
                    path.with_suffix(".died").touch()
                    os.kill(os.getpid(), signal.SIGKILL)
                if path.name == "always.mp4":
                    os.kill(os.getpid(), signal.SIGSEGV)
            yield item


def test_a_long_video_with_one_keyframe_is_decoded_part_after_part(run: Ingest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs.ingest.make_job, "Job", ChainKillerJob)
    one_keyframe = {"g": "10000", "keyint_min": "10000", "sc_threshold": "0"}
    for name, num_frames in (("fine", 298), ("once", 299), ("always", 300)):
        write_video(run.folder / f"{name}.mp4", num_frames, fps=1, options=one_keyframe)
    report = run()
    assert counts(report) == {"indexed": 2, "partial": 1, "clips": 75 + 75 + 30}
    rows = {Path(row["path"]).stem: row for row in run.sql("select path, clip_count, error from videos")}
    assert {name: row["clip_count"] for name, row in rows.items()} == {"fine": 75, "once": 75, "always": 30}
    assert rows["always"]["error"].startswith("3 of 5 parts: crashed: the process that read it died twice")
    starts = run.sql("select start_s from clips where path like '%once.mp4' order by start_s")
    assert [row["start_s"] for row in starts] == [4.0 * number for number in range(75)], "nothing twice, nothing left out"


class GroupKillerJob(MadeUpModelsJob):
    """Two of the files that one task plans and decodes kill it, at either step."""

    def plan(self, file: VideoFile) -> list[SpanJob | VideoFailed]:
        if file.path.endswith("03.mp4"):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().plan(file)

    def decode(self, job: SpanJob) -> Iterator[Clip | SpanDone]:
        if job.video.file.path.endswith("05.mp4"):
            os.kill(os.getpid(), signal.SIGSEGV)
        return super().decode(job)


def test_of_a_group_only_the_files_that_kill_their_worker_are_lost(run: Ingest, monkeypatch: pytest.MonkeyPatch) -> None:
    from jobs.ingest.batching import FileQueue

    monkeypatch.setattr(jobs.ingest.make_job, "Job", GroupKillerJob)
    files = [write_video(run.folder / f"{number:02d}.mp4", 5 + number) for number in range(24)]
    queue = FileQueue([VideoFile(str(path), path.stat().st_size, 0) for path in files], decoders=2)
    groups = list(iter(lambda: queue.take(largest=False), None))
    assert [len(group.files) for group in groups] == [3] * 8, "files 3 and 5 are in one"
    report = run()
    assert counts(report) | {"clips": 0} == {"indexed": 22, "failed": 2, "clips": 0}
    rows = run.sql("select path, error_stage, error from videos where status = 'failed' order by path")
    assert [(row["path"][-6:], row["error_stage"]) for row in rows] == [("03.mp4", "probe"), ("05.mp4", "decode")]
    assert all(row["error"].startswith("crashed: the process that read it died twice") for row in rows)


def test_a_run_is_traced_and_its_profile_counts_every_clip(run: Ingest, tmp_path: Path) -> None:
    for number in range(3):
        write_video(run.folder / f"{number}.mp4", 100 + number)
    trace = tmp_path / "trace.json"
    report = run(trace=trace)
    assert report.profile is not None
    by_name = {stage.stage: stage for stage in report.profile.stages}
    assert {name: by_name[name].count for name in ("find", "plan", "decode", "annotate", "write", "publish")} == {
        "find": 3, "plan": 3, "decode": report.clips, "annotate": report.clips, "write": report.clips,
        "publish": report.clips,
    }  # fmt: skip
    assert sum(stage.share for stage in report.profile.stages) == pytest.approx(1.0)
    events = [event for event in json.loads(trace.read_text())["traceEvents"] if event["ph"] == "X"]
    assert sum(event["args"]["count"] for event in events if event["name"] == "annotate") == report.clips
    assert sorted(event["args"]["about"] for event in events if event["name"] == "plan") == sorted(
        str(run.folder / f"{number}.mp4") for number in range(3)
    )


class SlowToGather:
    """A call that takes a while before the models' turn."""

    def __init__(self, annotate: Any) -> None:
        self._annotate, self.device, self.precision = annotate, annotate.device, annotate.precision

    def __call__(self, clips: Any) -> Any:
        time.sleep(0.5)
        return self._annotate(clips)


class SlowJob(MadeUpModelsJob):
    def load_annotators(self, num_threads: int | None = None) -> Any:
        return SlowToGather(super().load_annotators(num_threads))


def test_an_annotator_works_at_two_calls_and_finds_the_same(
    run: Ingest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(4):
        write_video(run.folder / f"{number}.mp4", 100 + number)
    trace = tmp_path / "trace.json"
    query = "select clip_id, label, label_score from clips order by clip_id"
    one_by_one = run(options=IngestOptions(batch_size=1)), run.sql(query)
    shutil.rmtree(run.library)

    def choose_two_calls(*machine: Any) -> ResourcePlan:
        return replace(plan_resources(*machine), annotators=1, max_in_flight=2)

    monkeypatch.setattr(jobs.ingest.make_job, "Job", SlowJob)
    monkeypatch.setattr(jobs.ingest.layout, "plan_resources", choose_two_calls)
    both = run(options=IngestOptions(batch_size=1), trace=trace), run.sql(query)
    assert both[0].clips == one_by_one[0].clips == 4
    assert both[1] == one_by_one[1]
    events = [event for event in json.loads(trace.read_text())["traceEvents"] if event["name"] == "annotate"]
    began, ended = ([event["ts"] for event in events], [event["ts"] + event["dur"] for event in events])
    overlapping = sum(a < d and c < b for a, b in zip(began, ended, strict=True) for c, d in zip(began, ended, strict=True))
    assert overlapping > len(events), "some call began before another had ended"


def test_retry_failed_reads_again_and_leaves_no_clip_twice(run: Ingest, monkeypatch: pytest.MonkeyPatch) -> None:
    write_video(run.folder / "segfault-late.mp4", 400, fps=5)
    write_video(run.folder / "good.mp4", 25)
    with monkeypatch.context() as patched:
        patched.setattr(jobs.ingest.make_job, "Job", KillerJob)
        assert counts(run()) == {"indexed": 1, "partial": 1, "clips": 16}
    assert counts(run()) == {"unchanged": 2}
    assert counts(run(retry_failed=True)) == {"indexed": 1, "unchanged": 1, "clips": 20}
    assert run.sql("select count(*) as n, count(distinct clip_id) as ids from clips") == [{"n": 21, "ids": 21}]


def test_a_retry_that_cannot_start_takes_nothing_away(
    run: Ingest, shared_clips: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(job: Job) -> None:
        raise UsageError("got a Ray cluster without GPUs; take pyav", argument="decoder")

    shutil.copy(shared_clips / "corrupted.mp4", run.folder / "a.mp4")
    first = counts(run())
    assert first["partial"] == 1
    before = run.sql("select * from clips order by clip_id")
    with monkeypatch.context() as patched:
        patched.setattr("jobs.ingest.ray_run.RayRun", fail)
        with pytest.raises(UsageError, match="without GPUs"):
            run(retry_failed=True)
    assert run.sql("select * from clips order by clip_id") == before
    assert counts(run()) == {"unchanged": 1}


def test_models_are_loaded_while_files_are_still_listed(run: Ingest, monkeypatch: pytest.MonkeyPatch) -> None:
    loading, list_files = threading.Event(), find_videos

    class WatchedRun(jobs.ingest.ray_run.RayRun):
        def __init__(self, job: Job) -> None:
            super().__init__(job)
            loading.set()

    def slowly(sources: Any, **options: Any) -> Iterator[Any]:
        for found in list_files(sources, **options):
            yield found
            assert loading.wait(30), "the annotators are not waited for with the rest of the listing"

    write_video(run.folder / "a.mp4", 25)
    write_video(run.folder / "b.mp4", 26)
    monkeypatch.setattr(jobs.ingest.ray_run, "RayRun", WatchedRun)
    monkeypatch.setattr(jobs.ingest.find, "find_videos", slowly)
    assert counts(run()) == {"indexed": 2, "clips": 2}
    loading.clear()
    write_video(run.folder / "c.mp4", 30)
    monkeypatch.setattr(
        jobs.ingest.find, "find_videos", lambda sources, **options: reversed(list(list_files(sources, **options)))
    )
    assert counts(run()) == {"indexed": 1, "unchanged": 2, "clips": 1}
    assert loading.is_set()
    loading.clear()
    shutil.move(run.folder / "a.mp4", run.folder / "d.mp4")
    assert counts(run()) == {"unchanged": 2, "moved": 1}
    assert not loading.is_set(), "nothing is started for what has only moved"


def test_once_the_time_is_up_only_films_of_which_a_part_is_decoded_are_finished(
    run: Ingest, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_many(run.folder, 12, num_frames=25)
    write_video(run.folder / "00.mp4", 300, fps=2)  # three parts of a minute
    begun: list[Any] = []
    hand_to_decoder = Scheduler._hand_to_decoder

    def hand(self: Scheduler, lane: Any, planned: Any) -> None:
        begun.append(planned)
        hand_to_decoder(self, lane, planned)

    monkeypatch.setattr(Scheduler, "_hand_to_decoder", hand)
    monkeypatch.setattr(TimeLimit, "is_up", lambda self: bool(begun))
    report = ingest([run.folder], run.library, **run.models, stop_at="12:00")
    assert report.time_is_up
    first = {job.video.file.path for job in begun[0].jobs}
    rows = {row["path"]: row for row in run.sql("select path, status, clip_count, duration_s from videos")}
    assert rows.keys() == first
    assert (report.indexed, report.not_done) == (len(first), 12 - len(first))
    whole = {150.0: 38, 1.0: 1}
    assert all((row["status"], row["clip_count"]) == ("indexed", whole[row["duration_s"]]) for row in rows.values())
    monkeypatch.setattr(TimeLimit, "is_up", lambda self: False)
    assert counts(run())["indexed"] == 12 - len(first)
