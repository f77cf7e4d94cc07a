"""The command that finds what stands out of a video: ``highlights``."""

from __future__ import annotations

from pathlib import Path

import click

from commands.common import Command, echo, json_option, library_option
from commands.search_output import moments_table
from schemas.search import moment_json
from schemas.text import json_text


@click.command(cls=Command)
@click.argument("video", required=False)
@library_option
@click.option("-k", type=int, help="Number of moments at most. [default: 5, or as many as fit into --seconds]")
@click.option("--seconds", type=float, metavar="S", help="Length of all moments together at most, in seconds.")
@click.option("--where", metavar="SQL", help="Choose among clips that meet a condition, as in vidsift search.")
@json_option("Print one JSON object per moment, as vidsift search does.")
def highlights(video: str | None, folder: Path, as_json: bool, **given: object) -> None:
    """Find moments that stand out of their own video.

    They differ from the rest of VIDEO, and from each other. With --where and without VIDEO, moments of all videos compete.
    Where the library knows shots, black and still ones are passed over.

    \b
    vidsift highlights ~/Videos/holiday.mp4 --library ~/videos.vidsift
    vidsift highlights --where "duration_s > 600" --seconds 60 --library ~/videos.vidsift
    vidsift highlights match.mp4 -k 10 --library ~/videos.vidsift --json | vidsift export - --to highlights/
    """
    from index.search.highlights import HighlightOptions
    from index.search.highlights import highlights as run

    moments = run(folder, HighlightOptions(video=video, **given))  # type: ignore[arg-type]
    if not as_json:
        echo(moments_table(moments) if moments else "no clip can be chosen: none meets --where, or all are black or still")
        return
    for moment in moments:
        echo(json_text(moment_json(moment)))
