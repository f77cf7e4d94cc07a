"""History, going back, compacting and checking, on libraries that real ingests made."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

import jobs.ingest.make_job
from benchmarks.crashes import children
from index.history import history, history_text
from index.snapshot.snapshot import Snapshot
from index.storage.paths import Library
from jobs.ingest.ingest import ingest
from jobs.maintain.rollback import compact, rollback
from jobs.maintain.verify import Check, verify
from schemas.errors import LibraryError, UsageError
from tests.helpers.inline_run import run_inline
from tests.helpers.library_builder import sql
from tests.helpers.made_up_models import MadeUpModelsJob
from tests.helpers.videos import write_many, write_video

pytestmark = pytest.mark.usefixtures("inline_run")


def breaches(library: Path) -> dict[str, str]:
    return {check.what: str(check.breach) for check in verify(library) if check.breach is not None}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, classifier_folder: Path, embedder_folder: Path) -> Path:
    """A library of three ingests: two videos, then one changed and a copy, then one gone."""
    root = tmp_path_factory.mktemp("upkeep")
    videos, library = root / "videos", root / "library"
    videos.mkdir()
    write_video(videos / "a.mp4", 250)
    write_video(videos / "b.mp4", 50)
    with pytest.MonkeyPatch.context() as patch:
        run_inline(patch)
        ingest([videos], library, classifier=str(classifier_folder), embedder=str(embedder_folder))
        write_video(videos / "b.mp4", 60)
        shutil.copy(videos / "a.mp4", videos / "copy.mp4")
        ingest([videos], library)
        (videos / "b.mp4").unlink()
        ingest([videos], library)
    return root


@pytest.fixture
def library(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made / "library", tmp_path / "library"))


def test_a_copy_has_the_same_clips_under_its_own_ids(library: Path) -> None:
    rows = sql(library, "select path, start_s, end_s, label, label_score from clips order by path, start_s")
    first, second = rows[:3], rows[3:]
    assert [row["path"].rsplit("/", 1)[1] for row in (first[0], second[0])] == ["a.mp4", "copy.mp4"]
    assert [dict(row, path="") for row in first] == [dict(row, path="") for row in second]
    assert sql(library, "select count(distinct clip_id) as c, count(distinct video_id) as v from clips") == [
        {"c": 6, "v": 2}
    ]


def test_history_tells_what_each_ingest_changed(library: Path) -> None:
    entries = history(library)
    assert [(entry.number, entry.current) for entry in entries] == [(3, True), (2, False), (1, False)]
    assert [entry.info.changes for entry in entries] == [
        {"removed": 1},
        {"indexed": 2, "clips": 4},
        {"indexed": 2, "clips": 4},
    ]
    assert [(entry.info.rows["videos"], entry.info.rows["clips"]) for entry in entries] == [(2, 6), (3, 7), (2, 4)]


def test_rollback_goes_back_and_can_be_undone(library: Path) -> None:
    before = sql(library, "select * from clips order by clip_id")
    assert rollback(library, 1) == 4
    assert sql(library, "select path[-5:] as p, clip_count as n from videos order by p") == [
        {"p": "a.mp4", "n": 3},
        {"p": "b.mp4", "n": 1},
    ]
    assert history(library)[0].info.changes == {"rolled_back_to": 1}
    assert breaches(library) == {}
    assert rollback(library, 3) == 5
    assert sql(library, "select * from clips order by clip_id") == before
    assert [line.rsplit("  ", 1)[-1] for line in history_text(history(library)).splitlines()[2:]] == [
        "rolled back to snapshot 3",
        "rolled back to snapshot 1",
        "1 removed",
        "2 indexed, 4 clips",
        "2 indexed, 4 clips",
    ]
    with pytest.raises(UsageError, match=r"number: got 99, expected one of the snapshots .* \(1, 2, 3, 4, 5\)"):
        rollback(library, 99)


def test_compact_keeps_the_answers_and_drops_the_rest(library: Path) -> None:
    before = sql(library, "select * from labels order by clip_id, rank")
    (library / "clips" / "part-never-committed.parquet").write_bytes(b"rubbish")
    counts = compact(library)
    assert history_text(history(library)).splitlines()[2].endswith("  compacted")
    assert counts["files_after"] == 3 < counts["files_before"]
    assert sql(library, "select * from labels order by clip_id, rank") == before
    assert breaches(library) == {}
    with pytest.raises(LibraryError) as caught:
        rollback(library, 1)
    assert str(caught.value) == (
        "number: snapshot 1 cannot be restored: files that it needs were deleted when snapshot 4 compacted the library; "
        "roll back to snapshot 4 or a later one, or ingest the videos again"
    )
    assert sql(library, "select * from labels order by clip_id, rank") == before


def test_a_sound_library_has_no_breach(library: Path) -> None:
    checks = verify(library)
    assert len(checks) == 17
    assert [check for check in checks if check.breach is not None] == []


def test_each_breach_is_found_and_says_what_to_do(library: Path, made: Path) -> None:
    table = DeltaTable(library / "clips")
    one = table.to_pyarrow_table().slice(0, 1)
    write_deltalake(table, one, mode="append")
    found = breaches(library)
    assert found["every clip has one row"] == str(one["clip_id"][0].as_py())
    assert "says 3 clips and has 4" in found["every video has the clips that it says"]
    assert found["it shows what the tables hold"] == "something was committed and not published"
    assert all(check.remedy for check in verify(library) if check.breach)

    shutil.rmtree(library)
    shutil.copytree(made / "library", library)
    snapshot = Snapshot(Library(library))
    vectors = library / "segments" / snapshot.info.segments[0].name / "vectors.f32.faiss"
    clips = snapshot.clips()
    last_live = int(np.flatnonzero(clips.live)[-1])
    with vectors.open("r+b") as stream:
        stream.seek(-4 * clips.dim * (len(clips.live) - last_live), os.SEEK_END)
        stream.write(np.float32(2.0).tobytes())  # no unit vector has such a value
    assert breaches(library) == {
        "its files are as they were written": f"{vectors.parent.name}/vectors.f32.faiss",
        "it shows what the tables hold": "they differ in embeddings: the one or the other is damaged",
    }

    for path in (library / "videos").glob("*.parquet"):
        path.unlink()
    assert "the tables' files are there and can be read" in breaches(library)


@pytest.mark.parametrize("table", ["clips", "features"])
def test_a_table_that_names_files_elsewhere_is_refused(library: Path, tmp_path: Path, table: str) -> None:
    """A crafted log must not make vidsift read what is not the library's."""
    outside = tmp_path / "secret.parquet"
    shutil.copy(next((library / table).glob("part-*.parquet")), outside)
    log = sorted((library / table / "_delta_log").glob("*.json"))[-1]
    actions = [json.loads(line) for line in log.read_text().splitlines()]
    add = next((action for action in actions if "add" in action), None)
    crafted = add or {"add": {"path": "", "size": 1, "partitionValues": {}, "modificationTime": 0, "dataChange": True}}
    crafted["add"] = crafted["add"] | {"path": "../../secret.parquet", "size": outside.stat().st_size}
    number = int(log.stem) + 1
    (log.parent / f"{number:020d}.json").write_text(json.dumps(crafted) + "\n")
    for ask in (lambda: verify(library), lambda: compact(library)):
        with pytest.raises(
            LibraryError, match=r"names the file '\.\./\.\./secret\.parquet', expected Parquet files of its own"
        ):
            ask()
    assert outside.exists()


