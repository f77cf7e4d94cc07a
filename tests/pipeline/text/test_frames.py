"""Which frames are read, and for how long each stands."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.probe import probe
from pipeline.sources.find import find_videos
from pipeline.text.frames import Pixels, changed, frames_to_read, small_grey
from schemas.records import Span, VideoFile, VideoInfo
from tests.helpers.text_films import Shown, film_frames, plain, title, write_film, written


def frames_of(path: Path, *, step_s: float = 1.0, longest_side: int = 1280) -> list[tuple[Span, Pixels]]:
    (file,) = (file for file in find_videos([str(path)]) if isinstance(file, VideoFile))
    return list(frames_to_read(VideoInfo("", file), probe(str(path)), step_s=step_s, longest_side=longest_side))


def test_a_slide_is_read_once_and_a_new_line_is_noticed(tmp_path: Path) -> None:
    lines = [Shown(0, 12, "A title that stays", 60, 60, 40), Shown(4, 7, "small subtitle", 260, 320, 16)]
    film = write_film(tmp_path / "film.mp4", film_frames(lines, 12))
    assert [span for span, _ in frames_of(film)] == [Span(0, 4), Span(4, 7), Span(7, 12)]


def test_each_look_is_in_the_middle_of_its_step(tmp_path: Path) -> None:
    lines = [Shown(2.25, 2.75, "flash", 260, 160), Shown(5.75, 6.25, "never seen", 260, 160)]
    film = write_film(tmp_path / "film.mp4", film_frames(lines, 8))
    assert [span for span, _ in frames_of(film)] == [Span(0, 2), Span(2, 3), Span(3, 8)]


def test_finer_steps_look_more_often(tmp_path: Path) -> None:
    film = write_film(tmp_path / "film.mp4", film_frames([Shown(2, 2.5, "here", 260, 160)], 4))
    assert [span for span, _ in frames_of(film, step_s=0.5)] == [Span(0, 2), Span(2, 2.5), Span(2.5, 4)]


def test_a_slide_show_is_looked_at_once_a_slide(tmp_path: Path) -> None:
    """One frame a slide, each shown for minutes, as screen recorders write them."""
    slides = [title("First slide"), title("Second slide"), title("Third slide"), title("Third slide")]
    film = write_film(tmp_path / "film.mp4", slides, pts=[0, 4 * 200, 4 * 500, 4 * 600])
    shown = frames_of(film)
    assert [span for span, _ in shown] == [Span(0, 200), Span(200, 500), Span(500, 600.25)]


def test_frames_are_shrunk_and_turned_as_shown(tmp_path: Path) -> None:
    film = write_film(tmp_path / "film.mp4", [title("Turned")] * 4, rotation=90)
    (_, whole), *_ = frames_of(film)
    (_, shrunk), *_ = frames_of(film, longest_side=320)
    assert (whole.shape, shrunk.shape) == ((640, 360, 3), (320, 180, 3))


def test_a_video_of_one_frame_is_read(tmp_path: Path) -> None:
    ((span, frame),) = frames_of(write_film(tmp_path / "film.mp4", [title("Only one")]))
    assert span == Span(0, 0.25)
    assert frame.shape == (360, 640, 3)


def test_what_is_lost_is_left_out_and_the_rest_read(tmp_path: Path) -> None:
    film = write_film(tmp_path / "film.ts", film_frames([Shown(0, 40, "Some words", 60, 60)], 40))
    whole = film.read_bytes()
    film.write_bytes(whole[: len(whole) // 2])
    shown = frames_of(film)
    assert shown[0][0].start_s == 0
    assert shown[-1][0].end_s < 30


@pytest.mark.parametrize(("size", "contrast"), [(10, 60), (12, 40), (16, 30), (32, 20)])
def test_a_line_that_comes_is_a_change_and_coding_noise_is_not(size: int, contrast: int) -> None:
    from PIL import Image, ImageDraw, ImageFont

    rng = np.random.default_rng(3)
    grey = np.full((720, 1280, 3), 90, np.uint8)
    image = Image.fromarray(grey)
    level = 90 + contrast
    ImageDraw.Draw(image).text((500, 600), "a new line", font=ImageFont.load_default(size), fill=(level, level, level))
    noisy = np.clip(grey + rng.normal(0, 4, grey.shape), 0, 255).astype(np.uint8)
    assert changed(small_grey(grey), small_grey(np.asarray(image)))
    assert not changed(small_grey(grey), small_grey(noisy))


@pytest.mark.parametrize("shape", [(1, 1), (1, 3000), (3000, 1), (17, 5)])
def test_frames_of_any_shape_are_compared(shape: tuple[int, int]) -> None:
    black, white = np.zeros((*shape, 3), np.uint8), np.full((*shape, 3), 255, np.uint8)
    assert changed(small_grey(black), small_grey(white))
    assert not changed(small_grey(black), small_grey(black))


def test_a_frame_lets_go_of_those_beside_it(tmp_path: Path) -> None:
    """A frame that is kept must not keep all that were decoded with it."""
    for _, frame in frames_of(write_film(tmp_path / "film.mp4", [plain(), written(plain(), Shown(0, 1, "a", 9, 9))] * 8)):
        assert frame.base is None
