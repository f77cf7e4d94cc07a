"""The commands that train models: ``finetune``, ``pretrain`` and ``align``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import click

from commands.common import Command, echo, json_option
from commands.progress_line import ProgressLine
from jobs.train.options import Augmentation, TrainOptions
from schemas.errors import UsageError
from schemas.text import json_text

_TRAINING_OPTIONS = (
    click.option(
        "--output", type=click.Path(path_type=Path), required=True, metavar="DIR", help="Write the trained model here."
    ),
    click.option("--epochs", type=int, default=10, show_default=True, help="Number of passes over the training clips."),
    click.option("--batch-size", type=int, default=8, show_default=True, help="Clips per forward pass and worker."),
    click.option("--accumulate", type=int, default=1, show_default=True, help="Forward passes per optimiser step."),
    click.option(
        "--learning-rate", type=float, default=1e-4, show_default=True, help="Peak learning rate, reached after the warm-up."
    ),
    click.option(
        "--warmup", type=float, default=0.1, show_default=True, help="Share of all steps in which the learning rate rises."
    ),
    click.option("--weight-decay", type=float, default=0.05, show_default=True, help="AdamW weight decay."),
    click.option(
        "--seed", type=int, default=0, show_default=True, help="Seed for splits, new weights, order and augmentation."
    ),
    click.option("--window", "window_s", type=float, default=4.0, show_default=True, help="Length of a clip in seconds."),
    click.option("--max-clips", type=int, default=4, show_default=True, help="Maximum number of clips per example."),
    click.option(
        "--crop",
        type=float,
        default=1.0,
        show_default=True,
        help="Augment: crop frames at random, keeping at least this share of the area.",
    ),
    click.option(
        "--light",
        type=float,
        default=0.0,
        show_default=True,
        help="Augment: change brightness and contrast at random by up to this share.",
    ),
    click.option(
        "--random-window",
        type=float,
        default=1.0,
        show_default=True,
        help="Augment: shorten clips at random, keeping at least this share of the time.",
    ),
    click.option(
        "--mirror", is_flag=True, help="Augment: mirror half of the clips; not for classes that differ by left and right."
    ),
    click.option(
        "--workers",
        type=int,
        default=0,
        show_default=True,
        help="Train in this many processes with Ray Train; 0 trains in this one.",
    ),
    click.option(
        "--address", metavar="HOST:PORT", help="Run the workers on this Ray cluster. [default: start Ray on this machine]"
    ),
    click.option("--threads", type=int, help="CPU threads of each process. [default: all]"),
    click.option("--half", is_flag=True, help="Store the weights as fp16, at half the size."),
    click.option(
        "--cache",
        type=click.Path(path_type=Path, file_okay=False),
        metavar="DIR",
        help="Keep decoded clips in this folder for later runs.",
    ),
    json_option("Print one JSON object at the end."),
)


def _training_options(command: Any) -> Any:
    """Give a command the options that all trainings have."""
    for option in reversed(_TRAINING_OPTIONS):
        command = option(command)
    return command


def _train_options(given: dict[str, Any]) -> TrainOptions:
    """`TrainOptions` from the values of `_TRAINING_OPTIONS`."""
    augmentation = Augmentation(
        crop=given["crop"], light=given["light"], window=given["random_window"], mirror=given["mirror"]
    )
    names = [field.name for field in fields(TrainOptions) if field.name in given]
    return TrainOptions(**{name: given[name] for name in names}, augmentation=augmentation)


def _train(run: Callable[..., Any], as_json: bool, **arguments: Any) -> None:
    """Run a training with its progress on standard error, and print its report."""
    from jobs.train.report import training_json, training_text

    with ProgressLine() as line:
        report = run(**arguments, say=line.say, on_progress=line.show)
    echo(json_text(training_json(report)) if as_json else training_text(report))


@click.command(cls=Command)
@click.argument("data", type=click.Path(path_type=Path))
@click.option(
    "--base",
    required=True,
    metavar="MODEL",
    help="Model to start from: hub id, folder or pocket; a config.json starts from random weights.",
)
@click.option(
    "--frames",
    type=int,
    metavar="N",
    help="Show the model N frames of a clip, of VideoMAE and TimeSformer, or over an encoder of frames. "
    "[default: as many as MODEL; 16 over such an encoder]",
)
@click.option(
    "--audio",
    type=click.Choice(["late", "cross"]),
    help="Learn from the clips' sound too: join means of pictures and sound (late), or let the pictures' tokens attend to "
    "those of the sound (cross).",
)
@_training_options
def finetune(
    data: Path, base: str, frames: int | None, audio: Any, output: Path, cache: Path | None, as_json: bool, **given: Any
) -> None:
    """Train a video classifier on your own classes.

    DATA is a folder with a folder per class, or a CSV file with the columns path and label.

    \b
    vidsift finetune ~/UCF101 --base MCG-NJU/videomae-base --output ./my-videomae
    vidsift finetune moments.csv --base pocket --output ./my-videomae --epochs 20 --learning-rate 5e-4
    vidsift finetune moments.csv --base ./my-frames --output ./my-classifier    # over frames: see vidsift pretrain --method
    """
    options = _train_options(given)
    from jobs.train.finetune import finetune as run

    _train(run, as_json, data=data, output=output, base=base, frames=frames, options=options, audio=audio, cache=cache)


@click.command(cls=Command)
@click.argument("data", type=click.Path(path_type=Path))
@click.option(
    "--base",
    required=True,
    metavar="MODEL",
    help="VideoMAE to start from: hub id or folder; a config.json starts from random weights. For simsiam a ResNet, or "
    "resnet18, resnet34 or resnet50 for random weights.",
)
@click.option(
    "--method",
    type=click.Choice(["videomae", "simsiam"]),
    default="videomae",
    show_default=True,
    help="Hide parts of clips and predict them (videomae), or compare two views of single frames (simsiam).",
)
@click.option(
    "--mask-ratio", type=float, help="Share of the picture to hide, at the same places in all frames. [default: 0.9]"
)
@click.option("--image-size", type=int, help="Side of the pictures in pixels, for resnet18 and the like. [default: 224]")
@_training_options
def pretrain(
    data: Path,
    base: str,
    method: str,
    mask_ratio: float | None,
    image_size: int | None,
    output: Path,
    cache: Path | None,
    as_json: bool,
    **given: Any,
) -> None:
    """Train a VideoMAE, or an encoder of frames, without labels.

    Parts of each clip are hidden, and the model learns to predict them; with --method simsiam, two views of a frame are to
    be told alike. DATA is a folder of videos or a CSV file with paths.

    \b
    vidsift pretrain ~/Videos --base MCG-NJU/videomae-base --output ./my-encoder
    vidsift pretrain ~/Videos --base ./videomae/config.json --output ./my-encoder --epochs 100
    vidsift pretrain ~/Videos --method simsiam --base resnet18 --output ./my-frames --batch-size 64
    """
    options = _train_options(given)
    shared: dict[str, Any] = {"data": data, "output": output, "base": base, "options": options, "cache": cache}
    if method == "simsiam":
        _refuse_beside(method, mask_ratio=mask_ratio)
        from jobs.train.pretrain_frames import pretrain_frames

        _train(pretrain_frames, as_json, image_size=image_size, **shared)
    else:
        _refuse_beside(method, image_size=image_size)
        from jobs.train.pretrain import pretrain as run

        _train(run, as_json, mask_ratio=0.9 if mask_ratio is None else mask_ratio, **shared)


def _refuse_beside(method: str, **others: Any) -> None:
    """Refuse options of another method."""
    for argument, value in others.items():
        if value is not None:
            raise UsageError(f"got {value:g}, but {method} has no such option; leave it out", argument=argument)


@click.command(cls=Command)
@click.argument("captions", metavar="DATA.csv", type=click.Path(path_type=Path))
@click.option(
    "--base",
    required=True,
    metavar="MODEL",
    help="X-CLIP, CLIP, SigLIP or the like to start from: hub id, folder, pocket, or a config.json for random weights.",
)
@click.option(
    "--plain-weight",
    type=float,
    default=0.5,
    show_default=True,
    help="Share of the loss that is on plain dot products; the rest is on rerank scores.",
)
@click.option(
    "--facts-weight",
    type=float,
    default=0.0,
    show_default=True,
    help="Weight of a further loss on predicting the values in the column facts.",
)
@_training_options
def align(
    captions: Path,
    base: str,
    plain_weight: float,
    facts_weight: float,
    output: Path,
    cache: Path | None,
    as_json: bool,
    **given: Any,
) -> None:
    """Train an embedder on captioned moments.

    DATA.csv has the columns path and caption, and optionally start_s, end_s and facts.

    \b
    vidsift align captions.csv --base microsoft/xclip-base-patch32 --output ./my-xclip
    """
    options = _train_options(given)
    from jobs.train.align import align as run

    weights = {"plain_weight": plain_weight, "facts_weight": facts_weight}
    _train(run, as_json, captions=captions, output=output, base=base, options=options, cache=cache, **weights)
