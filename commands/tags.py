"""The commands that label clips: ``tag``, ``untag`` and ``teach``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from commands.common import Command, echo, embedder_option, json_option, library_option, note
from schemas.text import json_text


@click.command(cls=Command)
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@library_option
@click.option(
    "--prompt",
    "prompts",
    metavar="TEXT",
    multiple=True,
    help="Text to compare clips with, where {} stands for NAME; may be repeated.",
)
@embedder_option
@json_option("Print one JSON object per tag.")
def tag(names: tuple[str, ...], folder: Path, prompts: tuple[str, ...], embedder: str | None, as_json: bool) -> None:
    """Score every clip for a tag described in words.

    Each NAME is a tag, with its scores in the SQL table tags. Later ingests score their clips too. Tagging a NAME again
    replaces its scores.

    NAME is put into each prompt: "{}", "a video of {}", "a person {}" and "someone {}", unless you give others. c is the
    cosine of the prompts' mean vector and a clip's vector; m and s are the mean and the standard deviation of c over the
    library.

    \b
    score = 1 / (1 + exp(-2 ((c - m) / s - 2)))

    This is 0.02 for a clip at the mean, 0.5 at 2 standard deviations above it, and 0.88 at 3.

    \b
    vidsift tag "falling down" "shaking hands" --library ~/videos.vidsift
    vidsift tag cake --prompt "a video of a {}" --prompt "people eating {}" --library ~/videos.vidsift
    vidsift sql "select path, start_s, score from tags where tag = 'cake' and score > 0.5" --library ~/videos.vidsift
    """
    from jobs.tag.report import tags_text
    from jobs.tag.tag import tag as run

    reports = run(folder, names, prompts=prompts, embedder=embedder, say=note)
    echo("\n".join(json_text(asdict(report)) for report in reports) if as_json else tags_text(reports))


@click.command(cls=Command)
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@library_option
def untag(names: tuple[str, ...], folder: Path) -> None:
    """Remove tags from a library.

    \b
    vidsift untag "falling down" --library ~/videos.vidsift
    """
    from jobs.tag.tag import untag as run

    run(folder, names)


@click.command(cls=Command)
@click.argument("name", metavar="[NAME]", required=False)
@click.option(
    "--examples",
    type=click.Path(path_type=Path),
    required=True,
    metavar="FILE.csv",
    help="Labelled moments: columns path, start_s, end_s and tag.",
)
@library_option
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Seed for sampling unlabelled clips and for the cross-validation.",
)
@json_option("Print one JSON object.")
def teach(name: str | None, examples: Path, folder: Path, seed: int, as_json: bool) -> None:
    """Score every clip for a tag taught by examples.

    FILE.csv has a row per moment. NAME picks one tag of the file; without it, all are taught. A tag needs two moments; five
    are better. Moments of other tags and unlabelled clips of the library serve as negatives.

    The scores in the SQL table tags are probabilities; they assume that half of all clips show the tag. Only a linear model
    over stored vectors is trained, and no video is decoded.

    \b
    vidsift teach "my action" --examples examples.csv --library ~/videos.vidsift
    vidsift teach --examples examples.csv --library ~/videos.vidsift
    """
    from jobs.tag.report import teach_text
    from jobs.tag.teach import teach as run

    report = run(folder, examples, name, seed=seed)
    echo(json_text(asdict(report)) if as_json else teach_text(report))
