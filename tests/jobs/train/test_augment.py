"""Views of a cached clip, augmented at random."""

from __future__ import annotations

import numpy as np
import pytest

from jobs.train.augment import augmented_view, tube_mask
from jobs.train.options import Augmentation
from schemas.models import Geometry, ModelInput

INPUT = ModelInput(16, Geometry(64, (64, 64)))


def numbered(size: int = 72, num_frames: int = 24) -> np.ndarray:
    """Every frame is filled with ten times its number."""
    return np.stack([np.full((size, size, 3), 10 * i, dtype=np.uint8) for i in range(num_frames)])


def test_without_augmentation_the_whole_clip_is_shown_evenly() -> None:
    frames = augmented_view(numbered(), INPUT, None, np.random.default_rng(0))
    assert tuple(frames.shape) == (16, 64, 64, 3)
    # The middles of 16 parts of 24 frames: (j + 0.5) * 1.5, cut.
    assert (frames[:, 0, 0, 0] // 10).tolist() == [0, 2, 3, 5, 6, 8, 9, 11, 12, 14, 15, 17, 18, 20, 21, 23]


def test_the_same_generator_gives_the_same_view_and_another_one_another() -> None:
    noise = np.random.default_rng(1).integers(0, 255, (24, 72, 72, 3), dtype=np.uint8)
    change = Augmentation(crop=0.5, light=0.3, window=0.5, mirror=True)
    one, same, other = (augmented_view(noise, INPUT, change, np.random.default_rng(seed)) for seed in (5, 5, 6))
    assert one.equal(same)
    assert not one.equal(other)


def test_a_random_window_stays_in_order_and_covers_its_share() -> None:
    change = Augmentation(window=0.5)
    for seed in range(20):
        numbers = (augmented_view(numbered(), INPUT, change, np.random.default_rng(seed))[:, 0, 0, 0] // 10).tolist()
        assert numbers == sorted(numbers)
        assert 24 * 0.5 * 15 / 16 - 1 <= numbers[-1] - numbers[0] <= 23


def test_nothing_is_mirrored_unless_asked_for() -> None:
    frames = np.zeros((24, 64, 64, 3), dtype=np.uint8)
    frames[:, :, 32:] = 200
    rng = np.random.default_rng
    left = [int(augmented_view(frames, INPUT, Augmentation(), rng(seed))[0, 0, 0, 0]) for seed in range(20)]
    assert left == [0] * 20
    mirrored = {int(augmented_view(frames, INPUT, Augmentation(mirror=True), rng(seed))[0, 0, 0, 0]) for seed in range(20)}
    assert mirrored == {0, 200}


def test_light_changes_all_frames_alike() -> None:
    frames = np.full((24, 64, 64, 3), 100, dtype=np.uint8)
    change = Augmentation(light=0.5)
    lit = [augmented_view(frames, INPUT, change, np.random.default_rng(seed)).numpy() for seed in range(9)]
    assert all((view == view[0, 0, 0, 0]).all() for view in lit)
    assert len({int(view[0, 0, 0, 0]) for view in lit}) > 5


def test_a_crop_shows_a_piece_at_the_full_size() -> None:
    ramp = np.broadcast_to(np.arange(72, dtype=np.uint8)[None, None, :, None] * 3, (24, 72, 72, 3)).copy()
    frames = augmented_view(ramp, INPUT, Augmentation(crop=0.25), np.random.default_rng(2)).numpy()
    assert frames.shape == (16, 64, 64, 3)
    assert int(frames.max()) - int(frames.min()) < 71 * 3


@pytest.mark.parametrize(("patches", "ratio", "hidden"), [(16, 0.9, 14), (196, 0.9, 176), (4, 0.99, 3), (4, 0.1, 1)])
def test_a_tube_mask_hides_the_same_places_at_all_times(patches: int, ratio: float, hidden: int) -> None:
    mask = tube_mask(8, patches, ratio, np.random.default_rng(0)).view(8, patches)
    assert mask.sum(1).tolist() == [hidden] * 8
    assert (mask == mask[0]).all()
