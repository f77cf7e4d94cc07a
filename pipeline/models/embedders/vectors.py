"""Embeddings as an `Embedder` returns them."""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray


def unit_vectors(vectors: torch.Tensor) -> NDArray[np.float32]:
    """[n, dim] on any device and of any dtype -> float32 [n, dim] on the CPU, L2-normalised."""
    return cast("NDArray[np.float32]", torch.nn.functional.normalize(vectors.float(), dim=-1).cpu().numpy())
