"""Cached clips as a PyTorch dataset: what the Trainer reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from jobs.train.augment import augmented_view
from jobs.train.clip_cache import CachedClips
from jobs.train.options import Augmentation
from pipeline.models.preprocessing import Preprocessing


class ClipDataset(torch.utils.data.Dataset[dict[str, Any]]):
    """Views of cached clips. An item has ``frames``, ``example``, and the ``rng`` that its other choices are drawn from.

    Attributes:
        epoch: the number of the epoch, from 0; the views change with it.
    """

    def __init__(
        self, cached: Sequence[CachedClips], preprocessing: Preprocessing, augmentation: Augmentation | None, seed: int
    ) -> None:
        """Make a dataset; without ``augmentation`` it gives every clip whole."""
        self._clips = [(of_example, number) for of_example in cached for number in range(of_example.num_clips)]
        self._input = preprocessing.input
        self._augmentation = augmentation
        self._seed = seed
        self.epoch = 0

    def __len__(self) -> int:
        return len(self._clips)

    def __getitem__(self, index: int) -> dict[str, Any]:
        cached, number = self._clips[index]
        rng = np.random.default_rng((self._seed, self.epoch, index))
        frames = augmented_view(cached.clip(number), self._input, self._augmentation, rng)
        return {"frames": frames, "example": cached.example, "rng": rng}


@dataclass(frozen=True, slots=True)
class SplitClips:
    """The datasets of one training.

    Attributes:
        train: clips to learn from.
        val: clips that choose the best epoch; None keeps the last epoch.
        test: clips that are measured once, at the end; None where there are none.
    """

    train: ClipDataset
    val: ClipDataset | None
    test: ClipDataset | None
