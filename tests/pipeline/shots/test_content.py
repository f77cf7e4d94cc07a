from __future__ import annotations

import numpy as np
import pytest

from pipeline.shots.boundaries import Boundary
from pipeline.shots.content import ContentDetector, spaced
from tests.pipeline.shots.scenery import Frames, dissolve, held, pan, scene, wipe

A, B, BLACK = scene(1), scene(2), np.zeros((27, 48, 3), np.uint8)


def found_in(*parts: Frames, chunk: int = 250) -> list[Boundary]:
    frames = np.concatenate(parts)
    detector = ContentDetector()
    for start in range(0, len(frames), chunk):
        detector.add(frames[start : start + chunk])
    return detector.boundaries()


def test_a_cut_is_at_the_first_frame_of_the_new_shot() -> None:
    (cut,) = found_in(held(A, 60), held(B, 60))
    assert (cut.frame, cut.length) == (60, 0)
    assert cut.confidence > 0.9


def test_a_cut_between_dark_pictures_is_one() -> None:
    (cut,) = found_in(held(A // 7, 60), held(B // 7, 60))
    assert (cut.frame, cut.length) == (60, 0)


@pytest.mark.parametrize("num_frames", [8, 16, 24, 48])
def test_a_dissolve_is_in_its_middle(num_frames: int) -> None:
    (found,) = found_in(held(A, 60), dissolve(A, B, num_frames), held(B, 60))
    assert abs(found.frame - (60 + num_frames / 2)) <= 2
    assert num_frames / 2 < found.length < 2 * num_frames


def test_a_wipe_is_gradual() -> None:
    (found,) = found_in(held(A, 60), wipe(A, B, 12), held(B, 60))
    assert abs(found.frame - 66) <= 2
    assert found.length > 0


def test_a_fade_out_and_in_are_two() -> None:
    out, into = found_in(held(A, 60), dissolve(A, BLACK, 10), held(BLACK, 30), dissolve(BLACK, B, 10), held(B, 60))
    assert 60 <= out.frame <= 70
    assert 100 <= into.frame <= 110
    assert out.length > 0
    assert into.length > 0


@pytest.mark.parametrize("num_frames", [1, 2, 4])
def test_a_flash_is_nothing(num_frames: int) -> None:
    flash = np.full((num_frames, 27, 48, 3), 250, np.uint8)
    assert found_in(held(A, 60), flash, held(A, 60, seed=1)) == []


def test_a_cut_after_a_flash_is_found() -> None:
    flash = np.full((2, 27, 48, 3), 250, np.uint8)
    found = found_in(held(A, 60), flash, held(A, 60, seed=1), held(B, 60))
    assert [each.frame for each in found] == [122]


def test_a_fast_pan_is_nothing() -> None:
    wide = scene(3, width=120)
    assert found_in(held(wide[:, :48], 40), pan(wide, 12), held(wide[:, -48:], 40)) == []


def test_light_that_changes_is_nothing() -> None:
    assert found_in(held(A, 60), dissolve(A, (A * 0.5).astype(np.uint8), 6), held((A * 0.5).astype(np.uint8), 60)) == []


@pytest.mark.parametrize("chunk", [1, 7, 100, 1000])
def test_how_frames_are_added_changes_nothing(chunk: int) -> None:
    parts = (held(A, 70), dissolve(A, B, 16), held(B, 50), held(A, 90), wipe(A, B, 12), held(B, 30))
    assert found_in(*parts, chunk=chunk) == found_in(*parts)
    assert len(found_in(*parts)) == 3


def test_short_and_empty_videos_have_no_boundaries() -> None:
    assert found_in(A[None]) == []
    assert ContentDetector().boundaries() == []


def test_of_boundaries_close_to_each_other_the_most_confident_is_kept() -> None:
    assert spaced([Boundary(10, 0, 0.6), Boundary(14, 0, 0.9), Boundary(30, 4, 0.5)], 8) == [
        Boundary(14, 0, 0.9),
        Boundary(30, 4, 0.5),
    ]
