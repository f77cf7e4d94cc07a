"""Rows of whole films, really read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.sources.find import find_videos
from pipeline.text.annotator import LoadedScreenTextAnnotator, ScreenTextAnnotator
from pipeline.text.reader import Pixels, Reading
from pipeline.video_annotators import VideoAnnotator
from schemas.channels import ScreenText, channel_table
from schemas.errors import UsageError, VideoError
from schemas.records import VideoFile, VideoInfo
from tests.helpers.text_films import Shown, film_frames, title, write_film

pytest.importorskip("rapidocr")


@pytest.fixture(scope="module")
def annotator() -> LoadedScreenTextAnnotator:
    return ScreenTextAnnotator().load()


def rows_of(annotator: LoadedScreenTextAnnotator, path: Path) -> list[ScreenText]:
    (file,) = (file for file in find_videos([str(path)]) if isinstance(file, VideoFile))
    return list(annotator.annotate(VideoInfo("", file)))


FILM = [
    Shown(1, 4, "The Long Way Home", 120, 140, 44),
    Shown(5, 8, "Where have you been?", 150, 310, 24),
    Shown(8, 10, "Out for a walk.", 220, 310, 24),
    Shown(0, 14, "Channel Four", 480, 14, 20),
]


def test_titles_and_subtitles_have_their_text_time_and_place(annotator: LoadedScreenTextAnnotator, tmp_path: Path) -> None:
    rows = rows_of(annotator, write_film(tmp_path / "film.mp4", film_frames(FILM, 14)))
    assert [(row.start_s, row.end_s, row.text) for row in rows] == sorted((line[:3]) for line in FILM)
    for row, line in zip(rows, sorted(FILM), strict=True):
        assert row.box.left == pytest.approx(line.left / 640, abs=0.02)
        assert row.box.top == pytest.approx(line.top / 360, abs=0.05)
        assert row.confidence > 0.9
    table = channel_table("screen_text", "id", "text", rows)
    assert table.num_rows == 4
    assert set(table["box"][0].as_py()) == {"left", "top", "width", "height"}


def test_a_film_that_players_turn_is_read_as_shown(annotator: LoadedScreenTextAnnotator, tmp_path: Path) -> None:
    """Coded on its side, with the line near the top of the shown picture."""
    (upright,) = film_frames([Shown(0, 1, "Upright words", 40, 40)], 0.25)
    film = write_film(tmp_path / "film.mp4", [np.rot90(upright, -1)] * 4, rotation=90)
    (row,) = rows_of(annotator, film)
    assert row.text == "Upright words"
    assert row.box.top < 0.2
    assert row.box.width > row.box.height


def test_credits_that_scroll_are_a_row_each(annotator: LoadedScreenTextAnnotator, tmp_path: Path) -> None:
    """At 50 pixels a second, 100 between lines: each is whole on screen for seven seconds."""
    names = ["Anna Lindstrom", "Bertold Krone", "Carla Weissmann"]

    def lines(time_s: float) -> list[Shown]:
        return [Shown(0, 1e9, name, 180, round(360 + 100 * index - 50 * time_s)) for index, name in enumerate(names)]

    frames = [film_frames(lines(index / 4), 0.25)[0] for index in range(13 * 4)]
    rows = rows_of(annotator, write_film(tmp_path / "film.mp4", frames))
    assert [row.text for row in rows] == names
    for index, row in enumerate(rows):
        assert row.start_s == pytest.approx(0.5 + 2 * index, abs=1)
        assert row.end_s == pytest.approx(7.5 + 2 * index, abs=1)


def test_a_static_slide_is_read_once(annotator: LoadedScreenTextAnnotator, tmp_path: Path) -> None:
    film = write_film(tmp_path / "film.mp4", [title("Agenda for today")] * 120)
    read: list[int] = []

    class Counting:
        def read(self, frame: Pixels) -> list[Reading]:
            read.append(1)
            return annotator._reader.read(frame)

    counting = LoadedScreenTextAnnotator(ScreenTextAnnotator(), Counting())  # type: ignore[arg-type]
    (row,) = rows_of(counting, film)
    assert row[:3] == (0, 30, "Agenda for today")
    assert len(read) == 1


def test_what_is_no_video_is_a_video_error(annotator: LoadedScreenTextAnnotator, tmp_path: Path) -> None:
    path = tmp_path / "none.mp4"
    path.write_bytes(b"no video" * 100)
    with pytest.raises(VideoError, match="no video container"):
        rows_of(annotator, path)


def test_it_is_a_video_annotator_whose_version_names_what_changes_rows() -> None:
    annotator: VideoAnnotator = ScreenTextAnnotator()
    assert (annotator.name, annotator.table) == ("text", "screen_text")
    others = [
        ScreenTextAnnotator(step_s=2),
        ScreenTextAnnotator(longest_side=960),
        ScreenTextAnnotator(least_confidence=0.5),
    ]
    assert len({annotator.version, *(other.version for other in others)}) == 4
    assert ScreenTextAnnotator(num_threads=2, engine="onnxruntime").version == annotator.version


@pytest.mark.parametrize(
    ("settings", "argument"),
    [
        ({"step_s": 0}, "step_s"),
        ({"longest_side": 10}, "longest_side"),
        ({"least_confidence": 2}, "least_confidence"),
        ({"num_threads": 0}, "num_threads"),
        ({"step_s": float("nan")}, "step_s"),
    ],
)
def test_settings_that_read_nothing_are_refused(settings: dict[str, float], argument: str) -> None:
    with pytest.raises(UsageError) as caught:
        ScreenTextAnnotator(**settings)  # type: ignore[arg-type]
    assert caught.value.argument == argument
