"""The command that cuts found moments out of their videos: ``export``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from commands.common import Command, echo
from commands.progress_line import ProgressLine


@click.command(cls=Command)
@click.argument("hits", metavar="HITS.jsonl")
@click.option(
    "--to",
    "folder",
    type=click.Path(path_type=Path),
    required=True,
    metavar="DIR",
    help="New or empty folder to write to, or an interrupted export to continue.",
)
@click.option(
    "--pad", "pad_s", type=float, default=1.0, show_default=True, help="Seconds to add before and after each moment."
)
@click.option(
    "--format",
    "forms",
    type=click.Choice(["files", "webvtt", "srt", "edl"]),
    multiple=True,
    default=["files"],
    show_default=True,
    help="Write video files, WebVTT chapters, SubRip subtitles or an edit decision list; may be repeated.",
)
def export(hits: str, folder: Path, pad_s: float, forms: tuple[Any, ...]) -> None:
    """Cut found moments into files, or list them as chapters.

    HITS.jsonl is the output of vidsift search --json; - reads standard input. Each file comes with a strip of thumbnails.
    moments.csv lists the source of each file and how it was made: copied if it can begin at a keyframe, else encoded again.
    After an interruption, the same command continues: finished moments are kept, failed ones are tried again.

    \b
    vidsift search "people baking a cake" --library ~/videos.vidsift --json > hits.jsonl
    vidsift export hits.jsonl --to ./moments
    vidsift export hits.jsonl --to ./lists --format webvtt --format edl --pad 0
    vidsift sql "select path, start_s, end_s, text from speech" --library ~/videos.vidsift --format json > said.jsonl
    vidsift export said.jsonl --to ./subtitles --format srt
    """
    from jobs.export.export import export as run

    with ProgressLine() as line:
        report = run(hits, folder, pad_s=pad_s, forms=forms, on_moment=line.counter("moments"))
    echo(str(report))
    if report.failed:
        raise SystemExit(1)
