"""Teach a video classifier one's own classes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from transformers import AutoModelForVideoClassification

from jobs.datasets.reader import read_dataset
from jobs.train.base_model import find_base, load_base
from jobs.train.classification import Classification, ClassificationModule
from jobs.train.options import TrainOptions
from jobs.train.report import TrainReport
from jobs.train.run import Say, Session, check_classes
from jobs.train.trainer import TrainProgress

# What a checkpoint of another head, or of masked pre-training, need not bring.
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
    """Fine-tune a video-classification checkpoint, or one of masked pre-training, its head replaced by the data's classes.

    Args:
        data: a folder with a folder per class, or a CSV with the columns path and label (`jobs.datasets.reader`).
        output: the folder to make; it holds what ``ingest --classifier`` takes.
        base: hub id, folder, config.json or ``pocket``.
        options: how to train.
        cache: where decoded clips are kept for later runs; None drops them at the end.
        say: told sentences worth reading at once.
        on_progress: told how far it is.

    Raises:
        UsageError: the data or the output cannot be used.
        ModelError: the base cannot be used.
        JobError: nothing is left to learn from.
    """
    dataset = read_dataset(data, seed=options.seed, want="labels")
    found = find_base(base, "classifier")
    session = Session("finetune", found, dataset, output, options, cache, say, on_progress, {})
    session.open()
    prepared = session.prepare()
    check_classes(prepared, dataset.labels)
    torch.manual_seed(options.seed)
    model = load_base(
        AutoModelForVideoClassification,
        found,
        may_be_new=_HEAD,
        id2label=dict(enumerate(dataset.labels)),
        label2id={label: i for i, label in enumerate(dataset.labels)},
    )
    task = Classification(ClassificationModule(model, found.preprocessing), dataset.labels)
    return session.run(task, prepared)
