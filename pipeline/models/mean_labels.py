"""The labels of a clip of which a classifier has seen several views."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from schemas.models import Label


def mean_labels(of_views: Sequence[Sequence[Label]], num_views: int, top: int) -> list[tuple[Label, ...]]:
    """The ``top`` best labels of each clip by the mean probability over its views, best first.

    Args:
        of_views: all labels of each view; a clip's ``num_views`` views follow one another.
        num_views: of each clip.
        top: number of labels.
    """
    clips = []
    for first in range(0, len(of_views), num_views):
        sums: dict[str, float] = defaultdict(float)
        for labels in of_views[first : first + num_views]:
            for label, probability in labels:
                sums[label] += probability
        best = sorted(sums.items(), key=lambda item: -item[1])[:top]
        clips.append(tuple(Label(label, total / num_views) for label, total in best))
    return clips
