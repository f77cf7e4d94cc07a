"""What an ingest passes over, and what it says of that."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import cli
from index.snapshot.snapshot import Snapshot
from index.storage.paths import Library
from jobs.export.moments_table import COLUMNS
from jobs.ingest.ingest import ingest
from jobs.ingest.report import IngestReport, ingest_text
from schemas.errors import UsageError
from tests.helpers.made_up_run import Content, make_up_runs

SCRIPT = b"export const one = 1;\n"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    make_up_runs(monkeypatch, tmp_path / "library")
    videos = tmp_path / "videos"
    (videos / "raw").mkdir(parents=True)
    for number, name in enumerate(("a.mp4", "b.mp4", "raw/c.mp4")):
        (videos / name).write_bytes(bytes(Content("whole", 1, number)))
    return tmp_path


def paths(root: Path) -> list[str]:
    rows: list[dict[str, Any]] = Snapshot(Library(root / "library")).catalog.sql("from videos order by path").to_pylist()
    return [str(Path(row["path"]).relative_to(root / "videos")) for row in rows]


def test_an_ingest_says_what_it_passed_over(root: Path) -> None:
    for name in ("one.ts", "two.ts", "notes.txt", "README"):
        (root / "videos" / name).write_bytes(SCRIPT)
    (root / "videos" / "moments").mkdir()
    (root / "videos" / "moments" / "moments.csv").write_text(",".join(COLUMNS) + "\n")
    report = ingest([root / "videos"], root / "library")
    assert (report.found, report.indexed, report.passed_over) == (3, 3, {".ts": 2, "": 1, ".txt": 1})
    assert ingest_text(report).splitlines()[:3] == [
        "3 videos found: 3 indexed, 0 partial, 0 failed, 0 unchanged, 0 moved, 0 removed",
        "4 files passed over: 2 .ts, 1 without an ending, 1 .txt",
        f"left out: {root / 'videos' / 'moments'} (exported by vidsift)",
    ]
    done = CliRunner().invoke(cli.main, ["ingest", str(root / "videos"), "--library", str(root / "library"), "--json"])
    found = json.loads(done.stdout)
    assert found["passed_over"] == {".ts": 2, "": 1, ".txt": 1}
    assert found["left_out"] == [str(root / "videos" / "moments")]


def test_many_endings_are_told_in_short() -> None:
    report = IngestReport(passed_over={f".{number:02d}": 30 - number for number in range(11)})
    assert ingest_text(report).splitlines()[1] == (
        "275 files passed over: 30 .00, 29 .01, 28 .02, 27 .03, 26 .04, 25 .05, 24 .06, 23 .07, 63 of 3 other endings"
    )


def test_what_is_no_video_any_more_leaves_the_library(root: Path) -> None:
    """A program that was read as a video once, because it was named outright, and a video that a program replaced."""
    program = root / "videos" / "program.ts"
    program.write_bytes(bytes(Content("broken", 1, 0)))
    film = root / "videos" / "film.ts"
    film.write_bytes(bytes(Content("whole", 1, 5)))
    report = ingest([root / "videos", program, film], root / "library")
    assert (report.indexed, report.failed) == (4, 1)
    assert paths(root) == ["a.mp4", "b.mp4", "film.ts", "program.ts", "raw/c.mp4"]
    report = ingest([root / "videos"], root / "library")
    assert (report.unchanged, report.removed, report.passed_over) == (4, 1, {".ts": 1})
    assert paths(root) == ["a.mp4", "b.mp4", "film.ts", "raw/c.mp4"], "what was indexed is known to be a video"
    film.write_bytes(SCRIPT)
    report = ingest([root / "videos"], root / "library", keep_missing=True)
    assert (report.removed, report.passed_over) == (0, {".ts": 2})
    assert ingest([root / "videos"], root / "library").removed == 1
    assert paths(root) == ["a.mp4", "b.mp4", "raw/c.mp4"]


def test_a_folder_of_programs_that_were_failed_videos_is_no_empty_disk(root: Path) -> None:
    folder = root / "programs"
    folder.mkdir()
    (folder / "a.ts").write_bytes(bytes(Content("broken", 1, 0)))
    assert ingest([folder / "a.ts"], root / "library").failed == 1
    assert ingest([folder], root / "library").removed == 1


def test_what_is_not_chosen_is_not_looked_at_and_not_taken_out(root: Path) -> None:
    report = ingest([root / "videos"], root / "library", exclude=["raw"])
    assert (report.indexed, paths(root)) == (2, ["a.mp4", "b.mp4"])
    report = ingest([root / "videos"], root / "library", include=["raw/*"])
    assert (report.indexed, report.removed, report.passed_over) == (1, 0, {".mp4": 2})
    assert paths(root) == ["a.mp4", "b.mp4", "raw/c.mp4"]
    (root / "videos" / "a.mp4").unlink()
    report = ingest([root / "videos"], root / "library", include=["b*"])
    assert (report.unchanged, report.removed) == (1, 1), "what is gone is gone"
    with pytest.raises(UsageError, match="include: got ''"):
        ingest([root / "videos"], root / "library", include=[""])


def test_a_source_is_found_in_either_of_its_spellings(root: Path) -> None:
    """What is below it is gone or there by the name that the disk gives it."""
    (root / "videos" / "raw").rename(root / "videos" / "fu\u0308r")
    assert ingest([root / "videos" / "f\u00fcr"], root / "library").indexed == 1
    assert paths(root) == ["fu\u0308r/c.mp4"]
    (root / "videos" / "fu\u0308r" / "c.mp4").unlink()
    assert ingest([root / "videos" / "f\u00fcr"], root / "library", allow_empty=True).removed == 1
