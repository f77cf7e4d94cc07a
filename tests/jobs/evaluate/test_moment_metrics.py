"""The measures of moments against values worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from jobs.evaluate.moment_metrics import average_precision, best_clip, detection_precision, moment_recall, temporal_iou
from schemas.records import Span


@pytest.mark.parametrize(
    ("one", "other", "iou"),
    [((0, 2), (0, 2), 1.0), ((0, 2), (1, 3), 1 / 3), ((0, 1), (1, 2), 0.0), ((0, 1), (5, 6), 0.0), ((1, 2), (0, 4), 0.25)],
)
def test_iou_is_intersection_over_union(one: tuple[float, float], other: tuple[float, float], iou: float) -> None:
    assert temporal_iou(Span(*one), Span(*other)) == pytest.approx(iou)
    assert temporal_iou(Span(*other), Span(*one)) == pytest.approx(iou)


def test_moment_recall_counts_sentences_with_an_answer_that_overlaps_enough() -> None:
    overlaps = [[0.5, 0.9], [0.0, 0.0, 0.3], [], [0.49, 0.1, 0.1, 0.1, 0.1, 1.0]]
    assert moment_recall(overlaps, 1, 0.5) == 1 / 4
    assert moment_recall(overlaps, 1, 0.3) == 2 / 4
    assert moment_recall(overlaps, 5, 0.3) == 3 / 4
    assert moment_recall(overlaps, 5, 0.7) == 1 / 4
    assert math.isnan(moment_recall([], 1, 0.5))


def test_average_precision() -> None:
    scores = np.array([0.9, 0.8, 0.7, 0.6, 0.5])
    assert average_precision(scores, np.array([True, False, True, False, False])) == pytest.approx((1 + 2 / 3) / 2)
    assert average_precision(scores[::-1], np.array([True, True, False, False, False])) == pytest.approx((1 / 4 + 2 / 5) / 2)
    assert average_precision(scores, np.ones(5, bool)) == 1
    assert math.isnan(average_precision(scores, np.zeros(5, bool)))


def test_ties_are_no_success() -> None:
    assert average_precision(np.zeros(4), np.array([True, False, False, False])) == 1 / 4


@pytest.mark.parametrize(
    ("ious", "precision"),
    [
        ([[0.9], [0.0]], 1.0),
        ([[0.0], [0.9]], 1 / 2),
        ([[0.9], [0.8]], 1.0),  # the moment is taken: the second answer is wrong, after all moments are found
        ([[0.8, 0.0], [0.9, 0.0], [0.0, 0.7]], (1 + 2 / 3) / 2),  # as the second is here, before the other moment is
        ([[0.6, 0.7], [0.9, 0.0]], 1.0),  # the first takes the one that it overlaps most
        ([[0.6, 0.7], [0.4, 0.9], [0.9, 0.0]], (1 + 2 / 3) / 2),
        ([[0.6, 0.7], [0.55, 0.9]], 1.0),  # its best is taken, and the other is free
        ([[0.0, 0.0], [0.9, 0.0], [0.0, 0.9]], (2 / 3 + 2 / 3) / 2),  # the highest precision from there on
        ([[0.5], [0.0]], 1.0),
        ([[0.49], [0.0]], 0.0),
        ([[0.9, 0.0, 0.0]], 1 / 3),
    ],
)
def test_detection_precision_at_half(ious: list[list[float]], precision: float) -> None:
    assert detection_precision(np.array(ious), 0.5) == pytest.approx(precision)


def test_detection_precision_without_answers_or_moments() -> None:
    assert detection_precision(np.zeros((0, 2)), 0.5) == 0
    assert math.isnan(detection_precision(np.zeros((3, 0)), 0.5))


@pytest.mark.parametrize(
    ("moment", "clips", "best"),
    [
        ((1, 3), [(0, 2.4), (0.8, 3.2), (1.6, 4)], 1),
        ((2, 2.5), [(0, 4), (1, 3.4), (2, 4)], 2),  # all show the whole of it: the tightest
        ((2, 3), [(0, 4), (0.5, 4.5)], 1),  # the middle is nearer
        ((2, 3), [(0, 4), (1, 5)], 0),  # as long; the first's middle is 0.5 s away, as is the second's: the first
        ((2, 3), [(1.2, 5.2), (0, 4)], 1),
        ((5, 6), [(0, 4), (6, 8)], None),
        ((5, 6), [], None),
    ],
)
def test_the_clip_that_overlaps_most(
    moment: tuple[float, float], clips: list[tuple[float, float]], best: int | None
) -> None:
    assert best_clip(Span(*moment), [Span(*clip) for clip in clips]) == best
