"""Fine-tuning: teaches a video classifier the classes of a dataset."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import AutoModelForVideoClassification

from jobs.datasets.reader import read_dataset
from jobs.train.base_model import Base, find_base, load_base
from jobs.train.classification import Classification, ClassificationModule
from jobs.train.options import TrainOptions
from jobs.train.report import TrainReport
from jobs.train.run import Say, TrainingRun
from jobs.train.trainer import TrainProgress
from pipeline.models.longer_clips import stretch
from pipeline.models.registry import check_frames

# Beginnings of the names of tensors that the base need not have: those of the new head.
_HEAD = ("classifier.", "fc_norm.", "head.", "pooler.")


def finetune(
    data: str | Path,
    output: Path,
    *,
    base: str,
    frames: int | None = None,
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
        frames: frames of a clip that it is to see, of a VideoMAE or a TimeSformer; None for as many as the base.
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
    if frames is not None:
        check_frames(start.checkpoint, frames)
        start = start.showing(frames)
    run = TrainingRun(
        "finetune",
        start,
        dataset,
        output=output,
        options=options,
        cache=cache,
        say=say,
        on_progress=on_progress,
        extra={} if frames is None else {"frames": frames},
    )
    decoded = run.begin()
    decoded.check_classes(dataset.labels)
    model = load_base(
        AutoModelForVideoClassification,
        start,
        may_be_new=_HEAD,
        id2label=dict(enumerate(dataset.labels)),
        label2id={label: i for i, label in enumerate(dataset.labels)},
        **_more_frames(start, frames),
    )
    if frames is not None and frames != model.config.num_frames:
        stretch(model, frames)
    objective = Classification(ClassificationModule(model, start.preprocessing), dataset.labels)
    return run.train(objective, decoded)


def _more_frames(start: Base, frames: int | None) -> dict[str, Any]:
    """Changes to a base's configuration for another number of frames, where its weights do not depend on it.

    A VideoMAE adds fixed vectors to its tubelets by their number. It learns with those of the longer row, which are what
    transformers gives the trained folder as well. `stretch` does the rest for a TimeSformer, whose vectors are weights.
    """
    return {"num_frames": frames} if frames is not None and start.checkpoint.model_type == "videomae" else {}
