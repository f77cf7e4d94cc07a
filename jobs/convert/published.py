"""Reads the tensors of a published checkpoint: a file that ``torch.save`` wrote.

This is the one place where vidsift reads weights that are not safetensors. Such a file is a pickle, which can name any code
to run. PyTorch's ``weights_only`` reader runs none: it knows tensors, numbers, texts and containers, and refuses whatever
else a file names.
"""

from __future__ import annotations

import argparse
import re
import warnings
import zipfile
from collections.abc import Mapping
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch

from schemas.errors import UsageError

# The largest known one, VideoMAE v2's ViT-giant, has a billion weights: 4 GB.
MAX_BYTES = 16_000_000_000

# What the tensors lie in, in files that hold more than them.
_WRAPPERS = ("state_dict", "model_state", "model_state_dict", "model", "module")
_MAX_WRAPPERS = 4
# What training in parallel or compiling puts before all names.
_PREFIXES = ("module.", "_orig_mod.", "model.")
_NAMED = re.compile(r"GLOBAL ([\w.]+)")


def read_published(file: Path, argument: str = "file") -> dict[str, torch.Tensor]:
    """The tensors of a checkpoint by name, without what they were wrapped in.

    Args:
        file: as ``torch.save`` wrote it: tensors by name, alone or as ``state_dict``, ``model_state``, ``model`` or
            ``module``; ``module.`` and the like before all names is taken off.
        argument: the argument that named it, for messages.

    Raises:
        UsageError: it is no such file, larger than `MAX_BYTES`, damaged, or names code to run; or a tensor in it holds
            infinities or no numbers.
    """
    refuse = partial(UsageError, argument=argument, value=file)
    _check_bytes(file, refuse)
    try:
        # A Namespace is a plain bag of options, which many files have.
        with warnings.catch_warnings(action="ignore"), torch.serialization.safe_globals([argparse.Namespace]):
            content = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as exc:
        raise refuse(_why_not(exc)) from exc
    tensors = _without_prefix(_unwrapped(content, refuse))
    broken = [name for name, tensor in tensors.items() if tensor.is_floating_point() and not tensor.isfinite().all()]
    if broken:
        raise refuse(f"{len(broken)} tensors hold values that are no numbers ({broken[0]}); get the file again")
    return tensors


def file_sha256(file: Path) -> str:
    """SHA-256 of a file."""
    digest = sha256()
    with file.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def _check_bytes(file: Path, refuse: Any) -> None:
    """Refuse what is no file, or would not fit into memory, before it is read."""
    if not file.is_file():
        raise refuse("is not a file; give a checkpoint that torch.save wrote, such as r3d_18-b3b3357e.pth")
    size = file.stat().st_size
    if zipfile.is_zipfile(file):
        try:
            with zipfile.ZipFile(file) as archive:  # of which torch never compresses a part, but another program could
                size = max(size, sum(part.file_size for part in archive.infolist()))
        except Exception as exc:  # what a damaged list of parts raises is of many kinds
            raise refuse(_why_not(exc)) from exc
    if size > MAX_BYTES:
        raise refuse(f"holds {size / 1e9:.1f} GB, expected at most {MAX_BYTES / 1e9:g}; give a file of weights alone")


def _why_not(exc: Exception) -> str:
    """A sentence about what PyTorch refused, whose own message explains how to run the code all the same."""
    if named := _NAMED.search(str(exc)):
        return (
            f"names code to run ({named[1]}), which vidsift never does; expected tensors by name alone. Get another "
            "file, or load it where you trust it, and save its state_dict()"
        )
    return (
        f"cannot be read as a checkpoint of PyTorch ({type(exc).__name__}): it is another kind of file, or cut short; get "
        "it again, or save its state_dict()"
    )


def _unwrapped(content: Any, refuse: Any) -> dict[str, torch.Tensor]:
    """The tensors within what the file holds."""
    for _ in range(_MAX_WRAPPERS):
        if not isinstance(content, Mapping):
            break
        inner = next((name for name in _WRAPPERS if isinstance(content.get(name), Mapping)), None)
        if inner is None:
            break
        content = content[inner]
    if not isinstance(content, Mapping) or not content:
        raise refuse(f"holds a {type(content).__name__}, expected tensors by name, or these as {', '.join(_WRAPPERS)}")
    others = [str(name) for name, value in content.items() if not (isinstance(name, str) and _is_plain(value))]
    if others:
        raise refuse(
            f"holds {len(others)} values that are no plain tensors ({', '.join(others[:3])}); save its state_dict() alone"
        )
    return dict(content)


def _is_plain(value: Any) -> bool:
    """Whether it is a tensor with a value for each of its elements: one value shown as many takes no room in a file."""
    if not isinstance(value, torch.Tensor) or value.layout is not torch.strided or value.is_quantized or value.is_meta:
        return False
    return value.numel() * value.element_size() <= value.untyped_storage().nbytes()


def _without_prefix(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    while prefix := next((one for one in _PREFIXES if all(name.startswith(one) for name in tensors)), None):
        tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    return tensors
