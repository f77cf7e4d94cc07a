"""Small pictures of footage: without borders, at their times, and alike where the footage is the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.footage.borders import inner_boxes
from pipeline.footage.matching import agreement, seen
from pipeline.footage.pictures import CROPS, RATE, Footage, read_footage, small_pictures
from schemas.errors import VideoError
from schemas.records import Span
from tests.helpers.footage import FPS, HEIGHT, WIDTH, bordered, cropped, film, write

KNOWN = np.ones(5 * RATE, np.bool_)


def pictures(frames: list[np.ndarray]) -> np.ndarray:
    """Of every third frame: about `RATE` a second."""
    return small_pictures(np.stack(frames[::3][: len(KNOWN)]))


def test_borders_are_cut_off() -> None:
    frames = film(1, 3)
    wide = np.stack([np.pad(frame, ((10, 14), (20, 30), (0, 0))) for frame in frames[::3]])[..., 0]
    boxes = inner_boxes(wide)
    assert boxes[:, 0] == pytest.approx(10, abs=1)
    assert boxes[:, 1] == pytest.approx(10 + HEIGHT, abs=1)
    assert boxes[:, 2] == pytest.approx(20, abs=1)
    assert boxes[:, 3] == pytest.approx(20 + WIDTH, abs=1)


def test_a_dark_moment_has_the_borders_of_what_is_around_it() -> None:
    frames = np.stack([frame[..., 0] for frame in film(1, 1)])
    frames[10:13] = 16
    assert (inner_boxes(frames) == (0, HEIGHT, 0, WIDTH)).all()


def test_bordered_footage_has_nearly_the_same_pictures() -> None:
    frames = film(1, 5)
    plain, wide = pictures(frames), pictures([bordered(frame) for frame in frames])
    assert np.abs(plain[:, 0].astype(int) - wide[:, 0]).mean() < 3


@pytest.mark.parametrize("crop", range(1, len(CROPS)))
def test_crops_are_the_middle(crop: int) -> None:
    across, down = CROPS[crop]
    (frame,) = film(1, 1 / FPS)
    y, x = round(HEIGHT * (1 - down) / 2), round(WIDTH * (1 - across) / 2)
    middle = frame[y : HEIGHT - y, x : WIDTH - x]
    assert np.abs(small_pictures(frame[None])[0, crop].astype(int) - small_pictures(middle[None])[0, 0]).max() <= 1


def test_changes_agree_in_the_same_footage_alone() -> None:
    one = seen(pictures(film(1, 5))[:, 0], KNOWN)
    again = seen(pictures([cropped(frame) for frame in film(1, 5)])[:, 0], KNOWN)
    same_crop = seen(pictures(film(1, 5))[:, CROPS.index((0.8, 0.8))], KNOWN)
    other = seen(pictures(film(2, 5))[:, 0], KNOWN)
    assert np.diag(agreement(one, one, 0.5))[one.moving] == pytest.approx(1, abs=1e-5)
    assert np.diag(agreement(same_crop, again, 0.5))[again.moving].mean() > 0.9
    assert np.abs(np.diag(agreement(one, other, 0.5)).mean()) < 0.25
    assert np.einsum("ij,ij->i", one.looks, other.looks).mean() > 0.5  # it is the same room all the same


def test_what_is_still_flat_or_unknown_says_nothing() -> None:
    bars = np.tile((np.arange(256) % 16 * 16).astype(np.uint8), (40, 1))
    noise = np.random.default_rng(0).integers(0, 2, bars.shape, np.uint8)
    assert not seen(bars + noise, KNOWN).moving.any()
    black = 16 + noise
    assert not seen(black, KNOWN).looks.any()
    known = KNOWN.copy()
    known[10:20] = False
    moving = seen(pictures(film(1, 5))[:, 0], known).moving
    assert not moving[8:22].any()
    assert moving[2:8].all()


def test_mirrored_is_the_other_way_round() -> None:
    frames = film(1, 5)
    one, mirrored = seen(pictures(frames)[:, 0], KNOWN), seen(pictures([frame[:, ::-1] for frame in frames])[:, 0], KNOWN)
    assert np.diag(agreement(one.mirrored(), mirrored, 0.5))[one.moving].mean() > 0.95


def test_pictures_are_read_at_their_times_where_they_are_wanted(tmp_path: Path) -> None:
    frames = film(1, 6)
    path = write(tmp_path / "film.mp4", frames, crf=10)
    footage = read_footage(str(path), 6.0, [Span(1.0, 2.0), Span(1.5, 3.0), Span(5.5, 99.0)])
    assert isinstance(footage, Footage)
    known = np.zeros(6 * RATE, np.bool_)
    known[8:24] = known[44:48] = True
    assert (footage.known == known).all()
    for number in np.flatnonzero(known):
        shown = small_pictures(frames[int((number + 0.5) / RATE * FPS)][None])[0, 0]
        assert np.abs(footage.pictures[number, 0].astype(int) - shown).mean() < 4
    assert footage.size_bytes == 48 * (len(CROPS) * 256 + 1)


def test_a_file_that_is_none_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "film.mp4").write_bytes(b"nothing")
    with pytest.raises(VideoError):
        read_footage(str(tmp_path / "film.mp4"), 6.0, [Span(0.0, 6.0)])
