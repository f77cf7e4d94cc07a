"""The classifier's objective: cross-entropy over the labels of a dataset."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from jobs.train.objectives import Batch, Pixels
from pipeline.models.preprocessing import Preprocessing


@dataclass
class Classification:
    """Cross-entropy over the dataset's classes; class i is ``labels[i]``."""

    module: nn.Module
    labels: tuple[str, ...]
    metric: str = "accuracy"
    lower_is_better: bool = False
    measures: tuple[str, ...] = ("accuracy",)
    watched: tuple[str, ...] = ()
    keeps_last: bool = False
    whole_batches: bool = False

    def collate(self, items: Sequence[dict[str, Any]]) -> Batch:
        """See `jobs.train.objectives.Objective.collate`."""
        labels = [self.labels.index(item["example"].label) for item in items]
        return {"frames": torch.stack([item["frames"] for item in items]), "labels": torch.tensor(labels)}


class ClassificationModule(nn.Module):
    """A video classifier and its loss."""

    def __init__(self, model: nn.Module, preprocessing: Preprocessing) -> None:
        super().__init__()
        self.model = model
        self.pixels = Pixels(preprocessing)

    def forward(self, frames: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
        """``loss``, and float [batch] ``right``: 1 where the best class is the right one."""
        logits = self.logits(frames).float()
        return {"loss": cross_entropy(logits, labels), "right": (logits.argmax(-1) == labels).float()}

    def logits(self, frames: torch.Tensor) -> torch.Tensor:
        """[batch, labels], of uint8 [batch, num_frames, height, width, 3]."""
        logits: torch.Tensor = self.model(self.pixels(frames)).logits
        return logits
