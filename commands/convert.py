"""The command that makes a published checkpoint one that vidsift loads: ``convert``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from commands.common import Command, echo, json_option
from jobs.convert.convert import FAMILIES
from schemas.text import json_text


@click.command(cls=Command)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--family", type=click.Choice(FAMILIES), required=True, help="The network whose weights FILE holds.")
@click.option(
    "--output", type=click.Path(path_type=Path), required=True, metavar="DIR", help="Write the model to this new folder."
)
@click.option(
    "--labels",
    type=click.Path(path_type=Path),
    metavar="TXT",
    help="Text file with a class on each line, in the network's order. [default: those of Kinetics-400]",
)
@click.option("--license", "license_name", metavar="NAME", help="Licence of the weights, for the model card.")
@json_option("Print one JSON object.")
def convert(file: Path, family: str, output: Path, labels: Path | None, license_name: str | None, as_json: bool) -> None:
    """Make a published .pth file a model that vidsift loads.

    FILE is what torch.save wrote: the weights of a network of torchvision or pytorchvideo, or of VideoMAE v2. Each tensor is
    checked. Files that name code to run are refused.

    \b
    vidsift convert r3d_18-b3b3357e.pth --family r3d_18 --output r3d_18
    vidsift ingest ~/Videos --library library --classifier r3d_18
    """
    from jobs.convert.convert import convert as run

    done = run(file, family, output, labels=labels, license_name=license_name)
    if as_json:
        echo(json_text({**asdict(done), "output": str(done.output)}))
        return
    echo(f"{done.output}: {done.family} of {done.labels} classes, {done.tensors} tensors, {done.parameters:,} values")
    echo(f"licence: {done.license}" + ("; say it with --license" if done.license == "unknown" else ""))
    echo(f"vidsift ingest VIDEOS --library LIBRARY --classifier {done.output}")
