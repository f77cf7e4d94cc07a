"""Evaluates a classifier or an embedder on a dataset, by the protocols of the papers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from jobs.datasets.examples import Dataset, Example
from jobs.datasets.reader import read_dataset
from jobs.evaluate import metrics
from jobs.evaluate.model_inputs import EvaluateOptions, ExampleLoader, choose_split, named_pair, quoted_names
from jobs.evaluate.model_results import ClassifierResults, EmbedderResults, PairRow, class_row
from jobs.evaluate.progress import EvaluationProgress
from jobs.evaluate.retrieval import measure_embedder
from pipeline.models.base import Classifier, HearingClassifier
from pipeline.models.checkpoint import find_checkpoint
from pipeline.models.families import embedder_family
from pipeline.models.registry import check_classifier, check_embedder, check_frames, load_classifier
from pipeline.models.views import check_views
from schemas.errors import UsageError
from schemas.models import Checkpoint, Label

if TYPE_CHECKING:
    import torch

Kind = Literal["classifier", "embedder"]


def evaluate_model(
    model: str,
    data: str | Path,
    *,
    kind: Kind | None = None,
    options: EvaluateOptions | None = None,
    say: Callable[[str], None] = lambda sentence: None,
    on_progress: Callable[[EvaluationProgress], None] = lambda progress: None,
) -> ClassifierResults | EmbedderResults:
    """Measure a classifier on labels, or an embedder on captions.

    Args:
        model: hub id, folder, or ``pocket``.
        data: as for `jobs.datasets.reader.read_dataset`; the seed of a training gives the splits of that training.
        kind: what the model is; None takes it from the model's configuration, and a classifier for ``pocket``.
        options: how to measure.
        say: called with each sentence that a user should read at once.
        on_progress: called after each batch.

    Raises:
        UsageError: the data or an option cannot be used with this model.
        ModelError: the model cannot be used.
        JobError: none of the examples can be decoded.
    """
    options = options or EvaluateOptions()
    checkpoint = find_checkpoint(model, "model", kind)
    kind = kind or ("embedder" if embedder_family(checkpoint.model_type) else "classifier")
    if kind == "embedder" and options.views != "single":
        raise UsageError("got an embedder, expected classifiers; leave it out", argument="views", value=options.views)
    (check_embedder if kind == "embedder" else check_classifier)(checkpoint)
    checkpoint = _shown(checkpoint, kind, options)
    dataset = read_dataset(data, seed=options.seed, want="captions" if kind == "embedder" else "labels")
    measure = measure_embedder if kind == "embedder" else _measure_classifier
    return measure(checkpoint, dataset, options, say, on_progress)


def _shown(checkpoint: Checkpoint, kind: Kind, options: EvaluateOptions) -> Checkpoint:
    """The model, to be shown the frames and the views of a clip that ``options`` ask for.

    Raises:
        UsageError: it cannot be shown that many.
    """
    if isinstance(options.views, int):
        check_views(checkpoint, options.views)
        checkpoint = replace(checkpoint, views=options.views)
    frames = options.frames
    if frames is None:
        return checkpoint
    if kind == "embedder":
        raise UsageError("got an embedder, expected classifiers; leave it out", argument="frames", value=frames)
    check_frames(checkpoint, frames)
    return replace(checkpoint, num_frames=frames)


def _measure_classifier(
    checkpoint: Checkpoint,
    dataset: Dataset,
    options: EvaluateOptions,
    say: Callable[[str], None],
    on_progress: Callable[[EvaluationProgress], None],
) -> ClassifierResults:
    split, examples = choose_split(dataset, options.split)
    classifier = load_classifier(checkpoint, options.precision)
    labels = tuple(sorted(set(classifier.labels)))
    column = {label: number for number, label in enumerate(labels)}
    known, unknown = _known(examples, labels, dataset.source)
    pairs = [named_pair(pair, [labels], "the model's labels")[1:] for pair in options.pairs]
    say(f"{len(known)} examples: {split['why']}")
    if isinstance(classifier, HearingClassifier) and options.views == "multi":
        raise UsageError("got a classifier that hears, expected others; leave it out", argument="views", value="multi")
    loader = ExampleLoader(known, classifier.preprocessing, options, say, on_progress)
    sums, num_views = np.zeros((len(known), len(labels))), np.zeros((len(known), 1))
    for numbers, pixels in loader.batches(classifier.device, classifier.dtype):
        for number, answer in zip(numbers, _classified(classifier, loader, numbers, pixels), strict=True):
            num_views[number] += 1
            for label, probability in answer:
                sums[number, column[label]] += probability
    if loader.silent:
        say(f"taken for silent: {len(loader.silent)} of {len(known)} examples, which have no sound that can be read")
    decoded = num_views[:, 0] > 0
    scores = sums[decoded] / num_views[decoded]
    targets = np.array([column[str(example.label)] for example in known])[decoded]
    matrix = metrics.confusion_matrix(targets, scores.argmax(axis=1), len(labels))
    present = np.flatnonzero(matrix.sum(axis=0) + matrix.sum(axis=1)).tolist()
    return ClassifierResults(
        **split,
        model=checkpoint.stamp,
        clips=len(targets),
        shuffled=options.shuffle,
        left_out=tuple(loader.left_out),
        damaged=tuple(loader.damaged),
        views=str(options.views),
        top1=metrics.top_k_accuracy(scores, targets, 1),
        top5=metrics.top_k_accuracy(scores, targets, 5),
        mean_class=metrics.mean_class_accuracy(matrix),
        classes=tuple(class_row(labels, row, matrix[row]) for row in present if matrix[row].any()),
        pairs=tuple(
            PairRow(
                *pair,
                clips=int(np.isin(targets, [column[label] for label in pair]).sum()),
                right=metrics.pair_accuracy(scores, targets, *(column[label] for label in pair)),
            )
            for pair in pairs
        ),
        labels=tuple(labels[number] for number in present),
        matrix=tuple(map(tuple, matrix[np.ix_(present, present)].tolist())),
        unknown=unknown,
    )


def _classified(
    classifier: Classifier, loader: ExampleLoader, numbers: Sequence[int], pixels: torch.Tensor
) -> list[tuple[Label, ...]]:
    """The labels of views of the examples with these numbers, of which a classifier that hears is given the sound too."""
    if not isinstance(classifier, HearingClassifier):
        return classifier.classify(pixels, len(classifier.labels))
    sound = np.stack([loader.sound(number, classifier.num_samples) for number in numbers])
    return classifier.classify_with_sound(pixels, sound, len(classifier.labels))


def _known(examples: Sequence[Example], labels: Sequence[str], source: str) -> tuple[list[Example], dict[str, int]]:
    """The examples whose label the model knows, and how many there are of each other label."""
    known = [example for example in examples if example.label in labels]
    unknown = Counter(str(example.label) for example in examples if example.label not in labels)
    if not known:
        raise UsageError(
            f"got the labels {quoted_names(sorted(unknown))}, of which the model knows none, expected "
            f"{quoted_names(labels)}; give the data these names, or measure a model that was taught the data's",
            argument="data",
            value=source,
        )
    return known, dict(sorted(unknown.items()))
