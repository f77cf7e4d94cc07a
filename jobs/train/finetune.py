"""Fine-tuning: teaches a video classifier, or a Transformer over frames, the classes of a dataset."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from transformers import AutoModelForVideoClassification, ResNetModel

from jobs.datasets.reader import read_dataset
from jobs.train.base_model import Base, find_base, load_base
from jobs.train.classification import Classification, ClassificationModule
from jobs.train.frame_features import FrameFeatures, FrameTransformerModule, can_be_kept
from jobs.train.options import TrainOptions
from jobs.train.report import TrainReport
from jobs.train.run import Say, TrainingRun
from jobs.train.trainer import TrainProgress
from jobs.train.with_sound import check_takes_sound, finetune_with_sound
from pipeline.models.architectures import ARCHITECTURES
from pipeline.models.classifiers.frame_transformer import (
    FrameTransformerConfig,
    FrameTransformerForVideoClassification,
)
from pipeline.models.classifiers.sound import Fusion, SoundVideoConfig
from pipeline.models.families import FRAME_ENCODERS
from pipeline.models.longer_clips import stretch
from pipeline.models.pixels import best_device
from pipeline.models.preprocessing import Preprocessing
from pipeline.models.registry import check_frames
from schemas.errors import ModelError, UsageError

# Beginnings of the names of tensors that the base need not have: those of the new head.
_HEAD = ("classifier.", "fc_norm.", "head.", "pooler.")

# Types of classifiers that are no transformers models, or would learn from silence; and what to give instead.
_NEVER_A_BASE = {
    **{architecture.name: "give a VideoMAE, a TimeSformer or the like" for architecture in ARCHITECTURES},
    SoundVideoConfig.model_type: "give the video model that it was made from, with `audio`",
}

# Entries of an encoder's configuration that a model which holds it has for itself.
_NOT_OF_THE_SHAPE = ("architectures", "dtype", "transformers_version")


def finetune(
    data: str | Path,
    output: Path,
    *,
    base: str,
    frames: int | None = None,
    options: TrainOptions,
    audio: Fusion | None = None,
    cache: Path | None = None,
    say: Say = lambda sentence: None,
    on_progress: Callable[[TrainProgress], None] = lambda progress: None,
) -> TrainReport:
    """Fine-tune a video classifier, or a pre-trained encoder, with a new head for the dataset's classes.

    Over an encoder of single frames (`jobs.train.pretrain_frames`), a Transformer is trained that puts the frames of a clip
    in order; the encoder itself is frozen. Unless augmentation changes pictures, it sees each frame once, and all epochs
    read its features.

    Args:
        data: a folder with a folder per class, or a CSV with the columns path and label (`jobs.datasets.reader`).
        output: the folder to make; ``ingest --classifier`` takes it.
        base: hub id, folder, config.json or ``pocket``.
        frames: frames of a clip that it is to see, of a VideoMAE, a TimeSformer or over an encoder of single frames; None
            for as many as the base, or 16 over such an encoder.
        options: how to train.
        audio: learn from the clips' sound too (`pipeline.models.classifiers.sound`): ``late`` puts means of pictures and of
            sound beside each other, ``cross`` lets the tokens of the pictures attend to those of the sound.
        cache: where decoded clips are kept for later runs; None drops them at the end.
        say: called with each sentence that a user should read at once.
        on_progress: called with how far the training is.

    Raises:
        UsageError: the data or the output cannot be used.
        ModelError: the base cannot be used.
        JobError: nothing is left to learn from.
    """
    dataset = read_dataset(data, seed=options.seed, want="labels")
    start = _find_start(base, frames, audio)
    extra: dict[str, Any] = {name: value for name, value in (("frames", frames), ("audio", audio)) if value is not None}
    run = TrainingRun(
        "finetune",
        start,
        dataset,
        output=output,
        options=options,
        cache=cache,
        say=say,
        on_progress=on_progress,
        extra=extra,
    )
    decoded = run.begin()
    decoded.check_classes(dataset.labels)
    labels: dict[str, Any] = {
        "id2label": dict(enumerate(dataset.labels)),
        "label2id": {label: i for i, label in enumerate(dataset.labels)},
    }
    if audio is not None:
        return finetune_with_sound(run, decoded, dataset.labels, audio, labels)
    if start.checkpoint.model_type in FRAME_ENCODERS:
        model = transformer_over(load_base(ResNetModel, start), start.preprocessing, labels)
    else:
        more = _more_frames(start, frames)
        model = load_base(AutoModelForVideoClassification, start, may_be_new=_HEAD, **labels, **more)
        if frames is not None and frames != model.config.num_frames:
            stretch(model, frames)
    model.config.view_seconds = options.window_s  # what it sees at once, by which an ingest with views goes
    if not isinstance(model, FrameTransformerForVideoClassification):
        objective = Classification(ClassificationModule(model, start.preprocessing), dataset.labels)
        return run.train(objective, decoded)
    objective = Classification(FrameTransformerModule(model, start.preprocessing), dataset.labels)
    if not can_be_kept(options.augmentation):
        say("the frozen encoder sees all frames in every epoch, since crops, light or mirroring change them")
        return run.train(objective, decoded)
    say("the frozen encoder sees each frame once; all epochs read its features")
    model.to(best_device()).eval()
    make_dataset = partial(FrameFeatures, encode=model.frame_features, folder=run.unfinished)
    return run.train(objective, decoded, make_dataset=make_dataset)


def _find_start(base: str, frames: int | None, audio: Fusion | None) -> Base:
    """The base, to be shown as many frames as asked for; refused before any video is decoded."""
    start = find_base(base, "classifier", num_frames=FrameTransformerConfig.num_frames)
    if audio is not None:
        check_takes_sound(start)
        if frames is not None:
            raise UsageError("got it with sound; a model that hears is shown as many frames as its base", argument="frames")
    elif start.checkpoint.model_type in _NEVER_A_BASE:
        raise ModelError(
            f"got a model of type {start.checkpoint.model_type!r}, which can be used but not trained further; "
            f"{_NEVER_A_BASE[start.checkpoint.model_type]}",
            argument="base",
            value=base,
        )
    if frames is None:
        return start
    check_frames(start.checkpoint, frames)
    return start.showing(frames)


def _more_frames(start: Base, frames: int | None) -> dict[str, Any]:
    """Changes to a base's configuration for another number of frames, where its weights do not depend on it.

    A VideoMAE adds fixed vectors to its tubelets by their number. It learns with those of the longer row, which are what
    transformers gives the trained folder as well. `stretch` does the rest for a TimeSformer, whose vectors are weights.
    """
    return {"num_frames": frames} if frames is not None and start.checkpoint.model_type == "videomae" else {}


def transformer_over(encoder: Any, preprocessing: Preprocessing, labels: dict[str, Any]) -> Any:
    """A new Transformer over the frames that ``encoder``, a ResNetModel, sees.

    Args:
        encoder: its weights are copied.
        preprocessing: of the encoder, with the number of frames of a clip.
        labels: ``id2label`` and ``label2id``.
    """
    size = preprocessing.input.geometry.size
    assert size is not None, "any other preprocessing was refused when it was read"
    shape = {name: value for name, value in encoder.config.to_diff_dict().items() if name not in _NOT_OF_THE_SHAPE}
    config = FrameTransformerConfig(encoder=shape, num_frames=preprocessing.input.num_frames, image_size=size[0], **labels)
    model = FrameTransformerForVideoClassification(config)
    model.encoder.load_state_dict(encoder.state_dict())
    return model
