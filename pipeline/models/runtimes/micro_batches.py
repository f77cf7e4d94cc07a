"""Runs forward passes on a CPU in micro-batches: as many clips at a time as its caches hold."""

from __future__ import annotations

import math
from typing import Any

import torch

from pipeline.models.runtimes.cuda_graphs import Forward

# Values in one layer's hidden state: a micro-batch is 1 clip of VideoMAE-base, which has 1,568 patches of width 768, or 4 of
# X-CLIP base/32. On a core with AMX, VideoMAE-base computes 1.87 clips a second one at a time and 1.64 four at a time.
# X-CLIP computes 7.2 one at a time, 9.5 four and 6.4 eight. Without AMX, all are equally fast (python -m benchmarks.models).
_MAX_HIDDEN_VALUES = 1_250_000


class MicroBatched:
    """A forward pass over any number of clips, one micro-batch after the other."""

    def __init__(self, forward: Forward, config: Any) -> None:
        """``config`` is the vision model's transformers configuration."""
        self._forward, self._config = forward, config

    def __call__(self, pixels: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The forward pass's outputs for ``pixels``, [batch, num_frames, 3, height, width]."""
        micro_batches = torch.split(pixels, max(1, _MAX_HIDDEN_VALUES // self._hidden_values_per_clip(pixels)))
        if len(micro_batches) == 1:
            return self._forward(pixels)
        return tuple(torch.cat(outputs) for outputs in zip(*map(self._forward, micro_batches), strict=True))

    def _hidden_values_per_clip(self, pixels: torch.Tensor) -> int:
        """Number of patches (or tubelets, which span frames) times the hidden width."""
        _, num_frames, _, height, width = pixels.shape
        patch, tubelet = (getattr(self._config, name, 1) for name in ("patch_size", "tubelet_size"))
        if isinstance(tubelet, int):
            volume = tubelet * (patch**2 if isinstance(patch, int) else math.prod(patch))
        else:  # of frames, height and width
            volume = math.prod(tubelet)
        return int(max(1, num_frames * height * width // volume) * getattr(self._config, "hidden_size", 1))
