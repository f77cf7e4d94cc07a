"""The command that finds moments: ``search``."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import click

from commands.common import Command, echo, embedder_option, json_option, library_option, note, rerank_option
from commands.search_output import answer_text
from schemas.search import RECALLS, Channel, SearchOptions, moment_json
from schemas.text import json_text

_RECALLS = {"exact" if recall == 1 else str(recall): recall for recall in RECALLS}


@click.command(cls=Command)
@click.argument("texts", metavar="[TEXT]...", nargs=-1)
@library_option
@click.option("-k", default=10, show_default=True, help="Number of answers.")
@click.option(
    "--by",
    type=click.Choice(["moment", "clip", "video"]),
    default="moment",
    show_default=True,
    help="Answer with moments (neighbouring clips merged), single clips, or whole videos.",
)
@click.option(
    "--where", metavar="SQL", help="Search only clips that meet a condition on columns of clips, videos, labels and tags."
)
@click.option("--not", "without", multiple=True, metavar="TEXT", help="Text that answers must not match; may be repeated.")
@click.option(
    "--then", "then_text", metavar="TEXT", help="Text of a second event, which follows the first in the same video."
)
@click.option(
    "--within", "within_s", type=float, metavar="S", help="Maximum gap before the second event, in seconds. [default: 30]"
)
@click.option(
    "--like",
    multiple=True,
    metavar="EXAMPLE",
    help="Example to match: FILE, FILE@START-END, IMAGE or CLIP_ID; may be repeated.",
)
@click.option(
    "--in",
    "channels",
    multiple=True,
    type=click.Choice(get_args(Channel)),
    help="Look in pictures, in speech or in text on the screen; may be repeated. [default: all that the library has]",
)
@click.option(
    "--then-in",
    "then_channels",
    multiple=True,
    type=click.Choice(get_args(Channel)),
    help="Look for the second event in these; may be repeated. [default: all that the library has]",
)
@rerank_option
@click.option(
    "--recall",
    type=click.Choice(list(_RECALLS)),
    default="0.95",
    show_default=True,
    help="Share of the ten best clips to find in a library of more than 200,000 clips.",
)
@click.option("--distinct", is_flag=True, help="Of answers that show the same footage, give the best alone.")
@click.option("--all", "show_all", is_flag=True, help="Show results even when none is confident.")
@click.option("--across-cuts", is_flag=True, help="Let moments run across cuts, in a library that knows shots.")
@embedder_option
@json_option("Print one JSON object per answer.")
def search(folder: Path, embedder: str | None, as_json: bool, recall: str, **given: Any) -> None:
    """Find moments by text, by example, or by both.

    Several TEXTs and examples describe one moment together.

    \b
    vidsift search "people baking a cake" --library ~/videos.vidsift
    vidsift search "a dog catches a ball" --library ~/videos.vidsift -k 3 --json
    vidsift search "a dog" "on the beach" --not "at night" --library ~/videos.vidsift --by video
    vidsift search "somebody serves" --then "people cheer" --within 10 --library ~/videos.vidsift
    vidsift search "baking" --where "label = 'baking cookies' and duration_s > 60" --library ~/videos.vidsift
    vidsift search --like holiday.mp4@12.5-16 --library ~/videos.vidsift
    vidsift search "the budget is gone" --in speech --library ~/videos.vidsift
    vidsift search goal --in speech --then "people cheer" --then-in pictures --library ~/videos.vidsift

    In speech and text, "two words" in quotes are a phrase and word* finds all that begins so.
    """
    options = SearchOptions(recall=_RECALLS[recall], **given)
    from index.search.searcher import search as run

    answer = run(folder, options, embedder=embedder, say=note)
    if not as_json:
        echo(answer_text(answer, options.by, is_sequence=options.then_text is not None))
        return
    for moment in answer.moments:
        echo(json_text(moment_json(moment)))
