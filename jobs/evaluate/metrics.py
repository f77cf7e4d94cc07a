"""Metrics of labels and captions: pure functions of arrays, for models and for libraries."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float32] | NDArray[np.float64]


def top_k_accuracy(scores: Scores, targets: NDArray[np.int64], k: int) -> float:
    """Share of clips whose class is among the k best (Russakovsky et al., 2015, "ImageNet Large Scale Visual Recognition").

    Args:
        scores: [clips, classes], more is better; of equal ones the first class comes first, as in argmax.
        targets: int64 [clips], each clip's class.
        k: classes that count; more than there are is all of them.
    """
    best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return float((best == targets[:, None]).any(axis=1).mean())


def confusion_matrix(targets: NDArray[np.int64], predicted: NDArray[np.int64], num_classes: int) -> NDArray[np.int64]:
    """int64 [num_classes, num_classes]; row i counts the clips of class i by the class they were taken for.

    Args:
        targets: int64 [clips], each clip's class.
        predicted: int64 [clips], the class it was taken for.
        num_classes: how many there are.
    """
    matrix = np.zeros((num_classes, num_classes), np.int64)
    np.add.at(matrix, (targets, predicted), 1)
    return matrix


def mean_class_accuracy(matrix: NDArray[np.int64]) -> float:
    """Mean over the classes that have clips of the share that is right: every class weighs the same, however rare.

    Args:
        matrix: `confusion_matrix`.
    """
    clips = matrix.sum(axis=1)
    return float((matrix.diagonal()[clips > 0] / clips[clips > 0]).mean())


def pair_accuracy(scores: Scores, targets: NDArray[np.int64], first: int, second: int) -> float:
    """Among the clips of two classes, the share for which the right one of the two has the higher score.

    Other classes do not count, so it shows how well actions are told apart that are each other's reversal in time. Equal
    scores are wrong. NaN where there are no such clips.

    Args:
        scores: [clips, classes].
        targets: int64 [clips], each clip's class.
        first: a class.
        second: another.
    """
    of_pair = (targets == first) | (targets == second)
    if not of_pair.any():
        return float("nan")
    lead = np.where(targets[of_pair] == first, 1, -1) * (scores[of_pair, first] - scores[of_pair, second])
    return float((lead > 0).mean())


def recall_at(scores: Scores, k: int, own_clips: NDArray[np.int64] | None = None) -> float:
    """R@k of text-to-video retrieval: share of texts whose own clip is among the k best.

    As in Xu et al., 2016 ("MSR-VTT") and the 1k-A protocol of Yu et al., 2018 ("A Joint Sequence Fusion Model").

    Args:
        scores: [texts, clips]. Others with a score equal to that of a text's own clip come before it.
        k: clips that count.
        own_clips: int64 [texts], each text's own clip; None where clip i is text i's.
    """
    return float((ranks(scores, own_clips) <= k).mean())


def median_rank(scores: Scores, own_clips: NDArray[np.int64] | None = None) -> float:
    """Median over the texts of their own clip's rank; 1 is the best (Yu et al., 2018). Arguments as for `recall_at`."""
    return float(np.median(ranks(scores, own_clips)))


def ranks(scores: Scores, own_clips: NDArray[np.int64] | None = None) -> NDArray[np.int64]:
    """int64 [texts], the rank of each text's own clip; 1 is the best. Clips with an equal score, or NaN, rank before it.

    Arguments as for `recall_at`.
    """
    own_clips = np.arange(len(scores)) if own_clips is None else own_clips
    worse = np.count_nonzero(scores < scores[np.arange(len(scores)), own_clips][:, None], axis=1)
    return np.asarray(scores.shape[1] - worse, np.int64)
