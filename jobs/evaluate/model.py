"""Measure a trained model by the papers' protocols.

PyTorch is imported where it computes, since the processes that decode import this module as well.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from jobs.datasets.examples import Dataset, Example
from jobs.datasets.reader import read_dataset
from jobs.evaluate import metrics
from jobs.evaluate.model_inputs import EvaluateOptions, Measuring, Source, choose_split, listed, named_pair
from jobs.evaluate.model_results import ClassifierResults, EmbedderResults, PairRow, class_row
from jobs.evaluate.retrieval import measure_embedder
from pipeline.models.checkpoint import find_checkpoint
from pipeline.models.families import embedder_family
from pipeline.models.registry import check_classifier, check_embedder, load_classifier
from schemas.errors import UsageError
from schemas.models import Checkpoint

Kind = Literal["classifier", "embedder"]


def evaluate_model(
    model: str,
    data: str | Path,
    *,
    kind: Kind | None = None,
    options: EvaluateOptions | None = None,
    say: Callable[[str], None] = lambda sentence: None,
    on_progress: Callable[[Measuring], None] = lambda progress: None,
) -> ClassifierResults | EmbedderResults:
    """Measure a classifier on labels, or an embedder on captions.

    Args:
        model: hub id, folder, or ``pocket``.
        data: as for `jobs.datasets.reader.read_dataset`; with the seed of a training it splits as it did there.
        kind: what the model is; None is what its configuration says, and a classifier for ``pocket``.
        options: how to measure.
        say: told sentences worth reading at once.
        on_progress: told how far it is.

    Raises:
        UsageError: the data or an option cannot be used with this model.
        ModelError: the model cannot be used.
        JobError: nothing of the data can be decoded.
    """
    options = options or EvaluateOptions()
    checkpoint = find_checkpoint(model, "MODEL", kind)
    kind = kind or ("embedder" if embedder_family(checkpoint.model_type) else "classifier")
    if kind == "embedder" and options.views == "multi":
        raise UsageError("--views multi: got an embedder, expected classifiers; leave it out")
    (check_embedder if kind == "embedder" else check_classifier)(checkpoint)
    dataset = read_dataset(data, seed=options.seed, want="captions" if kind == "embedder" else "labels")
    measure = measure_embedder if kind == "embedder" else _classifier
    return measure(checkpoint, dataset, options, say, on_progress)


def _classifier(
    checkpoint: Checkpoint,
    dataset: Dataset,
    options: EvaluateOptions,
    say: Callable[[str], None],
    on_progress: Callable[[Measuring], None],
) -> ClassifierResults:
    from transformers import AutoConfig

    about, examples = choose_split(dataset, options.split)
    classifier = load_classifier(checkpoint, options.precision)
    names = AutoConfig.from_pretrained(checkpoint.folder, local_files_only=True).id2label.values()
    labels = tuple(sorted(set(names)))
    place = {label: number for number, label in enumerate(labels)}
    known, unknown = _known(examples, labels, dataset.source)
    pairs = [named_pair(given, [labels], "the model's labels")[1:] for given in options.pairs]
    say(f"{len(known)} examples: {about['why']}")
    source = Source(known, classifier.preprocessing, options, say, on_progress)
    sums, views = np.zeros((len(known), len(labels))), np.zeros((len(known), 1))
    for numbers, pixels in source.batches(classifier.device, classifier.dtype):
        for number, answer in zip(numbers, classifier.classify(pixels, len(names)), strict=True):
            views[number] += 1
            for label, probability in answer:
                sums[number, place[label]] += probability
    seen = views[:, 0] > 0
    scores = sums[seen] / views[seen]
    targets = np.array([place[str(example.label)] for example in known])[seen]
    matrix = metrics.confusion_matrix(targets, scores.argmax(axis=1), len(labels))
    met = np.flatnonzero(matrix.sum(axis=0) + matrix.sum(axis=1)).tolist()
    return ClassifierResults(
        **about,
        model=checkpoint.stamp,
        clips=len(targets),
        shuffled=options.shuffle,
        left_out=tuple(source.left_out),
        damaged=tuple(source.damaged),
        views=options.views,
        top1=metrics.top_k_accuracy(scores, targets, 1),
        top5=metrics.top_k_accuracy(scores, targets, 5),
        mean_class=metrics.mean_class_accuracy(matrix),
        classes=tuple(class_row(labels, row, matrix[row]) for row in met if matrix[row].any()),
        pairs=tuple(
            PairRow(
                *pair,
                clips=int(np.isin(targets, [place[label] for label in pair]).sum()),
                right=metrics.pair_accuracy(scores, targets, *(place[label] for label in pair)),
            )
            for pair in pairs
        ),
        labels=tuple(labels[number] for number in met),
        matrix=tuple(map(tuple, matrix[np.ix_(met, met)].tolist())),
        unknown=unknown,
    )


def _known(examples: Sequence[Example], labels: Sequence[str], source: str) -> tuple[list[Example], dict[str, int]]:
    """Examples whose label the model knows, and how many there are of each other label."""
    known = [example for example in examples if example.label in labels]
    unknown = Counter(str(example.label) for example in examples if example.label not in labels)
    if not known:
        raise UsageError(
            f"DATA {source}: got the labels {listed(sorted(unknown))}, of which the model knows none, expected "
            f"{listed(labels)}; give the data these names, or measure a model that was taught the data's"
        )
    return known, dict(sorted(unknown.items()))
