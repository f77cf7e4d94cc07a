"""SimSiam's objective: two views of a frame say the same of it, and nothing else is asked (Chen and He, 2020).

"Exploring Simple Siamese Representation Learning", arXiv 2011.10566. Nothing in the loss keeps all frames from being given
one and the same output; the stopped gradient does. So two things are watched: the paper's spread of the outputs, and the
number of directions that they use, which falls first where the outputs collapse.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.functional import cosine_similarity, normalize

from jobs.train.objectives import Batch, Pixels
from jobs.train.report import full_spread
from jobs.train.trainer import TrainingResult
from pipeline.models.preprocessing import Preprocessing
from schemas.errors import JobError

# Outputs with less than this share of the full spread are taken for collapsed. The paper's figure 2 has them at all of it
# with the stopped gradient, and at none of it without.
MIN_SPREAD = 0.1
# Outputs that use fewer directions are taken for collapsed too: a line has 1. Where the gradient is not stopped, outputs
# first come near a line, with much of their spread, and then to a point (tests/jobs/train/test_simsiam.py).
MIN_DIRECTIONS = 1.5


@dataclass
class SimSiam:
    """The negative cosine of two views' outputs. Lower is no better, since a collapse is lowest: the last epoch is kept."""

    module: nn.Module
    metric: str = "loss"
    lower_is_better: bool = True
    measures: tuple[str, ...] = ()
    watched: tuple[str, ...] = ("spread", "directions")
    keeps_last: bool = True
    whole_batches: bool = True

    def collate(self, items: Sequence[dict[str, Any]]) -> Batch:
        """See `jobs.train.objectives.Objective.collate`."""
        return {"frames": torch.stack([item["frames"] for item in items])}


class SimSiamModule(nn.Module):
    """An encoder with SimSiam's projector and predictor, which are dropped after the training.

    Attributes:
        model: the encoder.
        output_dim: dimension of the outputs that are compared.
        stop_gradient: as the method has it. False trains both views towards each other, which collapses: to show that.
    """

    def __init__(self, model: nn.Module, preprocessing: Preprocessing, *, width: int) -> None:
        """Put the heads of the paper's section 3 on ``model``, which gives ``pooler_output`` [batch, width, 1, 1].

        The projector has three layers, of 2,048 values for widths of 512 and more, and else of four times the width; the
        predictor has two, with a quarter of that between them.
        """
        super().__init__()
        self.model = model
        self.pixels = Pixels(preprocessing)
        self.stop_gradient = True
        self.output_dim = dim = min(2048, 4 * width)
        self.projector = nn.Sequential(
            *(nn.Linear(width, dim, bias=False), nn.BatchNorm1d(dim), nn.ReLU()),
            *(nn.Linear(dim, dim, bias=False), nn.BatchNorm1d(dim), nn.ReLU()),
            *(nn.Linear(dim, dim, bias=False), nn.BatchNorm1d(dim)),
        )
        self.predictor = nn.Sequential(
            nn.Linear(dim, dim // 4, bias=False), nn.BatchNorm1d(dim // 4), nn.ReLU(), nn.Linear(dim // 4, dim)
        )

    def forward(self, frames: torch.Tensor) -> dict[str, torch.Tensor]:
        """``loss``, from -1 to 1; float [batch] ``spread`` and ``directions``, those of the batch's outputs for each clip.

        Args:
            frames: uint8 [batch, 2, height, width, 3], two views of each frame.
        """
        first, second = self.pixels(frames).unbind(1)
        outputs = [self.projector(self.model(view).pooler_output.flatten(1)) for view in (first, second)]
        predicted = [self.predictor(output) for output in outputs]
        targets = [output.detach() if self.stop_gradient else output for output in outputs]
        cosines = [cosine_similarity(predicted[own].float(), targets[1 - own].float(), dim=-1).mean() for own in range(2)]
        watched = {
            "spread": (output_spread(outputs[0]) + output_spread(outputs[1])) / 2,
            "directions": (output_directions(outputs[0]) + output_directions(outputs[1])) / 2,
        }
        return {"loss": -(cosines[0] + cosines[1]) / 2} | {
            name: value.repeat(len(frames)) for name, value in watched.items()
        }


def output_spread(outputs: torch.Tensor) -> torch.Tensor:
    """How far outputs differ: the mean over dimensions of the deviation, over the batch, of L2-normalised outputs.

    For outputs [batch, dim] in all directions it is 1 over the root of dim, and 0 where all point the same way: figure 2 of
    arXiv 2011.10566. Outputs that use few directions are not told from those that use many.
    """
    return normalize(outputs.detach().float(), dim=-1).std(0, correction=0).mean()


def output_directions(outputs: torch.Tensor) -> torch.Tensor:
    """How many directions L2-normalised outputs differ in: the participation ratio of their covariance's eigenvalues.

    The square of their sum over the sum of their squares (Gao et al., 2017, "A theory of multineuronal dimensionality ..."):
    1 for outputs on one line, n for outputs that vary equally in n directions; at most the batch less one. 0 for outputs
    that do not differ.
    """
    unit = normalize(outputs.detach().float(), dim=-1)
    gram = (unit - unit.mean(0)) @ (unit - unit.mean(0)).T  # has the covariance's eigenvalues, up to one factor
    return gram.trace().square() / gram.square().sum().clamp_min(1e-12)


def is_collapsed(watched: Mapping[str, float], output_dim: int) -> bool:
    """Whether a row of `TrainingResult.watched` shows a collapse: `MIN_SPREAD` or `MIN_DIRECTIONS` is not reached."""
    return watched["spread"] < MIN_SPREAD * full_spread(output_dim) or watched["directions"] < MIN_DIRECTIONS


def check_collapse(result: TrainingResult, output_dim: int) -> None:
    """Refuse an encoder that collapsed, by what was watched over the last tenth of the training.

    Raises:
        JobError: on average, `is_collapsed`.
    """
    rows = result.watched[-max(1, len(result.watched) // 10) :]
    last = {name: sum(row[name] for row in rows) / len(rows) for name in ("spread", "directions")}
    if is_collapsed(last, output_dim):
        full = full_spread(output_dim)
        raise JobError(
            f"the training collapsed: all frames are given nearly the same output, or outputs on one line. Got a spread of "
            f"{last['spread']:.4f} and {last['directions']:.1f} directions, expected {MIN_SPREAD * full:.4f} ({full:.4f} is "
            f"full) and {MIN_DIRECTIONS:g} or more; nothing was written. Lower the learning rate, take larger batches, or "
            "give videos that differ more"
        )
