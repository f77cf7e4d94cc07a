"""Forward passes on a GPU as CUDA graphs: recorded once for each size of batch, then played back in one call.

Python starts the hundreds of kernels of VideoMAE-base and of X-CLIP base/32 one by one, and where batches are small a GPU is
through with them sooner than Python is. A graph starts them all at once, and they are the same kernels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch

Forward = Callable[[torch.Tensor], tuple[torch.Tensor, ...]]

# Classifiers whose forward passes ask the host for nothing, which no graph could hold. Others run as they are.
RECORDABLE = frozenset({"videomae", "timesformer", "vivit", "vjepa2"})

# What runs before a recording, so that libraries have chosen their kernels and taken their memory.
_WARM_UP = 3


class Recording(NamedTuple):
    """One size of batch.

    Attributes:
        pixels: where the recorded pass reads [size, num_frames, 3, height, width].
        replay: runs it.
        outputs: where it writes; the length of each is a multiple of the size.
    """

    pixels: torch.Tensor
    replay: Callable[[], None]
    outputs: tuple[torch.Tensor, ...]


class CudaGraphed:
    """A forward pass that is recorded when a size of batch is met again. One thread at a time may call it."""

    def __init__(self, forward: Forward, record: Callable[[Forward, torch.Tensor], Recording] | None = None) -> None:
        """``record`` makes a recording of zeros like the pixels it is shown; None makes a CUDA graph."""
        self._forward, self._record = forward, record or _GraphRecorder()
        self._met: set[int] = set()
        self._recordings: dict[int, Recording | None] = {}

    def __call__(self, pixels: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """What the forward pass gives for ``pixels``, [batch, num_frames, 3, height, width]: of one shape each."""
        batch = len(pixels)
        size = round_up(batch)
        if size not in self._met:  # a recording takes several passes, which one clip that is searched for is not worth
            self._met.add(size)
            return self._forward(pixels)
        if size not in self._recordings:
            try:
                self._recordings[size] = self._record(self._forward, pixels.new_zeros(size, *pixels.shape[1:]))
            except RuntimeError:  # no room for it, or something that a graph cannot hold: it can still be computed
                self._recordings[size] = None
        recording = self._recordings[size]
        if recording is None:
            return self._forward(pixels)
        recording.pixels[:batch].copy_(pixels)
        recording.replay()
        return tuple(output[: len(output) // size * batch].clone() for output in recording.outputs)


def round_up(batch: int) -> int:
    """The size that a batch is filled up to, so that there are few recordings: 1, 2, 4, 8, and then each multiple of 8."""
    return 1 << (batch - 1).bit_length() if batch < 8 else -(-batch // 8) * 8


class _GraphRecorder:
    """Makes CUDA graphs that share the memory of what is between their inputs and outputs, since one at a time is played."""

    def __init__(self) -> None:
        self._aside: Any = None
        self._pool: Any = None

    def __call__(self, forward: Forward, pixels: torch.Tensor) -> Recording:
        here = torch.cuda.current_stream(pixels.device)
        self._aside = self._aside or torch.cuda.Stream(pixels.device)  # type: ignore[no-untyped-call]
        self._aside.wait_stream(here)
        with torch.cuda.stream(self._aside):
            for _ in range(_WARM_UP):
                forward(pixels)
        here.wait_stream(self._aside)
        graph, pool = torch.cuda.CUDAGraph(), self._pool or torch.cuda.graph_pool_handle()
        with (
            torch.cuda.stream(here),  # or a capture that fails would leave this thread on the stream of captures
            # Another thread may meanwhile be sending the next batch's frames, which is no part of this.
            torch.cuda.graph(graph, pool=pool, stream=self._aside, capture_error_mode="thread_local"),
        ):
            outputs = forward(pixels)
        self._pool = pool
        return Recording(pixels, graph.replay, outputs)


def move_unregistered_tensors(model: torch.nn.Module, device: torch.device) -> None:
    """Move to ``device`` what a model computes with and does not itself count among its weights.

    VideoMAE's table of positions is such a tensor: left on the host, it is copied from there in every forward pass, which
    waits for all that the GPU has to do.
    """
    for module in model.modules():
        for name, value in vars(module).items():
            if isinstance(value, torch.Tensor):
                setattr(module, name, value.to(device))
