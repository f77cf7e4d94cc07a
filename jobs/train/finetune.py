"""Fine-tuning: teaches a video classifier the classes of a dataset."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from transformers import AutoModelForVideoClassification

from jobs.datasets.reader import read_dataset
from jobs.train.base_model import find_base, load_base
from jobs.train.classification import Classification, ClassificationModule
from jobs.train.options import TrainOptions
from jobs.train.report import TrainReport
from jobs.train.run import Say, TrainingRun
from jobs.train.trainer import TrainProgress

# Beginnings of the names of tensors that the base need not have: those of the new head.
_HEAD = ("classifier.", "fc_norm.", "head.", "pooler.")


def finetune(
    data: str | Path,
    output: Path,
    *,
    base: str,
    options: TrainOptions,
    cache: Path | None = None,
    say: Say = lambda sentence: None,
    on_progress: Callable[[TrainProgress], None] = lambda progress: None,
) -> TrainReport:
    """Fine-tune a video classifier, or a pre-trained encoder, with a new head for the dataset's classes.

    Args:
        data: a folder with a folder per class, or a CSV with the columns path and label (`jobs.datasets.reader`).
        output: the folder to make; ``ingest --classifier`` takes it.
        base: hub id, folder, config.json or ``pocket``.
        options: how to train.
        cache: where decoded clips are kept for later runs; None drops them at the end.
        say: called with each sentence that a user should read at once.
        on_progress: called with how far the training is.

    Raises:
        UsageError: the data or the output cannot be used.
        ModelError: the base cannot be used.
        JobError: nothing is left to learn from.
    """
    dataset = read_dataset(data, seed=options.seed, want="labels")
    start = find_base(base, "classifier")
    run = TrainingRun(
        "finetune", start, dataset, output=output, options=options, cache=cache, say=say, on_progress=on_progress
    )
    decoded = run.begin()
    decoded.check_classes(dataset.labels)
    model = load_base(
        AutoModelForVideoClassification,
        start,
        may_be_new=_HEAD,
        id2label=dict(enumerate(dataset.labels)),
        label2id={label: i for i, label in enumerate(dataset.labels)},
    )
    objective = Classification(ClassificationModule(model, start.preprocessing), dataset.labels)
    return run.train(objective, decoded)
