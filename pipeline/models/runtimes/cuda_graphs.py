"""Runs forward passes on a GPU as CUDA graphs: recorded once for each batch size, then replayed in one call.

VideoMAE-base and X-CLIP base/32 have hundreds of kernels, which Python starts one by one. With small batches the GPU runs
them faster than Python starts them. A graph starts all of them at once, and they are the same kernels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch

Forward = Callable[[torch.Tensor], tuple[torch.Tensor, ...]]

# Passes before a recording, so that libraries have chosen their kernels and allocated their memory.
_NUM_WARM_UP_PASSES = 3


class Recording(NamedTuple):
    """A forward pass that was recorded for one batch size.

    Attributes:
        pixels: its input buffer, [size, num_frames, 3, height, width].
        replay: runs it.
        outputs: its output buffers; the length of each is a multiple of the size.
    """

    pixels: torch.Tensor
    replay: Callable[[], None]
    outputs: tuple[torch.Tensor, ...]


class CudaGraphed:
    """A forward pass that is recorded at the second batch of a size. Only one thread at a time may call it."""

    def __init__(self, forward: Forward, record: Callable[[Forward, torch.Tensor], Recording] | None = None) -> None:
        """Wrap a forward pass.

        Args:
            forward: pixels [batch, num_frames, 3, height, width] -> tensors, which may not depend on anything else.
            record: makes a recording with pixels like those it is given; None makes CUDA graphs.
        """
        self._forward, self._record = forward, record or _GraphRecorder()
        self._seen_sizes: set[int] = set()
        self._recordings: dict[int, Recording | None] = {}

    def __call__(self, pixels: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The forward pass's outputs for ``pixels``, [batch, num_frames, 3, height, width]; only batch may vary."""
        batch = len(pixels)
        size = round_up(batch)
        if size not in self._seen_sizes:  # a recording takes several passes, too many for a size that is met once
            self._seen_sizes.add(size)
            return self._forward(pixels)
        if size not in self._recordings:
            try:
                self._recordings[size] = self._record(self._forward, pixels.new_zeros(size, *pixels.shape[1:]))
            except RuntimeError:  # not enough memory, or an operation that a graph cannot hold: run this size unrecorded
                self._recordings[size] = None
        recording = self._recordings[size]
        if recording is None:
            return self._forward(pixels)
        recording.pixels[:batch].copy_(pixels)
        recording.replay()
        return tuple(output[: len(output) // size * batch].clone() for output in recording.outputs)


def round_up(batch: int) -> int:
    """The size that a batch is padded to, so that there are few recordings: 1, 2, 4, 8, then each multiple of 8."""
    return 1 << (batch - 1).bit_length() if batch < 8 else -(-batch // 8) * 8


class _GraphRecorder:
    """Makes CUDA graphs that share memory for intermediate values, since only one of them runs at a time."""

    def __init__(self) -> None:
        self._capture_stream: Any = None
        self._pool: Any = None

    def __call__(self, forward: Forward, pixels: torch.Tensor) -> Recording:
        current = torch.cuda.current_stream(pixels.device)
        self._capture_stream = self._capture_stream or torch.cuda.Stream(pixels.device)  # type: ignore[no-untyped-call]
        self._capture_stream.wait_stream(current)
        with torch.cuda.stream(self._capture_stream):
            for _ in range(_NUM_WARM_UP_PASSES):
                forward(pixels)
        current.wait_stream(self._capture_stream)
        graph, pool = torch.cuda.CUDAGraph(), self._pool or torch.cuda.graph_pool_handle()
        with (
            torch.cuda.stream(current),  # else a failed capture would leave this thread on the capture stream
            # Another thread may be copying the next batch's frames meanwhile, which must not count as an error.
            torch.cuda.graph(graph, pool=pool, stream=self._capture_stream, capture_error_mode="thread_local"),
        ):
            outputs = forward(pixels)
        self._pool = pool
        return Recording(pixels, graph.replay, outputs)
