"""How good a model is: the measures, each a pure function of arrays, what they are taken of, and what they are kept in."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from schemas.datasets import Example

Scores = NDArray[np.float32] | NDArray[np.float64]

_PROMPTS = 3  # captions that stand for a fact, at most


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


def class_row(labels: Sequence[str], row: int, counts: NDArray[np.int64]) -> ClassRow:
    """One row of a `confusion_matrix`, in words; there must be clips in it."""
    clips, others = int(counts.sum()), np.where(np.arange(len(counts)) == row, 0, counts)
    most = labels[int(others.argmax())] if others.any() else None
    return ClassRow(labels[row], clips, float(counts[row] / clips), most)


def pair_accuracy(scores: Scores, targets: NDArray[np.int64], first: int, second: int) -> float:
    """Among the clips of two classes, the share for which the right one of the two has the higher score.

    It tells confusion of the two from confusion with others, such as of actions that are each other's reversal in time.
    Equal scores are wrong. NaN where there are no such clips.

    Args:
        scores: [clips, classes].
        targets: int64 [clips], each clip's class.
        first: a class.
        second: another.
    """
    ours = (targets == first) | (targets == second)
    if not ours.any():
        return float("nan")
    lead = np.where(targets[ours] == first, 1, -1) * (scores[ours, first] - scores[ours, second])
    return float((lead > 0).mean())


def recall_at(scores: Scores, k: int, own: NDArray[np.int64] | None = None) -> float:
    """R@k of text-to-video retrieval: share of texts whose own clip is among the k best.

    As in Xu et al., 2016 ("MSR-VTT") and the 1k-A protocol of Yu et al., 2018 ("A Joint Sequence Fusion Model").

    Args:
        scores: [texts, clips]. Others with a score equal to that of a text's own clip come before it.
        k: clips that count.
        own: int64 [texts], each text's own clip; None where clip i is text i's.
    """
    return float((_ranks(scores, own) <= k).mean())


def median_rank(scores: Scores, own: NDArray[np.int64] | None = None) -> float:
    """Median over the texts of their own clip's place, 1 is the best (Yu et al., 2018); arguments as for `recall_at`."""
    return float(np.median(_ranks(scores, own)))


def _ranks(scores: Scores, own: NDArray[np.int64] | None) -> NDArray[np.int64]:
    """int64 [texts]: every clip that is not strictly worse than the own one counts, so NaN and ties are no success."""
    own = np.arange(len(scores)) if own is None else own
    worse = np.count_nonzero(scores < scores[np.arange(len(scores)), own][:, None], axis=1)
    return np.asarray(scores.shape[1] - worse, np.int64)


def draw_captions(examples: Sequence[Example], count: int, rng: np.random.Generator) -> list[tuple[int, str]]:
    """Draw examples and a caption of each such that every caption fits its own example and no other drawn one.

    A caption fits an example that has it, and one whose facts are all those that it speaks of. Of an example's captions,
    that which speaks of most facts is preferred.

    Args:
        examples: what to draw from.
        count: how many, at most; fewer where no more can be told apart.
        rng: where chance comes from.

    Returns:
        Number in ``examples`` and caption, in the order in which they were drawn.
    """
    facts = [frozenset(example.facts) for example in examples]
    drawn: list[tuple[int, str, frozenset[str]]] = []
    for number in rng.permutation(len(examples)).tolist():
        if len(drawn) == count:
            break
        one = examples[number]
        if any(caption in one.captions or (said and said <= facts[number]) for _, caption, said in drawn):
            continue
        spoken = one.caption_facts or ((),) * len(one.captions)
        choices = sorted(zip(one.captions, map(frozenset, spoken), strict=True), key=lambda pair: -len(pair[1]))
        for caption, said in choices:
            if not any(caption in examples[other].captions or (said and said <= facts[other]) for other, _, _ in drawn):
                drawn.append((number, caption, said))
                break
    return [(number, caption) for number, caption, _ in drawn]


def fact_prompts(examples: Sequence[Example]) -> dict[str, dict[str, tuple[str, ...]]]:
    """For each kind of fact and each value the captions that speak of nothing else: the three most frequent, or fewer.

    ``action=waving`` is the value waving of the kind action. Kinds and values are sorted; a value may have none.
    """
    said: dict[str, Counter[str]] = defaultdict(Counter)
    for example in examples:
        for fact in example.facts:
            said[fact]  # a value that no caption speaks of alone is known all the same
        for caption, facts in zip(example.captions, example.caption_facts, strict=False):
            if len(facts) == 1:
                said[facts[0]][caption] += 1
    prompts: dict[str, dict[str, tuple[str, ...]]] = {}
    for fact in sorted(said):
        kind, equals, value = fact.partition("=")
        if equals:
            best = sorted(said[fact], key=lambda caption: (-said[fact][caption], caption))
            prompts.setdefault(kind, {})[value] = tuple(best[:_PROMPTS])
    return dict(sorted(prompts.items()))
