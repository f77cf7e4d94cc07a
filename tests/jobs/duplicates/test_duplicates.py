"""Footage that several real films share is found with its seconds, kept, and shown only while its videos are there."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from cli import main
from index.search.searcher import Searcher
from index.snapshot.publish import publish_tables
from index.storage.lock import open_for_writing
from jobs.duplicates.duplicates import find_duplicates
from jobs.duplicates.report import duplicates_text
from jobs.maintain.rollback import compact, rollback
from jobs.maintain.verify import verify
from schemas.errors import UsageError
from schemas.search import SearchOptions
from tests.helpers.footage import FPS, HEIGHT, WIDTH, Frame, bordered, cropped, film, library_of, write
from tests.helpers.library_builder import sql
from tests.helpers.made_library import WordEmbedder

LENGTH_S = 24.0


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("films")
    frames = film(1, LENGTH_S)
    faster = [frames[int(number * 1.25)] for number in range(int(len(frames) / 1.25))]
    black = np.full((250, HEIGHT, WIDTH, 3), 16, np.uint8)
    bars = np.tile(np.repeat(np.arange(8, dtype=np.uint8) * 30 + 10, WIDTH // 8)[None, None, :, None], (250, HEIGHT, 1, 3))
    contents: dict[str, Iterable[Frame]] = {
        "original": frames,
        "again": [cropped(frame) for frame in frames],
        "part": [bordered(frame) for frame in frames[8 * FPS : 20 * FPS]],
        "faster": faster,
        "mirrored": [frame[:, ::-1] for frame in frames],
        "joined": [*film(3, 6, room=3), *frames],
        "same-room": film(2, LENGTH_S),
        "black-1": black,
        "black-2": black[:200],
        "bars-1": bars,
        "bars-2": bars[:200],
    }
    return {name: write(folder / f"{name}.mp4", of, crf=34 if name == "again" else 24) for name, of in contents.items()}


def library(folder: Path, films: dict[str, Path], *names: str) -> Path:
    """Films whose clips' embeddings say what they show, and which look alike: all of one room, all black, all bars."""
    known = {
        "original": (1, 0.0, LENGTH_S),
        "again": (1, 0.0, LENGTH_S),
        "part": (1, 8.0, 12.0),
        "faster": (1, 0.0, LENGTH_S / 1.25),
        "mirrored": (1, 0.0, LENGTH_S),
        "joined": (1, -6.0, LENGTH_S + 6),
        "same-room": (1, 0.0, LENGTH_S),
        "black-1": (5, 0.0, 10.0),
        "black-2": (5, 0.0, 8.0),
        "bars-1": (6, 0.0, 10.0),
        "bars-2": (6, 0.0, 8.0),
    }
    return library_of(folder, [(films[name], *known[name]) for name in names])


def breaches(folder: Path) -> list[str]:
    return [str(check) for check in verify(folder) if check.breach]


@pytest.mark.parametrize(
    ("name", "start_s", "end_s", "other_start_s", "other_end_s", "speed"),
    [
        ("again", 0, 24, 0, 24, 1.0),
        ("part", 0, 12, 8, 20, 1.0),
        ("faster", 0, 19.2, 0, 24, 1.25),
        ("mirrored", 0, 24, 0, 24, 1.0),
        ("joined", 6, 30, 0, 24, 1.0),
    ],
)
def test_altered_copy_is_found_with_its_seconds(
    films: dict[str, Path],
    tmp_path: Path,
    name: str,
    start_s: float,
    end_s: float,
    other_start_s: float,
    other_end_s: float,
    speed: float,
) -> None:
    folder = library(tmp_path / "library", films, "original", name)
    find_duplicates(folder)
    (row,) = sql(folder, f"from duplicates where video_id = '{name}'")
    expected = (start_s, end_s, other_start_s, other_end_s)
    assert [row[key] for key in ("start_s", "end_s", "other_start_s", "other_end_s")] == pytest.approx(expected, abs=0.4)
    assert row["speed"] == pytest.approx(speed, abs=0.01)
    assert (row["path"], row["other_path"]) == (str(films[name]), str(films["original"]))
    assert row["mirrored"] == (name == "mirrored")
    assert 0.4 < row["confidence"] <= 1
    (back,) = sql(folder, "from duplicates where video_id = 'original'")
    assert (back["start_s"], back["other_end_s"], back["other_path"]) == (row["other_start_s"], row["end_s"], row["path"])
    assert back["speed"] == pytest.approx(1 / row["speed"])


def test_what_only_looks_alike_is_none(films: dict[str, Path], tmp_path: Path) -> None:
    """Other discs in the same room, two black films and two still pictures, with the same embeddings."""
    folder = library(tmp_path / "library", films, "original", "same-room", "black-1", "black-2", "bars-1", "bars-2")
    report = find_duplicates(folder)
    assert report.candidates >= 3
    assert report.duplicates == []
    assert sql(folder, "from duplicates") == []
    assert breaches(folder) == []


