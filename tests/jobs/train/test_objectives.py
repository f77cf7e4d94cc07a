"""Losses and batches of the trainings."""

from __future__ import annotations

import math

import numpy as np
import torch

from jobs.datasets.examples import Dataset, Example
from jobs.train.align import fact_values
from jobs.train.contrastive import Alignment, contrastive_loss


def test_with_one_true_pair_each_the_loss_is_clips() -> None:
    logits = torch.tensor([[2.0, 0.0], [1.0, 3.0]])
    one_way = (math.log(1 + math.exp(-2)) + math.log(1 + math.exp(-2))) / 2
    other_way = (math.log(1 + math.exp(-1)) + math.log(1 + math.exp(-3))) / 2
    assert contrastive_loss(logits, torch.eye(2, dtype=torch.bool)).item() == torch.tensor((one_way + other_way) / 2).item()


def test_several_true_pairs_share_a_row() -> None:
    """Logits that put all weight evenly on two true captions cost log 2 for that clip, and nothing less is possible."""
    true = torch.tensor([[True, True, False], [False, False, True], [False, False, True]])
    logits = torch.where(true, 50.0, -50.0)
    assert contrastive_loss(logits, true).item() == torch.tensor((math.log(2) / 3 + math.log(2) / 3) / 2).item()


def test_a_caption_is_true_of_every_clip_that_has_its_facts() -> None:
    red = Example(path="a", captions=("a red one",), facts=("shirt=red", "action=waving"), caption_facts=(("shirt=red",),))
    both = ("shirt=red", "action=waving")
    waving = Example(path="b", captions=("waving in red",), facts=both, caption_facts=(both,))
    blue = Example(path="c", captions=("a red one",), facts=("shirt=blue",), caption_facts=(("shirt=blue",),))
    objective = Alignment(
        torch.nn.Identity(), lambda texts: {"input_ids": torch.zeros(len(texts))}, {"shirt": ("blue", "red")}
    )
    items = [
        {"frames": torch.zeros(1), "example": example, "rng": np.random.default_rng(0)} for example in (red, waving, blue)
    ]
    batch = objective.collate(items)
    # The third caption is worded like the first clip's own, and so is true of it as well.
    assert batch["true"].tolist() == [[True, True, True], [True, True, False], [True, False, True]]
    assert batch["facts"].tolist() == [[1], [1], [0]]


def test_without_facts_a_caption_is_true_of_its_own_clip_and_of_those_worded_alike() -> None:
    examples = [Example(path="a", captions=("x",)), Example(path="b", captions=("y",)), Example(path="c", captions=("x",))]
    objective = Alignment(torch.nn.Identity(), lambda texts: {"input_ids": torch.zeros(len(texts))}, {})
    items = [{"frames": torch.zeros(1), "example": one, "rng": np.random.default_rng(0)} for one in examples]
    assert objective.collate(items)["true"].tolist() == [[True, False, True], [False, True, False], [True, False, True]]


def test_fact_values_come_from_the_training_split_alone() -> None:
    examples = (
        Example(path="a", facts=("shirt=red", "loose")),
        Example(path="b", facts=("shirt=blue", "place=gym")),
        Example(path="c", facts=("shirt=green",), split="test"),
    )
    assert fact_values(Dataset(source="x", examples=examples, how_split="")) == {"shirt": ("blue", "red")}
