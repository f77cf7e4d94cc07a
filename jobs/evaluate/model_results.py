"""The results of evaluating a model on a dataset."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelResults:
    """The part of the results that classifiers and embedders share.

    Attributes:
        model: the checkpoint's stamp.
        source: the data as the user gave it.
        split: ``test``, ``val``, ``train`` or ``all``.
        why: a sentence that says why that split, and where the splits come from.
        clips: examples that were measured.
        shuffled: whether the frames of each clip were put into a random order.
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
    """One class.

    Attributes:
        label: the class.
        clips: how many are of it.
        top1: share of them whose best label it is.
        confused_with: the class that the others are most often taken for; None where there are none.
    """

    label: str
    clips: int
    top1: float
    confused_with: str | None


@dataclass(frozen=True, slots=True)
class PairRow:
    """Two classes, or two values of a kind of fact, told from each other.

    Attributes:
        clips: how many are of one of the two.
        right: `jobs.evaluate.metrics.pair_accuracy`; of an embedder, by the rerank score.
        plain: the same by the dot product; None for a classifier.
    """

    first: str
    second: str
    clips: int
    right: float
    plain: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassifierResults(ModelResults):
    """The results of a classifier.

    Attributes:
        views: ``single``, ``multi`` or a number, as `EvaluateOptions` has them.
        top1: `jobs.evaluate.metrics.top_k_accuracy` of the best class.
        top5: the same for the five best; 1 where there are no more.
        mean_class: `jobs.evaluate.metrics.mean_class_accuracy`.
        classes: a row for each class that was measured, by name.
        pairs: those that were asked for.
        labels: classes that were measured, or that a clip was taken for, by name.
        matrix: `jobs.evaluate.metrics.confusion_matrix` of these.
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
    """How well captions find their clips by one score: means over the draws.

    Attributes:
        score: ``exact`` for the rerank score, ``plain`` for the dot product.
        recall_at_1: share of captions whose clip is the best.
        recall_at_5: share whose clip is among the five best.
        recall_at_10: share whose clip is among the ten best.
        median_rank: of the caption's own clip; 1 is the best.
    """

    score: str
    recall_at_1: float
    recall_at_5: float
    recall_at_10: float
    median_rank: float


@dataclass(frozen=True, slots=True)
class KindRow:
    """One kind of fact, named by the captions that speak of it alone.

    Attributes:
        kind: such as ``action``.
        values: how many there are to choose from.
        clips: how many have one of them.
        exact: share that is right by the rerank score.
        plain: share that is right by the dot product.
    """

    kind: str
    values: int
    clips: int
    exact: float
    plain: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbedderResults(ModelResults):
    """The results of an embedder: how well it matches clips and captions.

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
    """One row of a `jobs.evaluate.metrics.confusion_matrix` with its names; it must count at least one clip."""
    clips, mistakes = int(counts.sum()), np.where(np.arange(len(counts)) == row, 0, counts)
    confused_with = labels[int(mistakes.argmax())] if mistakes.any() else None
    return ClassRow(labels[row], clips, float(counts[row] / clips), confused_with)
