"""The command that finds the same footage in several videos: ``duplicates``."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from commands.common import Command, echo, json_option, library_option, note
from commands.progress_line import ProgressLine
from schemas.text import json_text


@click.command(cls=Command)
@library_option
@json_option("Print one JSON object at the end.")
def duplicates(folder: Path, as_json: bool) -> None:
    """Find the same footage in several videos.

    Also where it was encoded again, cropped, cut, given other borders, mirrored or played at 0.5 to 2 times the speed. Shows
    which seconds of the one are which of the other, and keeps that as the table duplicates. Nothing is deleted. Run it again
    after an ingest: new videos are not compared by themselves.

    \b
    vidsift duplicates --library ~/videos.vidsift
    vidsift search "a dog" --distinct --library ~/videos.vidsift
    vidsift sql "select path, start_s, end_s, other_path from duplicates" --library ~/videos.vidsift
    """
    from jobs.duplicates.duplicates import find_duplicates
    from jobs.duplicates.report import duplicates_text

    with ProgressLine() as line:
        report = find_duplicates(folder, on_progress=line.show)
    echo(json_text(report.as_json()) if as_json else duplicates_text(report))
    if report.interrupted:
        note("interrupted; the library keeps what it knew of duplicates before")
        sys.stdout.flush()
        os._exit(130)
