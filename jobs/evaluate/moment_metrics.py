"""How well moments and clips are found: functions of times and scores. Those of models are in `jobs.evaluate.metrics`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from schemas.records import Span


def overlap(one: Span, other: Span) -> float:
    """Intersection over union of two intervals: [0, 2) and [1, 3) give 1/3."""
    union_s = max(one.end_s, other.end_s) - min(one.start_s, other.start_s)
    return shared_s(one, other) / union_s


def shared_s(one: Span, other: Span) -> float:
    """Seconds that two intervals have in common."""
    return max(0.0, min(one.end_s, other.end_s) - max(one.start_s, other.start_s))


def moment_recall(overlaps: Sequence[Sequence[float]], n: int, least_iou: float) -> float:
    """R@n at an IoU: share of sentences for which one of the n best answers overlaps the moment by at least ``least_iou``.

    Gao et al., 2017 ("TALL: Temporal Activity Localization via Language Query"), as it is used with ActivityNet Captions
    (Krishna et al., 2017, "Dense-Captioning Events in Videos"). NaN where there is no sentence.

    Args:
        overlaps: for each sentence the IoU of each answer with the sentence's own moment, the best answer first; 0 for an
            answer in another video.
        n: answers that count.
        least_iou: from 0 to 1.
    """
    found = [any(iou >= least_iou for iou in of_sentence[:n]) for of_sentence in overlaps]
    return float(np.mean(found)) if found else float("nan")


def average_precision(scores: NDArray[np.float64], relevant: NDArray[np.bool_]) -> float:
    """Mean over the relevant clips of the share of relevant ones down to each, best first; not interpolated.

    As in Manning et al., 2008 ("Introduction to Information Retrieval", 8.4). Among equal scores the relevant ones come
    last. Its mean over queries is mAP. NaN where nothing is relevant.

    Args:
        scores: [clips], more is better.
        relevant: [clips].
    """
    order = np.lexsort((relevant, -scores))
    hits = relevant[order]
    places = np.flatnonzero(hits) + 1
    return float((np.arange(1, len(places) + 1) / places).mean()) if len(places) else float("nan")


def best_clip(moment: Span, clips: Sequence[Span]) -> int | None:
    """Which clip overlaps a moment most, in seconds; None where none does.

    Of equal ones the one with the higher IoU, then the one whose middle is nearest, then the first.
    """

    def how_well(number: int) -> tuple[float, float, float, int]:
        clip = clips[number]
        apart_s = abs(sum(clip) - sum(moment)) / 2
        return round(shared_s(clip, moment), 6), round(overlap(clip, moment), 6), -round(apart_s, 6), -number

    best = max(range(len(clips)), key=how_well, default=None)
    return best if best is not None and shared_s(clips[best], moment) > 0 else None


def shows(clip: Span, moment: Span) -> bool:
    """Whether a clip is relevant to a moment: they have at least half of the shorter of the two in common."""
    return shared_s(clip, moment) >= 0.5 * min(clip.end_s - clip.start_s, moment.end_s - moment.start_s)
