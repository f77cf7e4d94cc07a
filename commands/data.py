"""The commands that look at training data: ``dataset`` and ``preview``."""

from __future__ import annotations

from pathlib import Path

import click

from commands.common import Command, echo, json_option
from commands.progress_line import ProgressLine
from schemas.errors import UsageError, VideoError
from schemas.options import DEFAULT_CLASSIFIER
from schemas.records import path_text
from schemas.text import json_text


@click.command(cls=Command)
@click.argument("source", metavar="DATA", type=click.Path(path_type=Path))
@click.option(
    "--sheet",
    type=click.Path(path_type=Path),
    metavar="FILE.png",
    help="Draw examples of every class to this picture.",
)
@click.option("--seed", default=0, show_default=True, help="Seed for splitting data that has no splits of its own.")
@json_option("Print one JSON object.")
def dataset(source: Path, sheet: Path | None, seed: int, as_json: bool) -> None:
    """Summarise training data and list damaged videos.

    DATA is a folder with a folder per class, or a CSV file. Its columns are path, label (or action), caption, start_s,
    end_s, split, group and facts; only path is required.

    \b
    vidsift dataset ./actions
    vidsift dataset captions.csv --sheet sheet.png
    """
    from jobs.datasets.reader import read_dataset
    from jobs.datasets.summary import contact_sheet, survey
    from jobs.images import check_output, save_png

    if sheet is not None:
        check_output("sheet", sheet, ".png", [source])
    data = read_dataset(source, seed=seed, want="nothing")
    with ProgressLine() as line:
        summary = survey(data, on_progress=line.counter("videos"))
    if sheet is not None:
        save_png(contact_sheet(data), sheet)
    echo(json_text(summary.as_json()) if as_json else str(summary))


@click.command(cls=Command)
@click.argument("path", metavar="FILE", type=click.Path(path_type=str))
@click.option(
    "--gif", "output", type=click.Path(path_type=Path), required=True, metavar="FILE.gif", help="Write the GIF to this file."
)
@click.option(
    "--model",
    default=DEFAULT_CLASSIFIER,
    show_default=True,
    metavar="MODEL",
    help="Model whose input is drawn: hub id, folder or pocket.",
)
@click.option("--start", "start_s", type=float, metavar="S", help="Start of the clip in seconds. [default: 0]")
@click.option(
    "--end",
    "end_s",
    type=float,
    metavar="S",
    help="End of the clip in seconds. [default: 4 s after its start, or the video's end]",
)
def preview(path: str, output: Path, model: str, start_s: float | None, end_s: float | None) -> None:
    """Draw the frames of a clip as a model is shown them.

    The frames have the model's number and size; their values are not normalised yet. The GIF plays as long as the clip. A
    GIF has 256 colours per frame, so its colours are close to what the model is shown, not equal.

    \b
    vidsift preview film.mp4 --gif seen.gif
    vidsift preview film.mp4 --gif seen.gif --model ./my-videomae --start 12 --end 14.5
    """
    from jobs.datasets.preview import preview as run

    try:
        echo(str(run(path, output, model=model, start_s=start_s, end_s=end_s)))
    except VideoError as exc:
        raise UsageError(f"FILE: {path_text(path)!r} cannot be used ({exc.stage}: {exc.reason}); give another") from exc
