"""Chooses how PyTorch runs a model's forward pass on a device."""

from __future__ import annotations

from typing import Any

import torch

from pipeline.models.runtimes.cuda_graphs import CudaGraphed, Forward
from pipeline.models.runtimes.micro_batches import MicroBatched


def choose_runtime(forward: Forward, device: torch.device, config: Any, *, cuda_graphs: bool) -> Forward:
    """The fastest way to run ``forward``, with the same results.

    Args:
        forward: pixels [batch, num_frames, 3, height, width] -> tensors whose first dimension is the batch or a multiple.
        device: where it computes.
        config: the vision model's transformers configuration.
        cuda_graphs: whether it can be recorded (`ModelFamily.cuda_graphs`).

    Returns:
        Micro-batches on a CPU; CUDA graphs on a GPU where it can be recorded; else ``forward`` itself.
    """
    if device.type == "cpu":
        return MicroBatched(forward, config)
    return CudaGraphed(forward) if cuda_graphs else forward
