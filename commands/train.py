"""The commands about models: what they are taught with, how good they are. Parse, one library call, print."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from commands.progress_line import Command, ProgressLine, echo
from jobs.train.options import Augmentation, TrainOptions
from schemas.errors import UsageError, VideoError
from schemas.options import DEFAULT_CLASSIFIER
from schemas.records import path_text
from schemas.text import json_text, printable

_TRAINING = (
    click.option("--output", type=click.Path(path_type=Path), required=True, metavar="DIR", help="The checkpoint to make."),
    click.option("--epochs", type=int, default=10, show_default=True, help="Times that every clip is shown."),
    click.option("--batch-size", type=int, default=8, show_default=True, help="Clips per forward pass and worker."),
    click.option("--accumulate", type=int, default=1, show_default=True, help="Forward passes per step."),
    click.option("--learning-rate", type=float, default=1e-4, show_default=True, help="The highest, after warm-up."),
    click.option("--warmup", type=float, default=0.1, show_default=True, help="Share of the steps in which it rises."),
    click.option("--weight-decay", type=float, default=0.05, show_default=True, help="AdamW's."),
    click.option("--seed", type=int, default=0, show_default=True, help="Of splits, new weights, order and chance."),
    click.option("--window", "window_s", type=float, default=4.0, show_default=True, help="Seconds of a clip."),
    click.option("--max-clips", type=int, default=4, show_default=True, help="Clips of one example at most."),
    click.option("--crop", type=float, default=1.0, show_default=True, help="Smallest share of the picture shown."),
    click.option(
        "--light", type=float, default=0.0, show_default=True, help="Brightness and contrast change by this share."
    ),
    click.option(
        "--random-window", type=float, default=1.0, show_default=True, help="Shortest share of a clip's time shown."
    ),
    click.option("--mirror", is_flag=True, help="Swap left and right at random; for classes that know no side."),
    click.option("--workers", type=int, default=0, show_default=True, help="Processes that train together under Ray Train."),
    click.option("--address", metavar="HOST:PORT", help="The Ray cluster of --workers. [default: Ray on this machine]"),
    click.option("--threads", type=int, help="Threads of each process on a CPU. [default: all]"),
    click.option("--half", is_flag=True, help="Store the weights as fp16, at half the size."),
    click.option(
        "--cache", type=click.Path(path_type=Path, file_okay=False), metavar="DIR", help="Keep decoded clips here."
    ),
    click.option("--json", "as_json", is_flag=True, help="Print one JSON object at the end."),
)


def _training(command: Any) -> Any:
    """Give a command the options that all trainings have."""
    for option in reversed(_TRAINING):
        command = option(command)
    return command


def _train_options(given: dict[str, Any]) -> TrainOptions:
    names = (
        "epochs",
        "batch_size",
        "accumulate",
        "learning_rate",
        "warmup",
        "weight_decay",
        "seed",
        "window_s",
        "max_clips",
    )
    change = Augmentation(crop=given["crop"], light=given["light"], window=given["random_window"], mirror=given["mirror"])
    return TrainOptions(
        **{name: given[name] for name in (*names, "workers", "threads", "address", "half")}, augmentation=change
    )


def _train(run: Any, as_json: bool, **arguments: Any) -> None:
    """Run a training with its progress on standard error, and print what came of it."""
    from jobs.train.report import training_json, training_text

    line = ProgressLine()

    def say(sentence: str) -> None:
        line.end()
        echo(printable(sentence), err=True)

    try:
        report = run(**arguments, say=say, on_progress=line.show)
    finally:
        line.end()
    echo(json_text(training_json(report)) if as_json else training_text(report))


@click.command(cls=Command)
@click.argument("data", type=click.Path(path_type=Path))
@click.option("--base", required=True, metavar="MODEL", help="Hub id, folder, config.json or pocket.")
@_training
def finetune(data: Path, base: str, output: Path, cache: Path | None, as_json: bool, **given: Any) -> None:
    """Teach a video classifier the classes of DATA: a folder per class, or a CSV with path and label.

    \b
    vidsift finetune ~/UCF101 --base MCG-NJU/videomae-base --output ./my-videomae
    vidsift finetune moments.csv --base pocket --output ./my-videomae --epochs 20 --learning-rate 5e-4
    """
    options = _train_options(given)
    from jobs.train.finetune import finetune as run

    _train(run, as_json, data=data, output=output, base=base, options=options, cache=cache)


@click.command(cls=Command)
@click.argument("data", type=click.Path(path_type=Path))
@click.option("--base", required=True, metavar="MODEL", help="A VideoMAE, or a config.json to start from random weights.")
@click.option("--mask-ratio", type=float, default=0.9, show_default=True, help="Share of the picture hidden in all frames.")
@_training
def pretrain(
    data: Path, base: str, mask_ratio: float, output: Path, cache: Path | None, as_json: bool, **given: Any
) -> None:
    """Let a VideoMAE learn from the videos of DATA without labels, by predicting what is hidden from it.

    \b
    vidsift pretrain ~/Videos --base MCG-NJU/videomae-base --output ./my-encoder
    vidsift pretrain ~/Videos --base ./videomae/config.json --output ./my-encoder --epochs 100
    """
    options = _train_options(given)
    from jobs.train.pretrain import pretrain as run

    _train(run, as_json, data=data, output=output, base=base, options=options, mask_ratio=mask_ratio, cache=cache)


@click.command(cls=Command)
@click.argument("captions", metavar="DATA.csv", type=click.Path(path_type=Path))
@click.option("--base", required=True, metavar="MODEL", help="An X-CLIP: hub id, folder, config.json or pocket.")
@click.option("--plain-weight", type=float, default=0.5, show_default=True, help="Share of the loss on the dot product.")
@click.option("--facts-weight", type=float, default=0.0, show_default=True, help="Weight of naming the column facts.")
@_training
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
    """Teach X-CLIP which sentences describe which moments: a CSV with path and caption, optionally start_s, end_s, facts.

    \b
    vidsift align captions.csv --base microsoft/xclip-base-patch32 --output ./my-xclip
    """
    options = _train_options(given)
    from jobs.train.align import align as run

    weights = {"plain_weight": plain_weight, "facts_weight": facts_weight}
    _train(run, as_json, captions=captions, output=output, base=base, options=options, cache=cache, **weights)


@click.command(cls=Command)
@click.argument("source", metavar="DATA", type=click.Path(path_type=Path))
@click.option("--sheet", type=click.Path(path_type=Path), metavar="FILE.png", help="Draw examples of every class.")
@click.option("--seed", default=0, show_default=True, help="What the split is drawn from, where the data states none.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def dataset(source: Path, sheet: Path | None, seed: int, as_json: bool) -> None:
    """Look over data to learn from: a folder of class folders, or a CSV; what each class has, and what is damaged.

    The CSV's columns: path, label (or action), caption, start_s, end_s, split, group, facts; all but path may be left out.

    \b
    vidsift dataset ./actions
    vidsift dataset captions.csv --sheet sheet.png
    """
    from jobs.datasets.reader import read_dataset
    from jobs.datasets.summary import contact_sheet, survey
    from jobs.images import check_output, save_png

    if sheet is not None:
        check_output("--sheet", sheet, ".png", [source])
    data = read_dataset(source, seed=seed, want="nothing")

    def show(done: int, total: int) -> None:
        if sys.stderr.isatty():
            click.echo(f"\r{done}/{total} videos" + "\n" * (done == total), nl=False, err=True)

    found = survey(data, on_progress=show)
    if sheet is not None:
        save_png(contact_sheet(data), sheet)
    echo(json_text(found.as_json()) if as_json else str(found))


@click.command(cls=Command)
@click.argument("video", metavar="FILE", type=click.Path(path_type=str))
@click.option(
    "--gif", "output", type=click.Path(path_type=Path), required=True, metavar="FILE.gif", help="Where to draw it."
)
@click.option("--model", default=DEFAULT_CLASSIFIER, show_default=True, metavar="MODEL", help="Hub id or folder.")
@click.option("--start", "start_s", type=float, metavar="S", help="Where the window begins. [default: at the beginning]")
@click.option("--end", "end_s", type=float, metavar="S", help="Where it ends. [default: 4 s later, or with the video]")
def preview(video: str, output: Path, model: str, start_s: float | None, end_s: float | None) -> None:
    """Draw what a model is shown of a window: its frames in its size, before their values are normalised.

    The GIF takes as long as the window. A GIF holds 256 colours a frame, so its colours are close to the model's, not equal.

    \b
    vidsift preview film.mp4 --gif seen.gif
    vidsift preview film.mp4 --gif seen.gif --model ./my-videomae --start 12 --end 14.5
    """
    from jobs.datasets.preview import preview as run

    try:
        echo(str(run(video, output, model=model, start_s=start_s, end_s=end_s)))
    except VideoError as exc:
        raise UsageError(f"FILE: {path_text(video)!r} cannot be used ({exc.stage}: {exc.reason}); give another") from exc


@click.command(cls=Command)
@click.argument("model")
@click.argument("data", type=click.Path(path_type=Path))
@click.option("--kind", type=click.Choice(["classifier", "embedder"]), help="What MODEL is. [default: as it says itself]")
@click.option("--split", type=click.Choice(["test", "val", "train", "all"]), help="[default: test, or val, or all]")
@click.option("--views", type=click.Choice(["single", "multi"]), default="single", show_default=True, help="multi: 5 x 3.")
@click.option("--pair", "pairs", multiple=True, metavar="A,B", help="Say how often these two are told from each other.")
@click.option("--captions", default=200, show_default=True, help="Captions that an embedder looks for the clips of.")
@click.option("--draws", default=3, show_default=True, help="How often they are drawn.")
@click.option("--shuffle", is_flag=True, help="Show the frames of each clip in a random order, as a control.")
@click.option("--window", "window_s", default=4.0, show_default=True, help="Seconds of a clip.")
@click.option("--seed", default=0, show_default=True, help="Of splits, draws and shuffling.")
@click.option("--batch-size", default=32, show_default=True, help="Clips per forward pass.")
@click.option("--precision", type=click.Choice(["auto", "fp32", "bf16"]), default="fp32", show_default=True)
@click.option("--output", type=click.Path(path_type=Path), metavar="DIR", help="Keep the results and the matrix here.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def evaluate_model(
    model: str, data: Path, kind: Any, pairs: tuple[str, ...], output: Path | None, as_json: bool, **given: Any
) -> None:
    """Measure MODEL on DATA, as a training reads it: a classifier on its labels, an X-CLIP on its captions.

    With the seed of a training, data that states no splits is split as it was then.

    \b
    vidsift evaluate-model ./my-videomae ~/UCF101 --views multi --output ./measured
    vidsift evaluate-model ./my-videomae moments.csv --pair "sitting down,standing up" --shuffle
    vidsift evaluate-model ./my-xclip captions.csv --captions 1000 --draws 1
    """
    import shlex

    from jobs.evaluate.model import evaluate_model as run
    from jobs.evaluate.model_inputs import EvaluateOptions
    from jobs.evaluate.model_report import results_json, results_text, write_results
    from jobs.output_folder import check_folder

    options = EvaluateOptions(pairs=pairs, **given)
    if output is not None:
        check_folder(output)
    line: Any = ProgressLine()

    def say(sentence: str) -> None:
        line.end()
        echo(printable(sentence), err=True)

    try:
        results = run(model, data, kind=kind, options=options, say=say, on_progress=line.show)
    finally:
        line.end()
    if output is not None:
        write_results(results, output, shlex.join(["vidsift", *sys.argv[1:]]))
    echo(json_text(results_json(results)) if as_json else results_text(results))


COMMANDS = (finetune, pretrain, align, dataset, preview, evaluate_model)
