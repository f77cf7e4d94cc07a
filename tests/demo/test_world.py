"""The demo's world: what is planned, drawn, stored and said."""

from __future__ import annotations

import csv
import random
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from demo.actions import Style, pose
from demo.captions import FACTS, caption, prompts, split, templates, wordings, words
from demo.figure import joints
from demo.render import render, render_all
from demo.truth import write_captions, write_truth
from demo.world import ACTION_SETS, BACKGROUNDS, PAIRS, SHIRTS, Film, plan
from pipeline.probe import probe

ALL = ACTION_SETS["all"]


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def decoded(path: Path) -> tuple[list[float], list[NDArray[np.uint8]]]:
    """Times, and frames as a player shows them."""
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    shown = [np.rot90(frame.to_ndarray(format="rgb24").astype(np.uint8), round(frame.rotation / 90)) for frame in frames]
    return [frame.time or 0.0 for frame in frames], shown


def test_a_seed_gives_the_same_tables(tmp_path: Path) -> None:
    tables = []
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        films = plan(40, seed, films=2)
        tables.append(
            (write_truth(films, tmp_path / name).read_bytes(), write_captions(films, tmp_path / name).read_bytes())
        )
    assert tables[0] == tables[1]
    assert tables[0][0] != tables[2][0]
    assert tables[0][1] != tables[2][1]


def test_a_film_depends_on_its_number_alone() -> None:
    assert plan(50, 1, films=3)[:20] == plan(20, 1)
    assert plan(5, 1, films=3)[5:7] == plan(0, 1, films=2)


def test_actions_come_equally_often() -> None:
    actions = [film.scenes[0].action for film in plan(2 * len(ALL), 0, actions="all")]
    assert sorted(actions) == sorted(ALL * 2)


def test_the_same_film_gives_the_same_bytes(tmp_path: Path) -> None:
    (film,) = plan(1, 0)
    assert render(film, tmp_path / "a").read_bytes() == render(film, tmp_path / "b").read_bytes()


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_pairs_are_each_others_reversal(one: str, other: str) -> None:
    style = Style(tempo=1.1, amount=0.95, phase=0.3, before=0.1, after=0.2)
    for t in np.linspace(0, 1, 21).tolist():
        forth, back = joints(pose(one, t, style)), joints(pose(other, 1 - t, style))
        for a, b in zip(forth, back, strict=True):
            assert np.allclose(np.array(a), np.array(b), atol=1e-9)


@pytest.mark.parametrize("action", ALL)
def test_every_action_renders(tmp_path: Path, action: str) -> None:
    film = next(film for film in plan(len(ALL), 0, actions="all") if film.scenes[0].action == action)
    film = replace(film, path="clips/one.mp4", codec="libx264", variable_rate=False)
    times, frames = decoded(render(film, tmp_path))
    assert len(frames) == film.num_frames
    assert times[-1] + 1 / film.fps == pytest.approx(film.duration_s, abs=0.005)
    assert frames[0].shape[1::-1] == film.size
    first, middle = frames[0].astype(int), frames[len(frames) // 3].astype(int)
    assert (abs(first - middle).max(axis=2) > 60).mean() > 0.005, "something moves"


@pytest.mark.parametrize(
    ("codec", "ending"), [("libx264", "mp4"), ("libx265", "mp4"), ("libvpx-vp9", "webm"), ("mpeg4", "avi"), ("mpeg4", "mp4")]
)
def test_every_codec_keeps_the_duration(tmp_path: Path, codec: str, ending: str) -> None:
    film = replace(_plain(), path=f"clips/one.{ending}", codec=codec)
    assert probe(str(render(film, tmp_path))).duration_s == pytest.approx(film.duration_s, abs=0.05)


def test_missing_frames_leave_the_others_at_their_time(tmp_path: Path) -> None:
    film = replace(_plain(), variable_rate=True)
    times, _ = decoded(render(film, tmp_path))
    assert 0.4 * film.num_frames < len(times) < 0.9 * film.num_frames
    assert times[-1] + 1 / film.fps == pytest.approx(film.duration_s, abs=0.005)


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_turned_files_are_shown_upright(tmp_path: Path, degrees: int) -> None:
    film = _plain()
    _, upright = decoded(render(film, tmp_path))
    path = render(replace(film, path="clips/turned.mp4", rotation=degrees), tmp_path)
    _, turned = decoded(path)
    assert probe(str(path)).rotation_deg % 360 == degrees
    assert turned[5].shape == upright[5].shape
    assert abs(turned[5].astype(int) - upright[5].astype(int)).mean() < 6


def test_long_films(tmp_path: Path) -> None:
    (film,) = plan(0, 0, films=1)
    times = [time for scene in film.scenes for time in (scene.start_s, scene.end_s)]
    assert times == sorted(times)
    assert 20 <= film.duration_s <= 60
    assert len(read(write_truth([film], tmp_path))) == len(film.scenes)
    assert read(write_captions([film], tmp_path)) == []
    meta = probe(str(render(film, tmp_path)))
    assert meta.duration_s == pytest.approx(film.duration_s, abs=0.05)


def test_captions_say_what_is_true(tmp_path: Path) -> None:
    films = plan(48, 2)
    truth = {row["path"]: row for row in read(write_truth(films, tmp_path))}
    known = set(words())
    rows = read(write_captions(films, tmp_path))
    assert len(rows) == 6 * len(films)
    for row in rows:
        facts = dict(fact.split("=") for fact in row["facts"].split(";"))
        assert row["label"] == truth[row["path"]]["action"]
        assert all(truth[row["path"]][name] == value for name, value in facts.items())
        assert set(split(row["caption"])) <= known
        assert row["caption"] in set(wordings(facts))


def test_unseen_sentences_are_new_and_made_of_known_words() -> None:
    rng = random.Random(0)
    kinds = [kind for size in (1, 2, 3) for kind in combinations(FACTS, size)]
    seen: set[str] = set()
    unseen: set[str] = set()
    for action in ALL:
        facts = {"action": action, "shirt": rng.choice(list(SHIRTS)), "background": rng.choice(BACKGROUNDS)}
        for said in ({name: facts[name] for name in kind} for kind in kinds):
            assert len(templates(said)) >= 6
            seen |= set(wordings(said))
            unseen |= set(wordings(said, unseen=True))
            assert caption(said, rng, unseen=True) in unseen
        assert set(split(" ".join(prompts(action)))) <= set(words())
    assert not seen & unseen
    assert {word for text in unseen for word in split(text)} <= {word for text in seen for word in split(text)}
    assert len(words()) < 300


def test_workers_render_what_one_process_renders(tmp_path: Path) -> None:
    films = plan(3, 0)
    together = [path.read_bytes() for path in render_all(films, tmp_path / "a", workers=2)]
    assert together == [path.read_bytes() for path in render_all(films, tmp_path / "b", workers=1)]


def _plain() -> Film:
    """A small clip without anything special about its file."""
    film = plan(1, 0)[0]
    return replace(film, path="clips/plain.mp4", codec="libx264", size=(320, 240), rotation=0, variable_rate=False)
