"""Makes a model's pixels from uint8 frames in one vectorised step on its device; chooses device and precision."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.models.preprocessing import Preprocessing
from schemas.options import Precision


def best_device() -> torch.device:
    """The GPU that this process may use, else the CPU."""
    return torch.device("cuda") if torch.cuda.is_available() else torch.device("cpu")


def choose_dtype(precision: Precision, device: torch.device) -> torch.dtype:
    """The dtype that ``precision`` means on ``device``: ``auto`` is bf16 where the hardware multiplies in it, else fp32."""
    if precision == "auto":
        if device.type == "cuda":
            precision = "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
        else:
            # True only on CPUs with AVX-512 BF16 or AMX; elsewhere bf16 is emulated and slower than fp32.
            precision = "bf16" if torch.ops.mkldnn._is_mkldnn_bf16_supported() and _cpu_has_bf16() else "fp32"
    return torch.bfloat16 if precision == "bf16" else torch.float32


def _cpu_has_bf16() -> bool:
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") or capabilities.get("bf16"))


def make_pixels(
    frames: NDArray[np.uint8], preprocessing: Preprocessing, device: torch.device, dtype: torch.dtype
) -> torch.Tensor:
    """Copy frames that are already in the model's geometry to its device, and normalise them there.

    Args:
        frames: uint8 [batch, num_frames, height, width, 3].
        preprocessing: gain and shift per channel.
        device: where to compute; the frames are copied there as uint8.
        dtype: of the result; the arithmetic is in fp32.

    Returns:
        [batch, num_frames, 3, height, width] on ``device``.
    """
    return normalise(torch.from_numpy(frames).to(device), preprocessing, dtype)


def normalise(frames: torch.Tensor, preprocessing: Preprocessing, dtype: torch.dtype) -> torch.Tensor:
    """The second half of `make_pixels`, for uint8 [batch, num_frames, height, width, 3] that are on the device already."""
    gain, shift = _affine(preprocessing.gain, preprocessing.shift, frames.device)
    return frames.permute(0, 1, 4, 2, 3).float().mul_(gain).add_(shift).to(dtype).contiguous()


@lru_cache(maxsize=8)
def _affine(gain: tuple[float, ...], shift: tuple[float, ...], device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Gain and shift as [3, 1, 1] on the device. They are kept, since a copy to a GPU waits until it is idle."""
    with torch.inference_mode(False):  # training uses the kept tensors too
        return tuple(torch.tensor(values, device=device).view(3, 1, 1) for values in (gain, shift))  # type: ignore[return-value]


class Sender:
    """Copies frames to a device while it computes."""

    def __init__(self, device: torch.device) -> None:
        """Open a stream for the copies, apart from the one that computes."""
        self._device = device
        self._stream = None
        if device.type == "cuda":
            # Of another priority: streams of the same one come from a small pool that CUDA graphs take theirs from.
            self._stream = torch.cuda.Stream(device, priority=-1)  # type: ignore[no-untyped-call]

    def send(self, frames: Sequence[NDArray[np.uint8]]) -> Callable[[], torch.Tensor]:
        """Start to copy a batch.

        Args:
            frames: each clip's uint8 [num_frames, height, width, 3], all of one shape.

        Returns:
            A function that gives uint8 [batch, num_frames, height, width, 3] on the device. What is computed there after the
            call waits for the copy; the caller does not.
        """
        # A copy from memory that is not pinned waits for the GPU, and the GPU for the copy.
        stacked = torch.empty((len(frames), *frames[0].shape), dtype=torch.uint8, pin_memory=self._stream is not None)
        np.stack(frames, out=stacked.numpy())
        if self._stream is None:
            return lambda: stacked
        with torch.cuda.stream(self._stream):
            sent = stacked.to(self._device, non_blocking=True)
            copied = self._stream.record_event()

        def wait_for_copy() -> torch.Tensor:
            computing = torch.cuda.current_stream(self._device)
            computing.wait_event(copied)
            sent.record_stream(computing)  # else the next batch could take its memory while this one is computed
            return sent

        return wait_for_copy
