"""Objectives: the interface of what a model can be trained for, and the pixels that all of them begin with.

The objectives themselves are in `jobs.train.classification`, `jobs.train.contrastive` and `jobs.train.masked_video`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import nn

from pipeline.models.preprocessing import Preprocessing

Batch = dict[str, torch.Tensor]


class Objective(Protocol):
    """A loss, and how batches are made for it.

    Attributes:
        module: gives ``{"loss": ..., ...}`` for a batch; the model that learns is ``module.model``.
        metric: the measure that the best epoch is chosen by: the highest, or the lowest where ``lower_is_better``.
        measures: names of the module's outputs beside the loss, in order; each output has one number per clip.
        watched: names of outputs that are followed during training, in the same way.
        keeps_last: whether the last epoch is kept, where no measure tells a better one.
        whole_batches: whether an epoch's last batch is left out where it is smaller than the others.
    """

    module: nn.Module
    metric: str
    lower_is_better: bool
    measures: tuple[str, ...]
    watched: tuple[str, ...]
    keeps_last: bool
    whole_batches: bool

    def collate(self, items: Sequence[dict[str, Any]]) -> Batch:
        """Make a batch of items of a `jobs.train.clip_dataset.ClipDataset`."""


class Pixels(nn.Module):
    """Turns uint8 frames [batch, num_frames, height, width, 3] into a model's pixels, on the model's device."""

    gain: torch.Tensor
    shift: torch.Tensor

    def __init__(self, preprocessing: Preprocessing) -> None:
        super().__init__()
        self.register_buffer("gain", torch.tensor(preprocessing.gain).view(3, 1, 1), persistent=False)
        self.register_buffer("shift", torch.tensor(preprocessing.shift).view(3, 1, 1), persistent=False)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """Float [batch, num_frames, 3, height, width]."""
        return frames.permute(0, 1, 4, 2, 3).float() * self.gain + self.shift
