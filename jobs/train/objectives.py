"""What the three trainings differ in: the module that gives a loss, and how a batch is made. Everything else is shared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn

from jobs.train.augment import shown
from jobs.train.clip_cache import Stored
from jobs.train.options import Augmentation
from pipeline.models.preprocessing import Preprocessing

Batch = dict[str, torch.Tensor]


class ClipDataset(torch.utils.data.Dataset[dict[str, Any]]):
    """Stored clips as views, one item a clip.

    Attributes:
        epoch: which time the clips are shown; the views change with it.
    """

    def __init__(
        self, stored: Sequence[Stored], preprocessing: Preprocessing, augmentation: Augmentation | None, seed: int
    ) -> None:
        """``augmentation`` None shows every clip whole."""
        self._clips = [(of_example, number) for of_example in stored for number in range(of_example.num_clips)]
        self._input = preprocessing.input
        self._augmentation = augmentation
        self._seed = seed
        self.epoch = 0

    def __len__(self) -> int:
        return len(self._clips)

    def __getitem__(self, index: int) -> dict[str, Any]:
        stored, number = self._clips[index]
        rng = np.random.default_rng((self._seed, self.epoch, index))
        frames = shown(stored.clip(number), self._input, self._augmentation, rng)
        return {"frames": frames, "example": stored.example, "rng": rng}


class Task(Protocol):
    """One kind of training.

    Attributes:
        module: gives ``{"loss": ..., ...}`` for a batch; what it learns is in ``module.model``.
        metric: what the best epoch has most of (or least, where ``lower_is_better``).
        measures: what the module's outputs beside the loss are, one number a clip each, in order.
    """

    module: nn.Module
    metric: str
    lower_is_better: bool
    measures: tuple[str, ...]

    def collate(self, items: Sequence[dict[str, Any]]) -> Batch:
        """Make a batch of dataset items."""


class Pixels(nn.Module):
    """uint8 frames [batch, num_frames, height, width, 3] to a model's pixels, on the model's device."""

    gain: torch.Tensor
    shift: torch.Tensor

    def __init__(self, preprocessing: Preprocessing) -> None:
        super().__init__()
        self.register_buffer("gain", torch.tensor(preprocessing.gain).view(3, 1, 1), persistent=False)
        self.register_buffer("shift", torch.tensor(preprocessing.shift).view(3, 1, 1), persistent=False)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """[batch, num_frames, 3, height, width]."""
        return frames.permute(0, 1, 4, 2, 3).float() * self.gain + self.shift
