"""The demo asks what its films can answer, and says honestly which answers are right."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image

from cli import main
from demo.tour import judge, questions
from demo.world import Film, Scene, plan
from schemas.search import Moment

pytestmark = pytest.mark.slow


def hit(path: Path, start_s: float, end_s: float) -> Moment:
    return Moment(1, 0.5, str(path), "video", 1, start_s, end_s, None, None, 0.9, start_s, end_s, 1)


def test_an_answer_is_right_where_the_scene_it_overlaps_most_has_the_facts(tmp_path: Path) -> None:
    waving, bowing = Scene("waving", "red", "gym", 1.0, 3.0), Scene("bowing", "red", "gym", 5.0, 7.0)
    film = Film("films/00.mp4", "0", (waving, bowing), 200, 25, (320, 240), "libx264")
    path = (tmp_path / film.path).resolve()
    found = judge([hit(path, 1.5, 3.5), hit(path, 4.5, 6.5), hit(path, 3.0, 5.0)], [film], tmp_path, {"action": "waving"})
    assert [(answer.scene, answer.right) for answer in found] == [(waving, True), (bowing, False), (None, False)]
    assert [answer.iou for answer in found] == pytest.approx([0.6, 0.6, 0.0])


def test_the_questions_ask_what_is_there() -> None:
    films = plan(20, 3, 2)
    moment, motion, look = questions(films)
    long = next(film for film in films if not film.is_clip)
    assert moment.facts.items() <= long.scenes[1].facts.items()
    assert long.scenes[1].action in moment.text
    assert motion.text == "someone walking to the left"
    assert any(look.facts.items() <= film.scenes[0].facts.items() for film in films if film.is_clip)


@pytest.mark.timeout(240)
def test_the_demo_from_films_to_answers(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["demo", str(tmp_path / "out"), "--count", "16", "--films", "2", "--seed", "11"])
    assert done.exit_code == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("rendered 18 films of ")
    assert lines[1] == "18 videos found: 18 indexed, 0 partial, 0 failed, 0 unchanged, 0 moved, 0 removed"
    asked = [number for number, line in enumerate(lines) if ": vidsift search " in line]
    assert [lines[number].split(":")[0] for number in asked] == [
        "a moment inside a long film", "what only motion tells", "colour and place",
    ]  # fmt: skip
    for number in asked:
        assert lines[number + 2].startswith("     right: the film shows "), lines[number : number + 3]
    with Image.open(tmp_path / "out" / "moments.png") as strip:
        assert strip.width > 900


def test_a_folder_in_use_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    done = CliRunner().invoke(main, ["demo", str(tmp_path)])
    assert done.exit_code == 2
    assert done.stderr == f"vidsift: OUT {str(tmp_path)!r}: is not empty, and nothing is overwritten; give another folder\n"
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
