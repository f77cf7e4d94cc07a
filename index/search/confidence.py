"""How surely an answer is one: a number a person can read, from a query's scores and the library it was asked of.

Cosines of texts and clips mean nothing by themselves: one model gives 0.3 to what fits, another 0.6. What a library can say
of itself is how well texts do that fit any clip and none, such as "a video". The score at which such texts do best is the
reference, and the spread of their scores over the library is the unit: ``evidence = (score - reference) / unit``.
The confidence is ``1 / (1 + exp(-SLOPE * (evidence - MIDDLE)))``.

Measured on 1,080 windows of rendered films with a small trained X-CLIP and 124 captions, each once with what it says in the
library and once with all of it taken out, while films that share some of its facts stayed: the area under the ROC curve
of the best score's evidence is 0.77. How far the best score stands above the same query's own background, in robust
standard deviations, gave 0.54: next to nothing, since what shares some of the facts stands out as well.
"""

from __future__ import annotations

import math
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
"""Texts that fit any clip and none."""

SLOPE = 0.43
"""How fast confidence rises with evidence; fitted on the measurement above by logistic regression, both cases alike."""

MIDDLE = 1.7
"""The evidence at which the confidence is a half; fitted likewise."""

MIN_CONFIDENCE = 0.35
"""A best answer below it is none. In the measurement above, 0.92 of what was there is above it, and so is 0.6 of what was
not, most of which shares all but one of the facts with a clip that was."""

MIN_CLIPS = 30
"""A library of fewer has no background, and is never said to hold nothing."""

_FLAT = 1e-6


class Background(NamedTuple):
    """What scores are like that are nothing special.

    Attributes:
        centre: the median.
        spread: 1.4826 times the median distance from it, which is a normal distribution's standard deviation; the
            standard deviation itself where more than half of the scores are one number; never 0.
    """

    centre: float
    spread: float


class Reference(NamedTuple):
    """What says nothing reaches in this library.

    Attributes:
        best: the mean of the best scores of queries that fit anything.
        unit: the spread of their scores over the library.
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


def reference_of(scores: NDArray[np.floating]) -> Reference:
    """The reference from scores [queries, n] of queries that fit anything; NaN where one may not be compared with a clip."""
    best = float(np.mean(np.nanmax(scores, axis=1)))
    unit = float(np.median([background_of(row[~np.isnan(row)]).spread for row in scores]))
    return Reference(best, unit)


def confidence(score: float, reference: Reference) -> float:
    """The confidence in [0, 1] of an answer with this score."""
    x = SLOPE * ((score - reference.best) / reference.unit - MIDDLE)
    return 1 / (1 + math.exp(-x)) if x > -700 else 0.0


def stands_out(best_confidence: float, clips: int) -> bool:
    """Whether a best answer of this confidence is one at all, in a library of so many clips."""
    return clips < MIN_CLIPS or best_confidence >= MIN_CONFIDENCE
