"""The results of evaluating a model on a dataset."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What was measured, whichever the model.

    Attributes:
        model: the checkpoint's stamp.
        source: the data as the user gave it.
        split: ``test``, ``val``, ``train`` or ``all``.
        why: a sentence that says why that one, and where the splits come from.
        clips: examples that were measured.
        shuffled: whether the frames of each clip were shown in a random order.
        left_out: path and reason of examples that cannot be decoded.
        damaged: path and reason of those that can be in part, which were measured.
    """

    model: str
    source: str
    split: str
    why: str
    clips: int
    shuffled: bool = False
    left_out: tuple[tuple[str, str], ...] = ()
    damaged: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class ClassRow:
    """One class: its clips, the share that is right at the first place, and the class that it is most often taken for."""

    label: str
    clips: int
    top1: float
    confused_with: str | None


@dataclass(frozen=True, slots=True)
class PairRow:
    """Two classes, or two values of a kind of fact, told from each other.

    Attributes:
        clips: how many are of one of the two.
        right: `pair_accuracy`; by the exact score where there are two.
        plain: the same by the plain dot product; None for a classifier.
    """

    first: str
    second: str
    clips: int
    right: float
    plain: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassifierResults(Measured):
    """What a classifier got right.

    Attributes:
        views: ``single`` or ``multi``.
        top1: `top_k_accuracy` for the best class.
        top5: the same for the five best; 1 where there are no more.
        mean_class: `mean_class_accuracy`.
        classes: a row for each class that was measured, by name.
        pairs: those that were asked for.
        labels: classes that were measured, or that something was taken for, by name.
        matrix: `confusion_matrix` of these.
        unknown: labels of the data that the model does not know, and how many examples of each were left out.
    """

    views: str
    top1: float
    top5: float
    mean_class: float
    classes: tuple[ClassRow, ...]
    pairs: tuple[PairRow, ...]
    labels: tuple[str, ...]
    matrix: tuple[tuple[int, ...], ...]
    unknown: dict[str, int]


@dataclass(frozen=True, slots=True)
class Retrieval:
    """How well captions find their clips by one score (``exact`` or ``plain``): means over the draws."""

    score: str
    recall_at_1: float
    recall_at_5: float
    recall_at_10: float
    median_rank: float


@dataclass(frozen=True, slots=True)
class KindRow:
    """One kind of fact, named without training: how many values, clips that have one, and the share that is right."""

    kind: str
    values: int
    clips: int
    exact: float
    plain: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbedderResults(Measured):
    """How well an embedder matches clips and captions.

    Attributes:
        captions: captions of a draw, and as many clips.
        wanted: how many were asked for.
        draws: how often captions were drawn.
        retrieval: a row for each score.
        kinds: a row for each kind of fact, by name; empty where the data states no facts.
        pairs: those that were asked for.
        unspoken: facts that no caption speaks of alone, so that they could not be asked for.
    """

    captions: int
    wanted: int
    draws: int
    retrieval: tuple[Retrieval, ...]
    kinds: tuple[KindRow, ...]
    pairs: tuple[PairRow, ...]
    unspoken: tuple[str, ...]


def class_row(labels: Sequence[str], row: int, counts: NDArray[np.int64]) -> ClassRow:
    """One row of a `confusion_matrix`, in words; there must be clips in it."""
    clips, others = int(counts.sum()), np.where(np.arange(len(counts)) == row, 0, counts)
    most = labels[int(others.argmax())] if others.any() else None
    return ClassRow(labels[row], clips, float(counts[row] / clips), most)
