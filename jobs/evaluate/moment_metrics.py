"""Metrics of searching a library: how well moments and clips are found.

Those of labels and captions, which models and libraries share, are in `jobs.evaluate.metrics`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from jobs.overlap import shared_s
from schemas.records import Span


def temporal_iou(first: Span, second: Span) -> float:
    """Intersection over union of two intervals: [0, 2) and [1, 3) give 1/3."""
    union_s = max(first.end_s, second.end_s) - min(first.start_s, second.start_s)
    return float(shared_s(first, *second)) / union_s


def moment_recall(ious: Sequence[Sequence[float]], n: int, min_iou: float) -> float:
    """R@n at an IoU: share of captions for which one of the n best answers overlaps the moment by at least ``min_iou``.

    Gao et al., 2017 ("TALL: Temporal Activity Localization via Language Query"), as it is used with ActivityNet Captions
    (Krishna et al., 2017, "Dense-Captioning Events in Videos"). NaN without captions.

    Args:
        ious: for each caption the IoU of each answer with the caption's own moment, the best answer first; 0 for an answer
            in another video.
        n: answers that count.
        min_iou: from 0 to 1.
    """
    is_found = [any(iou >= min_iou for iou in of_caption[:n]) for of_caption in ious]
    return float(np.mean(is_found)) if is_found else float("nan")


def average_precision(scores: NDArray[np.float64], relevant: NDArray[np.bool_]) -> float:
    """Average precision of one query, not interpolated: the mean over the relevant clips of the precision at each.

    As in Manning et al., 2008 ("Introduction to Information Retrieval", 8.4). Among equal scores the relevant ones come
    last. The mean over queries is mAP. NaN where nothing is relevant.

    Args:
        scores: float64 [clips], more is better.
        relevant: bool [clips].
    """
    order = np.lexsort((relevant, -scores))
    ranks = np.flatnonzero(relevant[order]) + 1
    return float((np.arange(1, len(ranks) + 1) / ranks).mean()) if len(ranks) else float("nan")


def detection_precision(ious: NDArray[np.float64], min_iou: float) -> float:
    """Average precision of the answers to one query that has one or more true moments, at an IoU.

    As QVHighlights defines it (Lei et al., 2021), after ActivityNet and the PASCAL VOC of 2011: each answer, from the best
    one, takes the moment that it overlaps most among those that no better answer has taken; it is wrong where it overlaps
    none of them by ``min_iou``. A moment that is found counts with the highest precision from its answer on, one that is
    not with 0; the mean over the moments is the average precision. The mean over queries is mAP.

    Args:
        ious: float64 [answers, moments], the IoU of each answer with each true moment, the best answer first.
        min_iou: from 0 to 1.

    Of three answers of which the first and the third find one of two moments each: (1 + 2/3) / 2.
    """
    num_answers, num_moments = ious.shape
    if num_moments == 0:
        return float("nan")
    is_right, free = np.zeros(num_answers, np.bool_), np.ones(num_moments, np.bool_)
    for number in np.flatnonzero((ious >= min_iou).any(axis=1)):
        overlaps = np.where(free & (ious[number] >= min_iou), ious[number], -1.0)
        best = int(overlaps.argmax())
        if overlaps[best] >= 0:
            is_right[number], free[best] = True, False
    precision = np.cumsum(is_right) / np.arange(1, num_answers + 1)
    highest_from_here = np.maximum.accumulate(precision[::-1])[::-1]
    return float(highest_from_here[is_right].sum() / num_moments)


def best_clip(moment: Span, clips: Sequence[Span]) -> int | None:
    """The number of the clip that overlaps a moment most, in seconds; None where none does.

    Of equal ones the one with the higher IoU, then the one whose middle is nearest, then the first.
    """

    def by_overlap(number: int) -> tuple[float, float, float, int]:
        clip = clips[number]
        middles_apart_s = abs(sum(clip) - sum(moment)) / 2
        shared = float(shared_s(moment, *clip))
        return round(shared, 6), round(temporal_iou(moment, clip), 6), -round(middles_apart_s, 6), -number

    best = max(range(len(clips)), key=by_overlap, default=None)
    return best if best is not None and shared_s(moment, *clips[best]) > 0 else None
