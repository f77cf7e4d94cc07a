"""The objective of pre-training: masked autoencoding of video, which needs no labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from jobs.train.augment import tube_mask
from jobs.train.objectives import Batch, Pixels
from pipeline.models.preprocessing import Preprocessing


@dataclass
class MaskedVideo:
    """VideoMAE's masked autoencoding: hidden tubes are predicted, in pixels normalised per patch.

    Attributes:
        tubes: groups of neighbouring frames.
        patches: patches of a frame.
        ratio: share of the patches that is hidden.
    """

    module: nn.Module
    tubes: int
    patches: int
    ratio: float
    metric: str = "loss"
    lower_is_better: bool = True
    measures: tuple[str, ...] = ()
    watched: tuple[str, ...] = ()
    keeps_last: bool = False
    whole_batches: bool = False

    def collate(self, items: Sequence[dict[str, Any]]) -> Batch:
        """See `jobs.train.objectives.Objective.collate`."""
        masks = [tube_mask(self.tubes, self.patches, self.ratio, item["rng"]) for item in items]
        return {"frames": torch.stack([item["frames"] for item in items]), "mask": torch.stack(masks)}


class MaskedVideoModule(nn.Module):
    """A VideoMAE with its decoder."""

    def __init__(self, model: nn.Module, preprocessing: Preprocessing) -> None:
        super().__init__()
        self.model = model
        self.pixels = Pixels(preprocessing)

    def forward(self, frames: torch.Tensor, mask: torch.Tensor) -> dict[str, torch.Tensor]:
        """``loss``: the mean squared error over the hidden patches."""
        return {"loss": self.model(self.pixels(frames), bool_masked_pos=mask).loss}
