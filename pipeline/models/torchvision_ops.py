"""Lets torchvision be imported beside a PyTorch that its compiled library was not built for.

torchvision's wheel is linked against CUDA. Beside a PyTorch for CPUs its library does not load, and then
``import torchvision`` fails, since it describes two operators of that library that nobody has defined. transformers imports
torchvision by itself wherever it is installed, so its models could not be imported either. Here the two operators get a name
and a signature: torchvision's Python code then works, and only calling the operators fails.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

# What torchvision imports right after it has tried to load its library; it describes the operators.
_DESCRIBES = "torchvision._meta_registrations"
_OPERATORS = ("nms", "qnms")
_SIGNATURE = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"

_kept: list[Any] = []  # an operator is forgotten with the library object that defined it


def define_missing_operators() -> list[str]:
    """Define those of torchvision's operators that it cannot be imported without, and return their names.

    None are missing where torchvision's library was loaded before.
    """
    import torch

    missing = [name for name in _OPERATORS if not hasattr(torch.ops.torchvision, name)]
    if missing:
        library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
        for name in missing:
            library.define(f"{name}{_SIGNATURE}")  # type: ignore[no-untyped-call]
        _kept.append(library)
    return missing


class _BeforeDescriptions(MetaPathFinder):
    """Finds no module; is asked for each one that is imported, and so knows when torchvision has tried its library."""

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if fullname == _DESCRIBES:
            define_missing_operators()
        return None


def watch_imports() -> None:
    """From now on, an ``import torchvision`` in this process defines the operators that it lacks; imports nothing itself."""
    if not any(isinstance(finder, _BeforeDescriptions) for finder in sys.meta_path):
        sys.meta_path.insert(0, _BeforeDescriptions())
