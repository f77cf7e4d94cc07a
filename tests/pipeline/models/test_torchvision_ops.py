"""torchvision can be imported beside a PyTorch that its library was not built for. A stand-in has its order of imports."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
_DESCRIPTIONS = """
import torch
for name in ("nms", "qnms"):
    torch.library.register_fake(f"torchvision::{name}")(lambda dets, scores, iou_threshold: dets)
"""
_LIBRARY = """
import torch
library = torch.library.Library("torchvision", "DEF")
for name in ("nms", "qnms"):
    library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
"""


def run(code: str, *folders: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (*folders, ROOT)))}
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)


def stand_in(folder: Path, extension: str) -> Path:
    (folder / "torchvision").mkdir()
    for name, code in {
        "__init__": "import torch\nfrom . import extension\nfrom torchvision import _meta_registrations\n",
        "extension": extension,
        "_meta_registrations": _DESCRIPTIONS,
    }.items():
        (folder / "torchvision" / f"{name}.py").write_text(code, encoding="utf-8")
    return folder


def test_operators_that_its_library_did_not_bring_are_defined(tmp_path: Path) -> None:
    folder = stand_in(tmp_path, "")
    failed = run("import torchvision", folder)
    assert "operator torchvision::nms does not exist" in failed.stderr
    done = run("import pipeline.models, torchvision, torch; print(torch.ops.torchvision.nms.default._schema)", folder)
    assert done.stdout == "torchvision::nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor\n", done.stderr


def test_operators_of_its_library_are_left_alone(tmp_path: Path) -> None:
    code = "import pipeline.models.torchvision_ops as ops, torchvision; print(ops.define_missing_operators(), ops._kept)"
    done = run(code, stand_in(tmp_path, _LIBRARY))
    assert done.stdout == "[] []\n", done.stderr


def test_nothing_is_imported_for_it() -> None:
    done = run("import pipeline.models, sys; print({'torch', 'torchvision', 'transformers'} & set(sys.modules))")
    assert done.stdout == "set()\n", done.stderr


@pytest.mark.skipif(find_spec("torchvision") is None, reason="torchvision is not installed")
def test_the_real_one_is_imported_and_computes() -> None:
    code = """
import pipeline.models, torch, torchvision
video = torch.zeros(1, 3, 8, 32, 32)
print(torchvision.models.video.r3d_18(weights=None).eval()(video).shape)
"""
    done = run(code, *map(Path, filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))))
    assert done.stdout == "torch.Size([1, 400])\n", done.stderr
