"""Videos that lie elsewhere now, and libraries that do: nothing is decoded again, and a library keeps no path of its own."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from cli import main
from index.history import history, history_text
from jobs.annotate.annotate import annotate
from jobs.duplicates.duplicates import find_duplicates
from jobs.ingest.ingest import ingest
from jobs.maintain.relocate import Relocated, relocate, relocated_text
from jobs.maintain.rollback import rollback
from jobs.maintain.verify import verify
from jobs.tag.tag import tag
from schemas.errors import UsageError
from tests.helpers.inline_run import InlineRun
from tests.helpers.library_builder import sql
from tests.helpers.made_annotators import made, said, use_annotators
from tests.helpers.made_library import Made, make_library
from tests.helpers.videos import write_video


@pytest.fixture
def copied(whole_library: Path, tmp_path: Path) -> Path:
    """A library and its videos in a folder of their own, where neither was before."""
    shutil.copytree(whole_library.parent / "videos", tmp_path / "moved" / "films")
    return Path(shutil.copytree(whole_library, tmp_path / "moved" / "library"))


def rows(library: Path) -> list[dict[str, Any]]:
    return sql(library, "select clip_id, video_id, path, start_s, label, label_score from clips order by clip_id")


def breaches(library: Path) -> list[str]:
    return [str(check) for check in verify(library) if check.breach]


def test_nothing_is_read_again_after_a_relocation(whole_library: Path, copied: Path, inline_run: type[InlineRun]) -> None:
    before, videos, films = rows(whole_library), whole_library.parent / "videos", copied.parent / "films"
    done = relocate(copied, f"{videos}/", str(films))
    assert done == Relocated(str(videos), str(films), videos=2, snapshot=4, looked_at=2, found=2)
    assert relocated_text(done) == f"2 videos relocated from {videos} to {films} (all there), published as snapshot 4"
    assert rows(copied) == [dict(row, path=row["path"].replace(str(videos), str(films))) for row in before]
    assert history_text(history(copied)).splitlines()[2].endswith("  2 relocated")
    assert sql(copied, "select count(*) as n from tags") == sql(whole_library, "select count(*) as n from tags")
    assert breaches(copied) == []
    report = ingest([films], copied)
    assert (report.unchanged, report.moved, report.removed, inline_run.read) == (2, 0, 0, [])
    shutil.copy(films / "a.mp4", films / "c.mp4")
    write_video(films / "d.mp4", 60)
    report = ingest([films], copied)
    assert (report.unchanged, report.indexed, [Path(file.path).name for file in inline_run.read]) == (2, 2, ["d.mp4"])
    assert len({row["video_id"] for row in rows(copied)}) == 4


@pytest.fixture
def made_up(tmp_path: Path) -> Path:
    """A library of ``/v/a.mp4`` and ``/v/b.mp4``, of which there is no file."""
    return make_library(tmp_path / "library", [Made(number, name, 0.0, 4.0) for number, name in enumerate("ab")])


def test_one_file_and_urls(made_up: Path) -> None:
    before = rows(made_up)
    assert relocate(made_up, "/v/a.mp4", "s3://bucket/a b.mp4").videos == 1
    done = relocate(made_up, "s3://bucket/", "gs://other/folder/")
    assert relocated_text(done) == (
        "1 video relocated from s3://bucket to gs://other/folder (not looked for), published as snapshot 3"
    )
    assert [row["path"] for row in rows(made_up)] == ["gs://other/folder/a b.mp4", "/v/b.mp4"]
    rollback(made_up, 1)
    assert rows(made_up) == before


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("/v/a", "/new", "old: no video of the library is at or below '/v/a'; all its 2 videos are below '/v'"),
        ("", "/new", "old: got nothing, expected a folder, a file or a URL"),
        ("/v", "/v/", "new: got '/v' twice, expected two places"),
        (
            "/v/a.mp4",
            "/v/b.mp4",
            "new: the library has another video under '/v/b.mp4' and 0 more of the new paths; relocate those first, or "
            "ingest with their files gone",
        ),
        (
            "/v",
            "sftp://me:secret@host/v",
            "new: an address of sftp:// with a password in it, expected none: addresses are kept in the library; see the "
            "documentation of sources for where credentials come from",
        ),
        (
            "/v",
            "https://host/v?signature=1",
            "new: the address https://host/v has a query or a fragment, expected none: it may hold a signature, and "
            "addresses are kept in the library",
        ),
    ],
)
def test_what_cannot_be_relocated_changes_nothing(made_up: Path, old: str, new: str, message: str) -> None:
    before = rows(made_up)
    with pytest.raises(UsageError) as caught:
        relocate(made_up, old, new)
    assert str(caught.value) == message
    assert (rows(made_up), len(history(made_up))) == (before, 1)


def test_a_folder_goes_into_itself(made_up: Path) -> None:
    relocate(made_up, "/v", "/v/v")
    assert [row["path"] for row in rows(made_up)] == ["/v/v/a.mp4", "/v/v/b.mp4"]


def test_the_command_says_what_is_not_there(made_up: Path) -> None:
    called = ["relocate", "/v", "/new", "--library", str(made_up)]
    done = CliRunner().invoke(main, called)
    assert (done.exit_code, done.stdout) == (
        0,
        "2 videos relocated from /v to /new (0 of 2 looked for there), published as snapshot 2\n",
    )
    assert done.stderr == (
        "vidsift: no file of the known size at '/new/a.mp4': an ingest of its folder would take such videos out\n"
    )
    again = CliRunner().invoke(main, ["relocate", "/new", "/v", "--library", str(made_up), "--json"])
    assert json.loads(again.stdout) == {
        "old": "/new", "new": "/v", "videos": 2, "snapshot": 3, "looked_at": 2, "found": 0, "missing": "/v/a.mp4"
    }  # fmt: skip


def test_no_path_of_its_own_is_in_a_library_and_a_copy_of_it_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoken = made("subtitles", "speech", entries=(("/v/a.mp4", (said(1, 2, "good morning"),)),))
    use_annotators(monkeypatch, subtitles=spoken)
    here, there = tmp_path / "here", tmp_path / "there"
    make_library(here, [Made(number, "a", 4.0 * number, 4.0 * number + 4) for number in range(3)])
    annotate(here, ["subtitles"])
    find_duplicates(here)
    holding = [file for file in here.rglob("*") if file.is_file() and str(here).encode() in file.read_bytes()]
    assert holding == []
    asked = {table: sql(here, f"from {table} order by all") for table in ("videos", "clips", "speech", "annotations")}
    here.rename(there)
    assert {table: sql(there, f"from {table} order by all") for table in asked} == asked
    assert breaches(there) == []
    assert annotate(there).annotators["subtitles"].unchanged == 1


def test_a_copied_library_goes_on_where_it_is(copied: Path, whole_library: Path, inline_run: type[InlineRun]) -> None:
    before = rows(whole_library)
    videos = whole_library.parent / "videos"
    assert (ingest([videos], copied).unchanged, inline_run.read) == (2, [])
    assert tag(copied, ["a red ball"])[0].tag == "a red ball"
    assert rows(copied) == before == rows(whole_library)
    assert breaches(copied) == []
    assert len(history(whole_library)) == 3
