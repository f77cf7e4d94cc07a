from __future__ import annotations

import torch
from transformers import VideoMAEConfig

from pipeline.models.runtimes.choose import choose_runtime
from pipeline.models.runtimes.cuda_graphs import CudaGraphed
from pipeline.models.runtimes.micro_batches import MicroBatched


def forward(pixels: torch.Tensor) -> tuple[torch.Tensor]:
    return (pixels.sum((1, 2, 3, 4)),)


def test_a_gpu_records_only_what_a_family_says_is_safe() -> None:
    config, cpu, gpu = VideoMAEConfig(), torch.device("cpu"), torch.device("cuda")
    assert isinstance(choose_runtime(forward, cpu, config, cuda_graphs=True), MicroBatched)
    assert isinstance(choose_runtime(forward, gpu, config, cuda_graphs=True), CudaGraphed)
    assert choose_runtime(forward, gpu, config, cuda_graphs=False) is forward
