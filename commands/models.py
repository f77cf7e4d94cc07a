"""The command that shows which models to choose from: ``models``."""

from __future__ import annotations

from typing import Any

import click

from commands.common import Command, echo, json_option
from commands.progress_line import ProgressLine
from schemas.text import column_lines, json_text, lines_text


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
    costs: dict[str, Any] = {}
    if measure:
        from pipeline.models.measure import measure as measure_model

        with ProgressLine() as line:
            for known in chosen:
                if known.shape is not None:
                    line.say(f"measuring {known.name}")
                    costs[known.name] = measure_model(known)
    if as_json:
        for known in chosen:
            echo(json_text(model_json(known, costs.get(known.name))))
        return
    rows = [model_row(known, costs.get(known.name), measured=measure) for known in chosen]
    echo(lines_text([*column_lines(names_of_columns(measured=measure), rows), "", *sources_text(chosen)]))
