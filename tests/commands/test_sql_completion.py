from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from commands.sql_completion import _KEPT, Completer, History
from schemas.sql import TABLES

COMPLETER = Completer(TABLES, ["by", "select", "semi", "where"], [".help", ".tables"])


@pytest.mark.parametrize(
    ("word", "found"),
    [
        ("cl", ["clips", "clip_count", "clip_id"]),
        ("CLIP_I", ["clip_id"]),
        ("sel", ["select"]),
        ("SEL", ["SELECT"]),
        ("se", ["select", "semi"]),
        ("clips.l", ["clips.label", "clips.label_score"]),
        ("c.label", ["c.label", "c.label_score"]),
        ("videos.fp", ["videos.fps"]),
        ("labels.fp", []),
        (".t", [".tables"]),
        (".", [".help", ".tables"]),
        ("nothing", []),
    ],
)
def test_words_are_completed(word: str, found: list[str]) -> None:
    assert COMPLETER.complete(word) == found


def test_readline_asks_one_by_one() -> None:
    assert [COMPLETER("cl", state) for state in range(4)] == ["clips", "clip_count", "clip_id", None]


def test_history_keeps_lines_and_is_its_users_alone(tmp_path: Path) -> None:
    history = History(tmp_path / "state" / "vidsift" / "sql_history")
    assert history.load() == []
    statements = ["select 1;", "select\n 'ü -- ;'\nfrom clips;"]
    for statement in statements:
        history.add(statement)
    assert history.load() == statements
    assert (tmp_path / "state" / "vidsift" / "sql_history").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "state" / "vidsift").stat().st_mode & 0o777 == 0o700


def test_history_is_in_the_users_state_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    History().add("select 1;")
    assert (tmp_path / "state" / "vidsift" / "sql_history").read_text() == '"select 1;"\n'
    monkeypatch.setenv("XDG_STATE_HOME", "not/absolute")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    History().add("select 2;")
    assert (tmp_path / "home" / ".local" / "state" / "vidsift" / "sql_history").read_text() == '"select 2;"\n'


def test_a_long_history_is_cut_and_a_damaged_line_left_out(tmp_path: Path) -> None:
    path = tmp_path / "sql_history"
    path.write_text("".join(f"{json.dumps(str(n))}\n" for n in range(2 * _KEPT)) + "damaged\n")
    kept = [str(n) for n in range(_KEPT + 1, 2 * _KEPT)]
    assert History(path).load() == kept
    assert path.read_text().splitlines()[:-1] == [json.dumps(statement) for statement in kept]
    assert path.stat().st_mode & 0o777 == 0o600
    assert History(path).load() == kept


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_costs_only_the_history(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    History(tmp_path / "state" / "sql_history").add("select 1;")


def test_a_file_in_the_folders_place_costs_only_the_history(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")
    history = History(tmp_path / "state" / "sql_history")
    history.add("select 1;")
    assert history.load() == []
