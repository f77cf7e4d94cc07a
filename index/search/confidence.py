"""Confidence: a number in [0, 1] that says how surely an answer is one, from a query's scores and its library.

Cosines of texts and clips mean nothing by themselves: one model gives 0.3 to a clip that fits, another 0.6. But a library
shows how well texts do that fit any clip, such as "a video". The best score of such texts is the reference, and the spread
of their scores over the library is the unit: ``evidence = (score - reference) / unit``. The confidence is ``1 / (1 +
exp(-SLOPE * (evidence - MIDDLE)))``.

Backgrounds and references are measured on a sample of the library (`index.search.sample`).

Measured on 1,080 clips of rendered films with a small trained X-CLIP and 124 captions, each once with the moment it
describes in the library and once with all such moments taken out, while films that share some of its facts stayed: the area
under the ROC curve of the best score's evidence is 0.77. The distance of the best score from the same query's own
background, in robust standard deviations, gave 0.54, which is close to chance, since clips that share some of the facts
stand out as well.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float64]

GENERIC_TEXTS = (
    "a video",
    "something",
    "someone",
    "a person",
    "a scene",
    "people",
    "nothing",
    "a picture of something",
)
"""Texts that fit any clip, and so describe none."""

SLOPE = 0.43
"""How fast confidence rises with evidence; fitted on the measurement above by logistic regression, both cases alike."""

MIDDLE = 1.7
"""The evidence at which the confidence is 0.5; fitted likewise."""

MIN_CONFIDENCE = 0.35
"""A best answer with less is not shown as an answer. In the measurement above, 0.92 of the queries with a right moment in
the library reach it, and 0.6 of those without, most of which share all but one of the facts with a clip that is there."""

MIN_CLIPS = 30
"""A library of fewer clips has no background, so its best answer always counts as one."""

_FLAT = 1e-6


class Background(NamedTuple):
    """The scores of a query for clips that do not answer it, which nearly all clips of a library are.

    Attributes:
        centre: the median.
        spread: 1.4826 times the median distance from it, which is a normal distribution's standard deviation; the
            standard deviation itself where more than half of the scores are equal; never 0.
    """

    centre: float
    spread: float


class Reference(NamedTuple):
    """The scores that queries without meaning reach in a library.

    Attributes:
        best: the mean, over queries that fit any clip, of the best score in the library.
        unit: the median, over these queries, of the spread of their scores.
    """

    best: float
    unit: float


def background_of(scores: NDArray[np.floating]) -> Background:
    """The background of one query's scores [n], n >= 1."""
    centre = float(np.median(scores))
    spread = 1.4826 * float(np.median(np.abs(scores - centre)))
    if spread < _FLAT:
        spread = float(np.std(scores))
    return Background(centre, max(spread, _FLAT))


def reference_of(scores: NDArray[np.floating], clips: int | None = None) -> Reference:
    """The reference from the scores of queries that fit any clip.

    Args:
        scores: float [queries, n], over a sample of the library; NaN where a query may not be compared with a clip.
        clips: how many clips the library has; n where the sample is the whole library.

    The best of more clips is higher. In a library larger than the sample, the best score is the sample's, raised by what the
    best of ``clips`` normally distributed scores is expected to exceed the best of n by: 0.42 units for 100,000 clips and a
    sample of 16,384, 1.36 units for ten million.
    """
    best = float(np.mean(np.nanmax(scores, axis=1)))
    unit = float(np.median([background_of(row[~np.isnan(row)]).spread for row in scores]))
    if clips is not None and clips > scores.shape[1]:
        best += unit * (_best_of_normal(clips) - _best_of_normal(scores.shape[1]))
    return Reference(best, unit)


def _best_of_normal(count: int) -> float:
    """About the best of ``count`` scores that are normally distributed, in standard deviations above their mean."""
    return NormalDist().inv_cdf(1 - 1 / count)


def confidence(score: float, reference: Reference) -> float:
    """The confidence in [0, 1] of an answer with this score."""
    x = SLOPE * ((score - reference.best) / reference.unit - MIDDLE)
    return 1 / (1 + math.exp(-x)) if x > -700 else 0.0


def stands_out(best_confidence: float, clips: int) -> bool:
    """Whether the best answer, with this confidence, is one at all in a library of so many clips."""
    return clips < MIN_CLIPS or best_confidence >= MIN_CONFIDENCE
