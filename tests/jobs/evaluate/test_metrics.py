from __future__ import annotations

import math

import numpy as np
import pytest

from jobs.datasets.examples import Example
from jobs.evaluate.captions import draw_captions, fact_prompts
from jobs.evaluate.metrics import (
    confusion_matrix,
    mean_class_accuracy,
    median_rank,
    pair_accuracy,
    recall_at,
    top_k_accuracy,
)

SCORES = np.array([[0.5, 0.3, 0.2], [0.6, 0.3, 0.1], [0.5, 0.3, 0.2], [0.5, 0.3, 0.2], [0.1, 0.2, 0.7]])
TARGETS = np.array([0, 0, 1, 2, 1])


@pytest.mark.parametrize(("k", "share"), [(1, 0.4), (2, 0.8), (3, 1.0), (5, 1.0)])
def test_top_k_counts_the_k_best_classes(k: int, share: float) -> None:
    assert top_k_accuracy(SCORES, TARGETS, k) == share


def test_of_equal_scores_the_first_class_comes_first() -> None:
    same = np.full((4, 4), 0.25)
    assert [top_k_accuracy(same, np.arange(4), k) for k in (1, 2, 3)] == [0.25, 0.5, 0.75]


def test_a_confusion_matrix_has_a_row_for_each_true_class() -> None:
    matrix = confusion_matrix(np.array([0, 0, 0, 2, 2]), np.array([0, 0, 1, 1, 2]), 3)
    assert matrix.tolist() == [[2, 1, 0], [0, 0, 0], [0, 1, 1]]
    assert matrix.dtype == np.int64
    assert mean_class_accuracy(matrix) == pytest.approx((2 / 3 + 1 / 2) / 2)  # the class without clips does not count


def test_a_pair_is_told_apart_among_its_own_clips() -> None:
    scores = np.array([[0.2, 0.1, 0.7], [0.3, 0.1, 0.6], [0.1, 0.8, 0.1], [0.4, 0.4, 0.2], [0.0, 0.0, 1.0]])
    targets = np.array([0, 1, 1, 1, 2])
    assert pair_accuracy(scores, targets, 0, 1) == 0.5  # wrong are the second, and the fourth, whose scores are equal
    assert pair_accuracy(scores, targets, 1, 0) == 0.5
    assert pair_accuracy(scores, targets, 0, 2) == 0.5
    assert math.isnan(pair_accuracy(scores, np.full(5, 2), 0, 1))


def test_retrieval_ranks_each_texts_own_clip() -> None:
    scores = np.array([[9.0, 1, 2, 3], [8, 7, 6, 5], [4, 5, 3, 6], [1, 1, 1, 0]])  # ranks 1, 2, 4, 4
    assert [recall_at(scores, k) for k in (1, 2, 3, 4)] == [0.25, 0.5, 0.5, 1.0]
    assert median_rank(scores) == 3.0


@pytest.mark.parametrize("value", [1.0, math.nan])
def test_scores_that_say_nothing_find_nothing(value: float) -> None:
    scores = np.full((4, 4), value)
    assert (recall_at(scores, 1), recall_at(scores, 3), median_rank(scores)) == (0.0, 0.0, 4.0)


def example(facts: str, **captions: str) -> Example:
    """An example of facts, ``a=1 b=2``, with captions named by words and the facts that each speaks of."""
    return Example(
        path=facts,
        facts=tuple(facts.split()),
        captions=tuple(captions),
        caption_facts=tuple(tuple(said.split()) for said in captions.values()),
    )


def test_drawn_captions_fit_one_drawn_example_each() -> None:
    examples = [
        example("a=1 b=1", one="a=1", both="a=1 b=1"),
        example("a=1 b=2", first="a=1", last="a=1 b=2"),
        example("a=2 b=1", second="a=2"),
        example("a=2 b=1 c=1", third="a=2"),  # neither of the two can be drawn beside the other
        Example(path="x", captions=("plain",)),
        Example(path="y", captions=("plain",)),  # the same words
    ]
    met = set()
    for seed in range(20):
        drawn = draw_captions(examples, 10, np.random.default_rng(seed))
        met |= set(drawn)
        numbers = [number for number, _ in drawn]
        assert len({2, 3} & set(numbers)) == len({4, 5} & set(numbers)) == 1
        assert {0, 1} <= set(numbers)
        assert len(drawn) == 4
    assert met == {(0, "both"), (1, "last"), (2, "second"), (3, "third"), (4, "plain"), (5, "plain")}


def test_an_example_that_earlier_captions_fit_is_passed_over() -> None:
    wide, narrow = example("a=1", wide="a=1"), example("a=1 b=1", narrow="a=1 b=1")
    for seed in range(10):
        assert len(draw_captions([wide, narrow], 2, np.random.default_rng(seed))) == 1


def test_no_more_captions_are_drawn_than_asked_for_and_the_seed_chooses() -> None:
    examples = [example(f"a={number}", **{f"word{number}": f"a={number}"}) for number in range(20)]
    draws = [draw_captions(examples, 5, np.random.default_rng(seed)) for seed in (0, 0, 1)]
    assert list(map(len, draws)) == [5, 5, 5]
    assert draws[0] == draws[1] != draws[2]


def test_prompts_are_the_most_frequent_captions_of_one_fact() -> None:
    examples = [
        example("do=run hat=red", d="do=run", b="do=run", also="do=run hat=red"),
        example("do=run", d="do=run", a="do=run", c="do=run"),
        example("do=sit blue", e="do=sit", f="blue"),
    ]
    assert fact_prompts(examples) == {"do": {"run": ("d", "a", "b"), "sit": ("e",)}, "hat": {"red": ()}}
