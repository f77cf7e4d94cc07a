"""The command that shows which models to choose from: ``models``."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click

from commands.common import Command, echo, json_option
from commands.progress_line import ProgressLine
from schemas.text import aligned_line, column_lines, json_text, lines_text

if TYPE_CHECKING:
    from pipeline.models.known import KnownModel
    from pipeline.models.measure import Cost


@click.command(cls=Command)
@click.option("--kind", type=click.Choice(["classifier", "embedder"]), help="Show only models of this kind.")
@click.option(
    "--measure", is_flag=True, help="Measure each model's cost on this machine, with random weights; takes minutes."
)
@json_option("Print one JSON object per model.")
def models(kind: str | None, measure: bool, as_json: bool) -> None:
    """List published models: what each is for and reaches.

    R@1 is the share of captions whose video comes first among all, top-1 the share of clips that get the right label, both
    in percent and as published. GFLOPs are billions of multiply-adds a clip. Other checkpoints of the same types work too.

    \b
    vidsift models
    vidsift models --kind embedder --measure
    """
    from pipeline.models.known import KNOWN
    from pipeline.models.known_report import model_json, model_row, names_of_columns, sources_text

    chosen = [known for known in KNOWN if kind in (None, known.role)]
    if as_json:
        for known, cost in _costs(chosen, measure=measure):
            echo(json_text(model_json(known, cost)))
        return
    blank = [model_row(known, None, measured=measure) for known in chosen]
    names, rule, *_ = column_lines(names_of_columns(measured=measure), blank)
    widths = [len(dashes) for dashes in rule.split("  ")]
    echo(lines_text([names, rule]))
    for known, cost in _costs(chosen, measure=measure):
        echo(aligned_line(model_row(known, cost, measured=measure), widths))
    echo(lines_text(["", *sources_text(chosen)]))


def _costs(chosen: Sequence[KnownModel], *, measure: bool) -> Iterator[tuple[KnownModel, Cost | None]]:
    """Each model with its cost, as soon as that is measured; without one where it is not or cannot be."""
    if not measure:
        yield from ((known, None) for known in chosen)
        return
    from jobs.evaluate.progress import EvaluationProgress
    from pipeline.models.measure import can_measure
    from pipeline.models.measure import measure as measure_model

    began = time.monotonic()
    with ProgressLine() as line:
        for done, known in enumerate(chosen):
            line.show(EvaluationProgress(done, len(chosen), time.monotonic() - began, "measured", "models"))
            cost = measure_model(known) if can_measure(known) else None
            line.clear()
            yield known, cost
