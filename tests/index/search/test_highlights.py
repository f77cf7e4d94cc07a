"""Highlights: what stands out of its own video is chosen, each in its own way, and nothing that is black or still."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from cli import main
from index.search.highlights import HighlightOptions, highlights, marginal_order
from jobs.annotate.annotate import annotate
from jobs.export.moments_file import read_hits
from schemas.channels import Shot
from schemas.errors import UsageError
from tests.helpers.made_annotators import made, use_annotators
from tests.helpers.made_library import Made, make_library

SHOWN = {3: "red", 8: "red", 9: "kitchen", 15: "cheering"}
"""By its number, what a clip of the video ``a`` shows; all others show somebody jumping."""


@pytest.fixture
def library(tmp_path: Path) -> Path:
    of_a = [Made(n, "a", 4.0 * n, 4.0 * n + 4, {SHOWN.get(n, "jumping"): 0.95}) for n in range(20)]
    of_b = [Made(100 + n, "b", 4.0 * n, 4.0 * n + 4, {"red": 0.95} if n != 2 else {"jumping": 0.95}) for n in range(6)]
    return make_library(tmp_path / "library", [*of_a, *of_b])


def ids(library: Path, **options: object) -> list[int]:
    return [moment.clip_id for moment in highlights(library, HighlightOptions(**options))]  # type: ignore[arg-type]


def test_each_way_to_stand_out_comes_once_before_any_comes_twice(library: Path) -> None:
    first = ids(library, video="/v/a.mp4", k=3)
    assert {SHOWN.get(clip_id) for clip_id in first} == {"red", "kitchen", "cheering"}


def test_moments_say_how_far_they_stand_out(library: Path) -> None:
    moments = highlights(library, HighlightOptions(video="/v/a.mp4", k=4))
    assert [moment.rank for moment in moments] == [1, 2, 3, 4]
    assert moments[0].confidence > 0.75
    assert moments[0].score > 0.3
    best = moments[0]
    assert (best.start_s, best.end_s, best.windows) == (4.0 * best.clip_id, 4.0 * best.clip_id + 4, 1)


def test_a_clip_stands_out_of_its_own_video(library: Path) -> None:
    """What all of ``b`` shows is rare in ``a``, and the other way round."""
    assert ids(library, video="/v/b.mp4", k=1) == [102]
    assert 102 in ids(library, where="start_s >= 0", k=4)


def test_a_condition_and_a_length_limit_the_choice(library: Path) -> None:
    assert set(ids(library, video="/v/a.mp4", where="start_s < 16", k=1)) == {3}
    assert len(ids(library, video="/v/a.mp4", seconds=15)) == 3
    assert len(ids(library, video="/v/a.mp4")) == 5
    assert len(ids(library, video="/v/a.mp4", seconds=9, k=1)) == 1
    assert ids(library, where="start_s > 1000") == []


def test_black_and_still_shots_are_passed_over(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shots = (
        Shot(0.0, 12.0, "start", 1.0, "moving"),
        Shot(12.0, 16.0, "cut", 1.0, "black"),
        Shot(16.0, 33.0, "cut", 1.0, "moving"),
        Shot(33.0, 37.0, "cut", 1.0, "still"),  # three quarters of clip 8, and a quarter of clip 9
        Shot(37.0, 80.0, "cut", 1.0, "moving"),
    )
    use_annotators(monkeypatch, shots=made("shots", "shots", entries=(("/v/a.mp4", shots),)))
    annotate(library, ["shots"])
    chosen = ids(library, video="/v/a.mp4", k=20)
    assert sorted(chosen) == [n for n in range(20) if n not in (3, 8)]


def test_marginal_relevance_weighs_standing_out_against_likeness() -> None:
    vectors = np.array([[1, 0], [1, 0], [0, 1]], np.float32)
    assert list(marginal_order(np.array([1.0, 0.9, 0.2]), vectors)) == [0, 2, 1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "neither a video nor a condition"),
        ({"video": "/v/none.mp4"}, "no such video"),
        ({"video": "/v/a.mp4", "k": 0}, "expected 1 to"),
        ({"video": "/v/a.mp4", "seconds": 0.0}, "more than 0 s"),
        ({"where": " "}, "nothing but blanks"),
    ],
)
def test_what_cannot_be_answered_is_refused(library: Path, options: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        ids(library, **options)


def test_export_reads_what_is_printed(library: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["highlights", "/v/a.mp4", "--library", str(library), "-k", "2", "--json"])
    assert done.exit_code == 0, done.output
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    (tmp_path / "hits.jsonl").write_text(done.stdout)
    read = read_hits(str(tmp_path / "hits.jsonl"))
    assert [(one.rank, one.path, one.span.start_s) for one in read] == [
        (line["rank"], line["path"], line["start_s"]) for line in lines
    ]
    table = CliRunner().invoke(main, ["highlights", "/v/a.mp4", "--library", str(library), "-k", "2"]).stdout
    assert table.splitlines()[0].split() == ["rank", "score", "confidence", "time", "labels", "windows", "path"]
    assert len(table.splitlines()) == 4
