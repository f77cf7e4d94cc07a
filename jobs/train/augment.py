"""What a model is shown of a stored clip: the whole of it, or a random window, piece and light while it learns."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import interpolate

from jobs.train.options import Augmentation
from schemas.models import ModelInput

# A random view has its own generator, so that the same epoch shows the same however often a training was interrupted.
Rng = np.random.Generator


def shown(frames: NDArray[np.uint8], wanted: ModelInput, augmentation: Augmentation | None, rng: Rng) -> torch.Tensor:
    """One view of a clip.

    Args:
        frames: uint8 [num_kept, height, width, 3], as `jobs.train.clip_cache` keeps them.
        wanted: frames and geometry of the model.
        augmentation: what may change at random; None shows the whole clip as it is.
        rng: where chance comes from.

    Returns:
        uint8 [num_frames, height, width, 3] in the model's size.
    """
    change = augmentation or Augmentation()
    index = _frame_index(len(frames), wanted.num_frames, change.window, rng)
    height, width = frames.shape[1:3]
    scale = math.sqrt(rng.uniform(change.crop, 1.0)) if change.crop < 1 else 1.0
    cut_h, cut_w = round(height * scale), round(width * scale)
    top, left = (int(rng.integers(0, full - cut + 1)) for full, cut in ((height, cut_h), (width, cut_w)))
    cut = frames[index, top : top + cut_h, left : left + cut_w]
    if change.light:
        brightness, contrast = rng.uniform(1 - change.light, 1 + change.light, 2)
        levels = (np.arange(256) - 128.0) * contrast + 128.0 * brightness
        cut = levels.clip(0, 255).astype(np.uint8)[cut]
    if change.mirror and rng.random() < 0.5:
        cut = cut[:, :, ::-1]
    pixels = torch.from_numpy(np.ascontiguousarray(cut)).permute(0, 3, 1, 2)
    size = wanted.geometry.crop or wanted.geometry.resize
    assert isinstance(size, tuple)  # the preprocessing was refused otherwise
    if pixels.shape[-2:] != size:
        pixels = interpolate(pixels, size=size, mode="bilinear", antialias=True)
    return pixels.permute(0, 2, 3, 1).contiguous()


def _frame_index(num_kept: int, num_frames: int, window: float, rng: Rng) -> NDArray[np.int64]:
    """Middles of ``num_frames`` equal parts of a random window: of 24 kept ones and the whole, 0, 2, 3, 5, 6, ..."""
    length = rng.uniform(window, 1.0) if window < 1 else 1.0
    start = rng.uniform(0.0, 1.0 - length) if length < 1 else 0.0
    moments = start + (np.arange(num_frames) + 0.5) / num_frames * length
    return np.minimum((moments * num_kept).astype(np.int64), num_kept - 1)


def tube_mask(tubes: int, patches: int, ratio: float, rng: Rng) -> torch.Tensor:
    """Bool [tubes * patches], True where a patch is hidden: the same places in every tube (VideoMAE, Tong et al., 2022).

    ``ratio`` of the places is hidden, at least one and never all: 0.9 of 16 hides 14.
    """
    hidden = min(max(round(patches * ratio), 1), patches - 1)
    places = np.zeros(patches, dtype=bool)
    places[rng.permutation(patches)[:hidden]] = True
    return torch.from_numpy(np.tile(places, tubes))
