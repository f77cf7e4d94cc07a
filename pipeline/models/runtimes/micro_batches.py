"""Forward passes on a CPU, of as many clips at a time as its caches hold."""

from __future__ import annotations

import math
from typing import Any

import torch

from pipeline.models.runtimes.cuda_graphs import Forward

# Values of the hidden states of one pass: one clip of VideoMAE-base (1,568 patches of width 768), 4 of X-CLIP base/32. On a
# core with AMX VideoMAE-base does 1.87 clips a second one at a time, 1.64 four at a time; X-CLIP 7.2 one at a time, 9.5 four
# and 6.4 eight. On cores without it memory is fast enough for all of these (python -m benchmarks.models).
_VALUES = 1_250_000


class MicroBatched:
    """A forward pass over any number of clips, one piece after the other."""

    def __init__(self, forward: Forward, config: Any) -> None:
        """``config`` is the vision model's, as transformers has it."""
        self._forward, self._config = forward, config

    def __call__(self, pixels: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """What the forward pass gives for ``pixels``, [batch, num_frames, 3, height, width]."""
        pieces = torch.split(pixels, max(1, _VALUES // self._values(pixels)))
        if len(pieces) == 1:
            return self._forward(pixels)
        return tuple(torch.cat(outputs) for outputs in zip(*map(self._forward, pieces), strict=True))

    def _values(self, pixels: torch.Tensor) -> int:
        """Of a clip's hidden state: patches, each of them of some frames, times their width."""
        _, num_frames, _, height, width = pixels.shape
        patch, tubelet = (getattr(self._config, name, 1) for name in ("patch_size", "tubelet_size"))
        if isinstance(tubelet, int):
            volume = tubelet * (patch**2 if isinstance(patch, int) else math.prod(patch))
        else:  # of frames, height and width
            volume = math.prod(tubelet)
        return int(max(1, num_frames * height * width // volume) * self._config.hidden_size)
