"""The command that writes models for other runtimes: ``export-model``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from commands.common import Command, NumberRange, echo
from schemas.text import lines_text


@click.command("export-model", cls=Command)
@click.argument("model")
@click.option("--format", "form", type=click.Choice(["onnx"]), default="onnx", show_default=True, help="Format of the file.")
@click.option(
    "--output", type=click.Path(path_type=Path), required=True, metavar="FILE", help="New file to write, such as m.onnx."
)
@click.option("--kind", type=click.Choice(["classifier", "embedder"]), help="What MODEL is. [default: by its config.json]")
@click.option(
    "--tolerance",
    type=NumberRange(min=0),
    default=1e-3,
    show_default=True,
    help="Largest difference from PyTorch to accept, of logits or of embeddings.",
)
def export_model(model: str, form: str, output: Path, kind: Any, tolerance: float) -> None:
    """Write a model as an ONNX file, checked against PyTorch.

    MODEL is a hub id, a folder or pocket. A classifier becomes one file, from pixels to logits. An embedder becomes two:
    FILE from pixels to embeddings, and NAME.text.onnx beside it from tokens to embeddings. The files take batches of any
    size, and their metadata says how pixels are made. Weights of more than 2 GB go into FILE.data. ONNX Runtime and PyTorch
    compute each file's outputs for random pixels, and no file is left where they differ.

    \b
    vidsift export-model ./my-videomae --output my-videomae.onnx
    vidsift export-model pocket --kind embedder --output pocket.onnx
    """
    from pipeline.models.onnx_files import export_onnx
    from pipeline.models.runtimes.onnx import OPSET

    lines = []
    for file in export_onnx(model, output, kind=kind, tolerance=tolerance):
        data = f" with its weights in {file.data.name}" if file.data else ""
        lines += [
            f"{file.path}: {file.num_bytes / 1e6:.1f} MB{data}, opset {OPSET}",
            f"  {file.what}",
            f"  largest difference from PyTorch: {file.difference:.1e}",
        ]
    echo(lines_text(lines))
