from __future__ import annotations

import numpy as np

from pipeline.shots.pictures import Pictures
from tests.pipeline.shots.scenery import held, pan, scene


def test_what_is_shown() -> None:
    grey = np.full((27, 48, 3), 90, np.uint8)
    parts = [held(grey, 50), held(scene(2), 50, seed=1), pan(scene(3, width=96), 50)]
    pictures = Pictures()
    frames = np.concatenate(parts)
    for start in range(0, 150, 30):
        pictures.add(frames[start : start + 30])
    shown = pictures.shown()
    assert [shown.between(start, start + 50) for start in range(0, 150, 50)] == ["black", "still", "moving"]
    assert shown.blank.tolist() == [True] * 50 + [False] * 100


def test_a_mouth_that_moves_is_no_still() -> None:
    speaker = held(scene(1), 50)
    speaker[::5, 12:15, 20:24] = 255
    pictures = Pictures()
    pictures.add(speaker)
    assert pictures.shown().between(0, 50) == "moving"


def test_a_few_frames_are_never_still() -> None:
    pictures = Pictures()
    pictures.add(held(scene(1), 8))
    assert pictures.shown().between(0, 8) == "moving"
