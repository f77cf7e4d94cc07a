"""Whole ingests over folders that change, break and kill: on Ray where that matters, else in this process."""

from __future__ import annotations

import fcntl
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
import jobs.ingest.make_job
import jobs.ingest.ray_run
from index.search.searcher import search
from index.snapshot.snapshot import Snapshot
from index.storage.paths import Library
from jobs.ingest.ingest import ingest
from jobs.ingest.pace import Pace
from jobs.ingest.progress import Progress
from jobs.ingest.report import IngestReport
from jobs.ingest.resources import ResourcePlan, plan_resources
from jobs.ingest.steps import Job
from pipeline.sources.find import find_videos
from schemas.errors import JobError, LibraryError, ModelError, UsageError
from schemas.options import IngestOptions
from schemas.records import Clip, ClipRow, JobFailed, SpanDone, SpanJob, VideoFailed, VideoFile, Written
from schemas.search import Answer, Moment, SearchOptions
from tests.helpers.inline_run import InlineRun
from tests.helpers.videos import write_audio, write_video

ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers do not see the tests' folder


class Ingest:
    """Ingests of one folder into one library."""

    def __init__(self, folder: Path, library: Path, classifier: Path, embedder: Path) -> None:
        self.folder, self.library = folder, library
        self.models: dict[str, Any] = {"classifier": str(classifier), "embedder": str(embedder)}

    def __call__(self, **options: Any) -> IngestReport:
        report = ingest([self.folder], self.library, **self.models, **options)
        counts = report.as_json()
        parts = ("indexed", "partial", "failed", "unchanged", "moved")
        assert counts["found"] == sum(counts[name] for name in parts), "every file is counted once"  # type: ignore[misc]
        if options.get("features") != "none":
            store = Snapshot(Library(self.library)).features()
            clip_ids = sorted(row["clip_id"] for row in self.sql("select clip_id from clips"))
            assert (store.ids().tolist() if store else []) == clip_ids, "every clip has features, and nothing else has"
        return report

    def sql(self, query: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = Snapshot(Library(self.library)).catalog.sql(query).to_pylist()
        return rows


@pytest.fixture
def run(tmp_path: Path, classifier_folder: Path, embedder_folder: Path, request: pytest.FixtureRequest) -> Ingest:
    request.getfixturevalue("ray_session_for_tests" if request.node.get_closest_marker("on_ray") else "inline_run")
    (tmp_path / "videos").mkdir()
    return Ingest(tmp_path / "videos", tmp_path / "library", classifier_folder, embedder_folder)


def counts(report: IngestReport) -> dict[str, int]:
    """The counts that are not zero."""
    names = ("indexed", "partial", "failed", "unchanged", "moved", "removed", "clips")
    return {name: getattr(report, name) for name in names if getattr(report, name)}


@pytest.mark.on_ray
def test_a_folder_in_all_the_ways_it_can_change(run: Ingest) -> None:
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


def test_search_finds_the_nearest_clip_of_the_library(run: Ingest) -> None:
    import numpy as np

    from pipeline.models.checkpoint import find_checkpoint
    from pipeline.models.registry import load_embedder

    write_video(run.folder / "a.mp4", 250)
    write_video(run.folder / "b.mp4", 250, size=(240, 100))
    run()

    def ask(text: str, k: int) -> tuple[Moment, ...]:
        return search(run.library, SearchOptions(texts=(text,), k=k, by="clip", rerank=0)).moments

    hits = ask("people baking a cake", 4)
    assert [hit.rank for hit in hits] == [1, 2, 3, 4]
    from deltalake import DeltaTable

    table = DeltaTable(run.library / "clips").to_pyarrow_table()
    embedder = load_embedder(find_checkpoint(run.models["embedder"], "--embedder"), "fp32")
    scores = np.stack(table["embedding"].to_numpy()) @ embedder.embed_texts(["people baking a cake"])[0]
    best = np.argsort(-scores)[:4]
    assert [hit.clip_id for hit in hits] == [table["clip_id"][int(i)].as_py() for i in best]
    assert [hit.score for hit in hits] == pytest.approx(scores[best].tolist(), abs=1e-6)
    assert len(ask("people baking a cake", 50)) == 6


def test_bad_files_are_rows_and_cost_no_other_file_anything(run: Ingest) -> None:
    write_video(run.folder / "good.mp4", 100)
    whole = write_video(run.folder / "cut.mkv", 250, options={"g": "10"})
    whole.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    write_audio(run.folder / "audio.mp4")
    (run.folder / "text.mp4").write_text("this is no video\n" * 50)
    (run.folder / "empty.mp4").touch()
    (run.folder / os.fsdecode(b"caf\xe9 \n.mp4")).write_bytes(b"not UTF-8, and no video")
    os.mkfifo(run.folder / "pipe.mp4")
    report = run()
    assert counts(report) | {"clips": 0} == {"indexed": 1, "partial": 1, "failed": 5, "clips": 0}
    rows = {row["path"].rsplit("/", 1)[1]: row for row in run.sql("select * from videos")}
    assert {name: (row["status"], row["error_stage"]) for name, row in rows.items()} == {
        "good.mp4": ("indexed", None),
        "cut.mkv": ("partial", "probe"),
        "audio.mp4": ("failed", "probe"),
        "text.mp4": ("failed", "probe"),
        "empty.mp4": ("failed", "find"),
        "caf\\xe9 \n.mp4": ("failed", "probe"),
        "pipe.mp4": ("failed", "find"),
    }
    assert rows["audio.mp4"]["error"] == "no video stream; the file holds audio"
    assert rows["cut.mkv"]["clip_count"] >= 1
    assert counts(run()) == {"unchanged": 7}


def test_a_folder_where_nothing_can_be_indexed_is_a_library_all_the_same(run: Ingest) -> None:
    (run.folder / "text.mp4").write_text("this is no video\n")
    assert counts(run()) == {"failed": 1}
    assert search(run.library, SearchOptions(texts=("anything",))) == Answer((), 0, 0, 0.0, False)
    assert run.sql("select status from videos") == [{"status": "failed"}]


class KillerJob(Job):
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


@pytest.mark.on_ray
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


class FullDiskJob(Job):
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


@pytest.mark.on_ray
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


def test_clips_of_an_ingest_that_was_stopped_are_not_seen_and_not_kept(run: Ingest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clips are committed before their video's row: dying between the two must leave no clip twice."""
    from index.storage.tables import Tables

    write_video(run.folder / "a.mp4", 250)

    def dies(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Tables, "commit_videos", dies)
        with pytest.raises(KeyboardInterrupt):
            run()
    assert run.sql("select count(*) as n from clips") == [{"n": 0}]
    assert counts(run()) == {"indexed": 1, "clips": 3}
    assert run.sql("select count(*) as n, count(distinct clip_id) as ids from clips") == [{"n": 3, "ids": 3}]
    assert len(Snapshot(Library(run.library)).vectors()) == 3


@pytest.mark.on_ray
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
        written.append(isinstance(outcome, Written))
        if sum(written) == 4:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(VideoLedger, "add", stops_at_the_fourth)
        with pytest.raises(Interrupted) as interrupted:
            run(options=IngestOptions(batch_size=1), pace=Pace(rows_per_file=1))
    report = interrupted.value.report
    assert 1 <= report.indexed <= 4
    assert report.not_done == 12 - report.indexed
    assert report.profile is not None, "and it is said what it cost"
    kept = run.sql("select path, clip_count from videos order by path")
    assert len(kept) == report.indexed
    assert counts(run()) == {"indexed": report.not_done, "unchanged": report.indexed, "clips": report.not_done}
    assert all(row in run.sql("select path, clip_count from videos") for row in kept)


@pytest.mark.on_ray
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


def test_another_model_or_sampling_is_refused_with_what_differs(run: Ingest, tmp_path: Path) -> None:
    from demo.checkpoints import write_classifier

    write_video(run.folder / "a.mp4", 25)
    run()
    other = write_classifier(tmp_path / "other", seed=7)
    with pytest.raises(
        LibraryError, match=r"`classifier` is other@\w{8} here and classifier@\w{8} in the library.*leave the"
    ):
        ingest([run.folder], run.library, classifier=str(other))
    with pytest.raises(LibraryError, match=r"`window_s` is 2 here and 4 in the library"):
        ingest([run.folder], run.library, window_s=2.0)
    assert counts(ingest([run.folder], run.library)) == {"unchanged": 1}, "the library's own models need no naming"


def test_a_library_remembers_how_it_keeps_features(run: Ingest, tmp_path: Path) -> None:
    write_video(run.folder / "a.mp4", 25)
    with pytest.raises(UsageError, match=r"features: got 'int4', expected int8, fp16, none"):
        run(features="int4")
    run(features="fp16")
    assert counts(ingest([run.folder], run.library)) == {"unchanged": 1}
    with pytest.raises(LibraryError, match=r"`features` is int8 here and fp16 in the library\..*leave the option out"):
        run(features="int8")
    run.library = tmp_path / "without"
    assert counts(run(features="none")) == {"indexed": 1, "clips": 1}
    write_video(run.folder / "b.mp4", 30)
    assert counts(run(features="none")) == {"indexed": 1, "unchanged": 1, "clips": 1}
    assert Snapshot(Library(run.library)).features() is None
    assert not (run.library / "features").exists()
    options = SearchOptions(texts=("cake",), by="clip", show_all=True)
    assert len(search(run.library, options).moments) == 2
    with pytest.raises(LibraryError, match=r"`features` is int8 here and none in the library"):
        run(features="int8")


def test_models_that_changed_in_place_are_refused(run: Ingest, tmp_path: Path) -> None:
    from demo.checkpoints import write_embedder

    run.models["embedder"] = str(shutil.copytree(run.models["embedder"], tmp_path / "embedder"))
    write_video(run.folder / "a.mp4", 25)
    run()
    write_embedder(tmp_path / "embedder", seed=9)
    write_video(run.folder / "b.mp4", 30)
    for ask in (lambda: ingest([run.folder], run.library), lambda: search(run.library, SearchOptions(texts=("cake",)))):
        with pytest.raises(ModelError, match=r"embedder .*: got \w{8}, the library was made with embedder@\w{8}"):
            ask()


def test_a_library_that_cannot_be_made_says_so_and_nothing_is_left_behind(run: Ingest, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    write_video(run.folder / "a.mp4", 25)
    run.library = tmp_path / "file" / "library"
    with pytest.raises(LibraryError, match=r"cannot be (read|written): Not a directory"):
        run()
    run.library = tmp_path / "new"
    with pytest.raises(ModelError):
        ingest([run.folder], run.library, classifier="some-org/some-model")
    with pytest.raises(UsageError):
        ingest([tmp_path / "nowhere"], run.library, **run.models)
    assert not run.library.exists()


class ChainKillerJob(Job):
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


@pytest.mark.on_ray
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


def test_a_second_ingest_says_who_holds_the_library(run: Ingest) -> None:
    write_video(run.folder / "a.mp4", 25)
    run()
    with (run.library / "ingest.lock").open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        held.write("process 17 on here\n")
        held.flush()
        with pytest.raises(LibraryError, match=r"is being written by another ingest \(process 17 on here\); wait for"):
            run()
        held.truncate(0)
    assert counts(run()) == {"unchanged": 1}


class GroupKillerJob(Job):
    """Two of the files that one task plans and decodes kill it, at either step."""

    def plan(self, file: VideoFile) -> list[SpanJob | VideoFailed]:
        if file.path.endswith("03.mp4"):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().plan(file)

    def decode(self, job: SpanJob) -> Iterator[Clip | SpanDone]:
        if job.video.file.path.endswith("05.mp4"):
            os.kill(os.getpid(), signal.SIGSEGV)
        return super().decode(job)


@pytest.mark.on_ray
def test_of_a_group_only_the_files_that_kill_their_worker_are_lost(run: Ingest, monkeypatch: pytest.MonkeyPatch) -> None:
    from jobs.ingest.batching import group_files

    monkeypatch.setattr(jobs.ingest.make_job, "Job", GroupKillerJob)
    files = [write_video(run.folder / f"{number:02d}.mp4", 5 + number) for number in range(24)]
    groups = group_files([VideoFile(str(path), path.stat().st_size, 0) for path in files], decoders=2)
    assert [len(group.files) for group in groups] == [3] * 8, "files 3 and 5 are in one"
    report = run()
    assert counts(report) | {"clips": 0} == {"indexed": 22, "failed": 2, "clips": 0}
    rows = run.sql("select path, error_stage, error from videos where status = 'failed' order by path")
    assert [(row["path"][-6:], row["error_stage"]) for row in rows] == [("03.mp4", "probe"), ("05.mp4", "decode")]
    assert all(row["error"].startswith("crashed: the process that read it died twice") for row in rows)


@pytest.mark.on_ray
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


class SlowJob(Job):
    def load_annotators(self, num_threads: int | None = None) -> Any:
        return SlowToGather(super().load_annotators(num_threads))


@pytest.mark.on_ray
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
    monkeypatch.setattr(jobs.ingest.ray_run, "plan_resources", choose_two_calls)
    both = run(options=IngestOptions(batch_size=1), trace=trace), run.sql(query)
    assert both[0].clips == one_by_one[0].clips == 4
    assert both[1] == one_by_one[1]
    events = [event for event in json.loads(trace.read_text())["traceEvents"] if event["name"] == "annotate"]
    began, ended = ([event["ts"] for event in events], [event["ts"] + event["dur"] for event in events])
    overlapping = sum(a < d and c < b for a, b in zip(began, ended, strict=True) for c, d in zip(began, ended, strict=True))
    assert overlapping > len(events), "some call began before another had ended"


class Broken:
    device, precision = "cpu", "fp32"

    def __call__(self, clips: Any) -> list[ClipRow | JobFailed]:
        return [JobFailed("the models could not compute a batch of 1: out of memory")]


def test_models_that_cannot_compute_end_the_job_with_their_reason(run: Ingest, monkeypatch: pytest.MonkeyPatch) -> None:
    class BrokenJob(Job):
        def load_annotators(self, num_threads: int | None = None) -> Any:
            return Broken()

    monkeypatch.setattr(jobs.ingest.make_job, "Job", BrokenJob)
    write_video(run.folder / "a.mp4", 25)
    with pytest.raises(JobError, match=r"out of memory; what was finished is kept, run the same command again"):
        run()
    assert run.sql("select count(*) as n from videos") == [{"n": 0}]


def test_a_copy_that_comes_back_after_a_move_is_a_video_of_its_own(run: Ingest) -> None:
    write_video(run.folder / "a.mp4", 25)
    run()
    (run.folder / "a.mp4").rename(run.folder / "b.mp4")
    assert counts(run()) == {"moved": 1}
    shutil.copy(run.folder / "b.mp4", run.folder / "a.mp4")
    assert counts(run()) == {"indexed": 1, "unchanged": 1, "clips": 1}
    assert run.sql("select count(distinct video_id) as n, count(distinct clip_id) as c from clips") == [{"n": 2, "c": 2}]
    (run.folder / "b.mp4").unlink()
    assert counts(run()) == {"unchanged": 1, "removed": 1}
    assert run.sql("select path from clips") == [{"path": str(run.folder / "a.mp4")}]


@pytest.mark.on_ray
def test_retry_failed_reads_again_and_leaves_no_clip_twice(run: Ingest, monkeypatch: pytest.MonkeyPatch) -> None:
    write_video(run.folder / "segfault-late.mp4", 400, fps=5)
    write_video(run.folder / "good.mp4", 25)
    with monkeypatch.context() as patched:
        patched.setattr(jobs.ingest.make_job, "Job", KillerJob)
        assert counts(run()) == {"indexed": 1, "partial": 1, "clips": 16}
    assert counts(run()) == {"unchanged": 2}
    assert counts(run(retry_failed=True)) == {"indexed": 1, "unchanged": 1, "clips": 20}
    assert run.sql("select count(*) as n, count(distinct clip_id) as ids from clips") == [{"n": 21, "ids": 21}]


@pytest.mark.on_ray
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


def test_one_source_or_glob_needs_no_list(run: Ingest) -> None:
    for name in ("a.mp4", "b.mp4"):
        (run.folder / name).write_text("no video")
    report = ingest(str(run.folder), run.library, **run.models, include="b*", exclude="a*")
    assert counts(report) == {"failed": 1}
    assert run.sql("select path[-5:] as name from videos") == [{"name": "b.mp4"}]


@pytest.mark.parametrize("name", ["my library", "ünï", "h#a*x", 'it\'s "quoted"'])
def test_a_library_may_be_called_what_folders_are_called(run: Ingest, name: str) -> None:
    run.library = run.library.parent / name
    (run.folder / "text.mp4").write_text("no video")
    assert counts(run()) == {"failed": 1}
    assert run.sql("select count(*) as n from videos") == [{"n": 1}]


@pytest.mark.parametrize("name", ["a%20b", "a[1]", "what?", os.fsdecode(b"caf\xe9")])
def test_a_library_that_delta_lake_cannot_spell_is_refused(run: Ingest, name: str) -> None:
    run.library = run.library.parent / name
    with pytest.raises(UsageError, match=r"library: got .*, expected a path of valid UTF-8 without % \? \[ \]"):
        run()
    assert not run.library.exists()


def test_models_that_moved_are_found_where_they_are_now(run: Ingest, tmp_path: Path) -> None:
    old = {role: Path(shutil.copytree(folder, tmp_path / "old" / role)) for role, folder in run.models.items()}
    run.models = {role: str(folder) for role, folder in old.items()}
    write_video(run.folder / "a.mp4", 25)
    run()
    (tmp_path / "old").rename(tmp_path / "new")
    write_video(run.folder / "b.mp4", 30)
    with pytest.raises(ModelError, match=r"classifier: no such folder, and no hub id"):
        ingest([run.folder], run.library)
    run.models = {role: str(tmp_path / "new" / role) for role in old}
    assert counts(run()) == {"indexed": 1, "unchanged": 1, "clips": 1}
    options = SearchOptions(texts=("cake",), by="clip")
    assert len(search(run.library, options, embedder=run.models["embedder"]).moments) == 2


def test_an_odd_modification_time_costs_nothing(run: Ingest) -> None:
    write_video(run.folder / "a.mp4", 25)
    os.utime(run.folder / "a.mp4", (10_000_000_000, 10_000_000_000))
    assert counts(run()) == {"indexed": 1, "clips": 1}
    assert counts(run()) == {"unchanged": 1}


def test_a_snapshot_that_is_damaged_is_published_again(run: Ingest) -> None:
    write_video(run.folder / "a.mp4", 25)
    run()
    (run.library / "snapshots" / "1" / "catalog.duckdb").unlink()
    with pytest.raises(LibraryError, match=r"cannot be read as a catalog; run the ingest again"):
        run.sql("select 1")
    assert counts(run()) == {"unchanged": 1}
    assert run.sql("select count(*) as n from clips") == [{"n": 1}]


def test_the_same_file_under_ten_names_is_decoded_once(run: Ingest, inline_run: type[InlineRun]) -> None:
    first = write_video(run.folder / "0.mp4", 250)
    for number in range(1, 9):
        shutil.copy(first, run.folder / f"{number}.mp4")
    (run.folder / "9.mp4").symlink_to(first)
    assert counts(run()) == {"indexed": 10, "clips": 30}
    assert [Path(file.path).name for file in inline_run.read] == ["0.mp4"]
    assert run.sql("select count(distinct clip_id) as c, count(distinct video_id) as v from clips") == [{"c": 30, "v": 10}]
    shutil.copy(first, run.folder / "late.mp4")
    assert counts(run()) == {"indexed": 1, "unchanged": 10, "clips": 3}
    assert len(inline_run.read) == 1


@pytest.mark.on_ray
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


def test_what_is_missing_is_kept_on_request(run: Ingest) -> None:
    write_video(run.folder / "a.mp4", 25)
    write_video(run.folder / "b.mp4", 30)
    run()
    (run.folder / "a.mp4").unlink()
    assert counts(run(keep_missing=True)) == {"unchanged": 1}
    assert run.sql("select count(*) as n from videos") == [{"n": 2}]
    assert counts(run()) == {"unchanged": 1, "removed": 1}
