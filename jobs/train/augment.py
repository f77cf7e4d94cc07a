"""Augmentation: one view of a cached clip, either all of it or a random part in time, area and light; and tube masks."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import interpolate

from jobs.train.options import Augmentation
from schemas.models import ModelInput

# Each view has a generator of its own, so that an epoch is the same however often a training was interrupted.
Rng = np.random.Generator


def augmented_view(
    frames: NDArray[np.uint8], model_input: ModelInput, augmentation: Augmentation | None, rng: Rng
) -> torch.Tensor:
    """One view of a clip.

    Args:
        frames: uint8 [num_kept, height, width, 3], as `jobs.train.clip_cache` keeps them.
        model_input: frames and geometry of the model.
        augmentation: what may change at random; None gives the whole clip as it is.
        rng: the source of chance.

    Returns:
        uint8 [num_frames, height, width, 3] in the model's size.
    """
    change = augmentation or Augmentation()
    numbers = frame_numbers(len(frames), model_input.num_frames, change.window, rng)
    height, width = frames.shape[1:3]
    scale = math.sqrt(rng.uniform(change.crop, 1.0)) if change.crop < 1 else 1.0
    crop_height, crop_width = round(height * scale), round(width * scale)
    top, left = (int(rng.integers(0, full - kept + 1)) for full, kept in ((height, crop_height), (width, crop_width)))
    view = frames[numbers, top : top + crop_height, left : left + crop_width]
    if change.light:
        brightness, contrast = rng.uniform(1 - change.light, 1 + change.light, 2)
        levels = (np.arange(256) - 128.0) * contrast + 128.0 * brightness
        view = levels.clip(0, 255).astype(np.uint8)[view]
    if change.mirror and rng.random() < 0.5:
        view = view[:, :, ::-1]
    pixels = torch.from_numpy(np.ascontiguousarray(view)).permute(0, 3, 1, 2)
    size = model_input.geometry.size
    assert size is not None  # any other preprocessing was refused when it was read
    if pixels.shape[-2:] != size:
        pixels = interpolate(pixels, size=size, mode="bilinear", antialias=True)
    return pixels.permute(0, 2, 3, 1).contiguous()


def frame_numbers(num_kept: int, num_frames: int, window: float, rng: Rng) -> NDArray[np.int64]:
    """Middles of ``num_frames`` equal parts of a random window: of 24 kept frames and the whole clip, 0, 2, 3, 5, 6, ..."""
    length = rng.uniform(window, 1.0) if window < 1 else 1.0
    start = rng.uniform(0.0, 1.0 - length) if length < 1 else 0.0
    middles = start + (np.arange(num_frames) + 0.5) / num_frames * length
    return np.minimum((middles * num_kept).astype(np.int64), num_kept - 1)


def tube_mask(tubes: int, patches: int, ratio: float, rng: Rng) -> torch.Tensor:
    """Bool [tubes * patches], True where a patch is hidden: the same places in every tube (VideoMAE, Tong et al., 2022).

    Args:
        tubes: groups of neighbouring frames.
        patches: patches of a frame.
        ratio: share of the patches that is hidden, at least one and never all: 0.9 of 16 hides 14.
        rng: the source of chance.
    """
    num_hidden = min(max(round(patches * ratio), 1), patches - 1)
    hidden = np.zeros(patches, dtype=bool)
    hidden[rng.permutation(patches)[:num_hidden]] = True
    return torch.from_numpy(np.tile(hidden, tubes))