def test_no_library_says_so(tmp_path: Path) -> None:
    for ask in (
        lambda: history(tmp_path),
        lambda: rollback(tmp_path, 1),
        lambda: compact(tmp_path),
        lambda: verify(tmp_path),
    ):
        with pytest.raises(LibraryError, match="is not a vidsift library"):
            ask()
    assert list(tmp_path.iterdir()) == []


def test_a_check_reads_as_a_sentence() -> None:
    assert str(Check("every clip has one row")) == "every clip has one row"
    assert str(Check("every clip has one row", "17", "ingest again")) == "every clip has one row: 17; ingest again"


@pytest.mark.slow
@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_ingest_keeps_what_is_finished(
    tmp_path: Path, classifier_folder: Path, embedder_folder: Path, stop: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    videos, library = tmp_path / "videos", tmp_path / "library"
    videos.mkdir()
    write_many(videos, 40, num_frames=160)
    command = [sys.executable, "-m", "cli", "ingest", str(videos), "--library", str(library),
               "--json", "--cpus", "2", "--classifier", str(classifier_folder), "--embedder",
               str(embedder_folder)]  # fmt: skip
    driver = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not any("ray::StatsActor" in command for _, command in children(driver.pid)):  # until the run has begun
        assert driver.poll() is None
        time.sleep(0.1)
    time.sleep(1.0)
    driver.send_signal(stop)
    output, errors = driver.communicate(timeout=60)
    assert driver.returncode == 130, errors
    assert errors == "vidsift: interrupted; what was finished is kept, run the same command again to go on\n"
    report = json.loads(output)
    assert report["run"]["shape"]["decoders"] == 2, "an interrupted run has a bill too"
    assert report["found"] == 40 == report["indexed"] + report["not_done"]
    assert report["not_done"] > 0
    assert len(sql(library, "from videos")) == report["indexed"]
    monkeypatch.setattr(jobs.ingest.make_job, "Job", MadeUpModelsJob)
    again = ingest([videos], library, classifier=str(classifier_folder), embedder=str(embedder_folder))
    assert (again.unchanged, again.indexed) == (report["indexed"], report["not_done"])
    assert breaches(library) == {}


def test_tables_are_plain_parquet(library: Path) -> None:
    """Any reader can read them."""
    files = DeltaTable(library / "clips").to_pyarrow_table()
    assert isinstance(files, pa.Table)
    assert {"clip_id", "video_id", "start_s", "end_s", "labels", "embedding"} <= set(files.column_names)
