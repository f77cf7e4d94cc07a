"""Whole ingests in this process, over folders that change and break."""

from __future__ import annotations

import fcntl
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

import jobs.ingest.find
import jobs.ingest.make_job
import jobs.ingest.ray_run
from index.search.searcher import search
from index.snapshot.snapshot import Snapshot
from index.storage.paths import Library
from jobs.ingest.ingest import ingest
from jobs.ingest.steps import Job
from schemas.errors import JobError, LibraryError, ModelError, UsageError
from schemas.records import ClipRow, JobFailed
from schemas.search import Answer, Moment, SearchOptions
from tests.helpers.ingests import Ingest, counts
from tests.helpers.inline_run import InlineRun
from tests.helpers.videos import write_audio, write_video


@pytest.fixture
def run(tmp_path: Path, classifier_folder: Path, embedder_folder: Path, inline_run: type[InlineRun]) -> Ingest:
    (tmp_path / "videos").mkdir()
    return Ingest(tmp_path / "videos", tmp_path / "library", classifier_folder, embedder_folder)


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
    assert len(Snapshot(Library(run.library)).clips()) == 3


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
    assert Snapshot(Library(run.library)).clips().feature_layout() is None
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
    (run.library / "snapshots" / "1" / "videos.duckdb").unlink()
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


def test_what_is_missing_is_kept_on_request(run: Ingest) -> None:
    write_video(run.folder / "a.mp4", 25)
    write_video(run.folder / "b.mp4", 30)
    run()
    (run.folder / "a.mp4").unlink()
    assert counts(run(keep_missing=True)) == {"unchanged": 1}
    assert run.sql("select count(*) as n from videos") == [{"n": 2}]
    assert counts(run()) == {"unchanged": 1, "removed": 1}
