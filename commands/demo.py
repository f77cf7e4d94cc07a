"""The command that shows vidsift at work: ``demo``."""

from __future__ import annotations

from pathlib import Path

import click

from commands.common import Command, echo
from commands.progress_line import ProgressLine


@click.command(cls=Command)
@click.argument("out", type=click.Path(path_type=Path), default=Path("demo-out"))
@click.option(
    "--count", type=click.IntRange(max=1_000_000), default=48, show_default=True, help="Number of short films of one action."
)
@click.option(
    "--films",
    type=click.IntRange(max=100_000),
    default=8,
    show_default=True,
    help="Number of long films of several actions.",
)
@click.option(
    "--seed", type=int, default=7, show_default=True, help="Seed of the films; the same seed renders the same films."
)
def demo(out: Path, count: int, films: int, seed: int) -> None:
    """Render films, index them, and check the answers.

    Everything is written to OUT. The films are ingested with the small pocket models, which come with vidsift.

    \b
    vidsift demo
    vidsift demo ./try --count 100 --seed 3
    """
    from demo.tour import run_demo

    with ProgressLine(print_note=echo) as line:
        run_demo(out, count=count, films=films, seed=seed, say=line.say, on_progress=line.show)
