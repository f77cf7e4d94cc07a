"""How far ONNX files are from PyTorch, and how long they take to write: a small random checkpoint of each family.

    python -m benchmarks.onnx_files

Each is exported as `vidsift export-model` does it, and beside that by PyTorch's other exporter, over torch.export, where its
packages are installed (onnxscript). The difference is the largest absolute one, of logits or of embeddings of length 1, for
random pixels in batches of 1, 2 and 3; of the other exporter's file, for batches of 1 and 3.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import tempfile
import time
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipeline.models.checkpoint import find_checkpoint
from pipeline.models.embedders.onnx import ClipEmbeddings
from pipeline.models.onnx_files import export_onnx
from pipeline.models.registry import load_classifier, load_embedder
from pipeline.models.runtimes.onnx import OPSET, open_session
from tests.helpers.small_architectures import NAMES, make_small, random_model, write_small
from tests.helpers.small_embedders import write_small_embedder
from tests.pipeline.models.test_families import FAMILIES as CLASSIFIERS
from tests.pipeline.models.test_onnx_files import EMBEDDERS


def write_checkpoint(folder: Path, family: str) -> None:
    """A small random checkpoint of a family."""
    if family in EMBEDDERS:
        write_small_embedder(folder, family)
        return
    if family in NAMES:
        write_small(folder, family, random_model(family))
        return
    torch.manual_seed(0)
    CLASSIFIERS[family][0]().save_pretrained(folder)
    pixels = {"size": {"shortest_edge": 32}, "crop_size": 32, "image_mean": [0.5] * 3, "image_std": [0.25] * 3}
    (folder / "preprocessor_config.json").write_text(json.dumps(pixels))


def by_torch_export(folder: Path, path: Path) -> float:
    """Write the vision part over torch.export; the largest difference."""
    checkpoint = find_checkpoint(str(folder), "model")
    model: Any = (load_embedder if checkpoint.embedding_dim else load_classifier)(checkpoint, "fp32", "onnx")
    module = ClipEmbeddings(model) if checkpoint.embedding_dim else model.module()
    shown = model.preprocessing.input
    pixels = torch.randn(3, shown.num_frames, 3, *shown.geometry.size)
    with contextlib.redirect_stdout(io.StringIO()), torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sizes = ({0: torch.export.Dim("batch", min=1)},)
        torch.onnx.export(
            module.eval(),
            (pixels,),
            str(path),
            input_names=["pixels"],
            dynamic_shapes=sizes,
            opset_version=OPSET,
            external_data=False,
            verbose=False,
            dynamo=True,
        )
        session = open_session(path, 1)
        return max(
            float(np.abs(session.run(None, {"pixels": batch.numpy()})[0] - module(batch).numpy()).max())
            for batch in (pixels[:1], pixels)
        )


def main() -> None:
    """Measure, print."""
    logging.disable(logging.WARNING)
    make_small(pytest.MonkeyPatch())
    torch.set_num_threads(1)
    both = find_spec("onnxscript") is not None
    print(f"{'family':<18}{'difference':>12}{'texts':>10}{'seconds':>9}" + both * f"{'torch.export':>15}{'seconds':>9}")
    for family in (*CLASSIFIERS, *NAMES, *EMBEDDERS):
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch, "model")
            write_checkpoint(folder, family)
            began = time.perf_counter()
            clips, *texts = export_onnx(str(folder), Path(scratch, "model.onnx"))
            took_s = time.perf_counter() - began
            of_texts = f"{texts[0].difference:10.1e}" if texts else f"{'':>10}"
            print(f"{family:<18}{clips.difference:12.1e}{of_texts}{took_s:9.1f}", end="", flush=True)
            if both:
                began = time.perf_counter()
                difference = by_torch_export(folder, Path(scratch, "other.onnx"))
                print(f"{difference:15.1e}{time.perf_counter() - began:9.1f}", end="")
            print(flush=True)


if __name__ == "__main__":
    main()