def test_groups_shares_and_kinds(films: dict[str, Path], tmp_path: Path) -> None:
    folder = library(tmp_path / "library", films, "original", "part", "joined", "black-1")
    done = CliRunner().invoke(main, ["duplicates", "--library", str(folder), "--json"])
    assert done.exit_code == 0, done.output
    told: dict[str, Any] = json.loads(done.stdout)
    (group,) = told["groups"]
    assert [video["video_id"] for video in group["videos"]] == ["joined", "original", "part"]
    kinds = {(pair["video_id"], pair["other_video_id"]): (pair["kind"], pair["share"]) for pair in group["pairs"]}
    assert kinds["joined", "original"] == ("contains", pytest.approx(0.8, abs=0.02))
    assert kinds["original", "part"] == ("contains", pytest.approx(0.5, abs=0.03))
    assert {row["group_id"] for row in sql(folder, "from duplicates")} == {1}
    text = CliRunner().invoke(main, ["duplicates", "--library", str(folder)]).stdout
    assert text.startswith("group 1: 3 videos\n")
    assert "3 of 4 videos share footage, in 1 groups" in text


def test_a_second_run_that_finds_the_same_publishes_nothing(films: dict[str, Path], tmp_path: Path) -> None:
    folder = library(tmp_path / "library", films, "original", "part")
    find_duplicates(folder)
    before = (folder / "CURRENT").read_text()
    find_duplicates(folder)
    assert (folder / "CURRENT").read_text() == before


def test_rows_of_videos_that_are_gone_are_not_shown(films: dict[str, Path], tmp_path: Path) -> None:
    folder = library(tmp_path / "library", films, "original", "part", "mirrored")
    find_duplicates(folder)
    assert len(sql(folder, "from duplicates")) == 6
    with open_for_writing(folder) as (of, config, tables):
        tables.remove_videos(["part"])
        publish_tables(of, tables, config)
    assert {row["video_id"] for row in sql(folder, "from duplicates")} == {"original", "mirrored"}
    assert breaches(folder) == []
    compact(folder)
    assert len(sql(folder, "from duplicates")) == 2
    assert breaches(folder) == []


def test_rollback_brings_back_what_was_known(films: dict[str, Path], tmp_path: Path) -> None:
    folder = library(tmp_path / "library", films, "original", "part")
    find_duplicates(folder)
    known, number = sql(folder, "from duplicates"), int((folder / "CURRENT").read_text())
    with open_for_writing(folder) as (of, config, tables):
        rows = tables.duplicates.read()
        assert rows is not None
        tables.duplicates.replace(rows.slice(0, 0))
        publish_tables(of, tables, config)
    assert sql(folder, "from duplicates") == []
    rollback(folder, number)
    assert sql(folder, "from duplicates") == known
    assert breaches(folder) == []


def test_a_file_that_is_gone_is_said(films: dict[str, Path], tmp_path: Path) -> None:
    gone = tmp_path / "gone.mp4"
    folder = library_of(tmp_path / "library", [(films["original"], 1, 0.0, LENGTH_S), (gone, 1, 0.0, LENGTH_S)])
    report = find_duplicates(folder)
    assert [path for path, _ in report.failures] == [str(gone)]
    assert f"not compared: {gone}" in duplicates_text(report)


def test_an_interruption_leaves_the_table_as_it_was(
    films: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = library(tmp_path / "library", films, "original", "part")
    find_duplicates(folder)
    known = sql(folder, "from duplicates")

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("jobs.duplicates.duplicates.shared_spans", interrupt)
    assert find_duplicates(folder).interrupted
    assert sql(folder, "from duplicates") == known


def test_distinct_search_gives_the_best_of_each_footage(films: dict[str, Path], tmp_path: Path) -> None:
    folder = library(tmp_path / "library", films, "original", "part", "again", "same-room")
    load: Any = WordEmbedder
    question = SearchOptions(texts=("red",), by="clip", k=40, rerank=0, show_all=True, distinct=True)
    with pytest.raises(UsageError, match="vidsift duplicates"):
        Searcher(folder, load=load).search(question)
    find_duplicates(folder)
    answer = Searcher(folder, load=load).search(question)
    assert [moment.rank for moment in answer.moments] == list(range(1, len(answer.moments) + 1))
    assert len(answer.moments) == 24  # the twelve clips of the room, and of each other second one film's
    seconds = [
        moment.start_s + 8 * (moment.video_id == "part") for moment in answer.moments if moment.video_id != "same-room"
    ]
    assert sorted(seconds) == [2.0 * number for number in range(12)]
    few = Searcher(folder, load=load).search(SearchOptions(
        texts=("red",), by="clip", k=5, rerank=0, show_all=True, distinct=True
    ))  # fmt: skip
    assert few.moments == answer.moments[:5]
