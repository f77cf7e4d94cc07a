"""From uint8 frames to a model's pixels, as one vectorised step on the model's device; and the choice of that device."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.models.preprocessing import Preprocessing
from schemas.options import Precision


def best_device() -> torch.device:
    """The GPU that this process was given, else the CPU."""
    return torch.device("cuda") if torch.cuda.is_available() else torch.device("cpu")


def choose_dtype(precision: Precision, device: torch.device) -> torch.dtype:
    """What ``precision`` means on ``device``: ``auto`` is bf16 where the hardware multiplies in it, else fp32."""
    if precision == "auto":
        if device.type == "cuda":
            precision = "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
        else:
            # mkldnn says so only for CPUs with AVX-512 BF16 or AMX; elsewhere bf16 is emulated and slower than fp32.
            precision = "bf16" if torch.ops.mkldnn._is_mkldnn_bf16_supported() and _cpu_has_bf16() else "fp32"
    return torch.bfloat16 if precision == "bf16" else torch.float32


def _cpu_has_bf16() -> bool:
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") or capabilities.get("bf16"))


def make_pixels(
    frames: NDArray[np.uint8], preprocessing: Preprocessing, device: torch.device, dtype: torch.dtype
) -> torch.Tensor:
    """Normalise frames that are already in the model's geometry.

    Args:
        frames: uint8 [batch, num_frames, height, width, 3].
        preprocessing: gain and shift per channel.
        device: where to compute; the frames travel as uint8.
        dtype: of the result; the arithmetic itself is fp32.

    Returns:
        [batch, num_frames, 3, height, width] on ``device``.
    """
    return normalise(torch.from_numpy(frames).to(device), preprocessing, dtype)


def normalise(frames: torch.Tensor, preprocessing: Preprocessing, dtype: torch.dtype) -> torch.Tensor:
    """The second half of `make_pixels`, where ``frames`` are: uint8 [batch, num_frames, height, width, 3]."""
    gain, shift = _affine(preprocessing.gain, preprocessing.shift, frames.device)
    return frames.permute(0, 1, 4, 2, 3).float().mul_(gain).add_(shift).to(dtype).contiguous()


@lru_cache(maxsize=8)
def _affine(gain: tuple[float, ...], shift: tuple[float, ...], device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Both as [3, 1, 1]: kept, since each copy to a GPU waits for what that has to do."""
    with torch.inference_mode(False):  # kept for those too who train
        return tuple(torch.tensor(values, device=device).view(3, 1, 1) for values in (gain, shift))  # type: ignore[return-value]


class Sender:
    """Sends frames to a device beside what that computes."""

    def __init__(self, device: torch.device) -> None:
        """One stream for all that is sent, apart from the one that computes."""
        self._device = device
        self._stream = None
        if device.type == "cuda":
            # Of another priority, since streams of one come from a small pool, from which graphs take theirs.
            self._stream = torch.cuda.Stream(device, priority=-1)  # type: ignore[no-untyped-call]

    def send(self, frames: Sequence[NDArray[np.uint8]]) -> Callable[[], torch.Tensor]:
        """Put a batch on its way: clips' uint8 [num_frames, height, width, 3], all of one shape.

        Returns:
            What gives uint8 [batch, num_frames, height, width, 3] on the device, and there makes what is computed next wait
            for it.
        """
        # From memory that is not pinned, a copy would wait for the GPU, and the GPU for it.
        stacked = torch.empty((len(frames), *frames[0].shape), dtype=torch.uint8, pin_memory=self._stream is not None)
        np.stack(frames, out=stacked.numpy())
        if self._stream is None:
            return lambda: stacked
        with torch.cuda.stream(self._stream):
            sent = stacked.to(self._device, non_blocking=True)
            on_its_way = self._stream.record_event()

        def arrived() -> torch.Tensor:
            computing = torch.cuda.current_stream(self._device)
            computing.wait_event(on_its_way)
            sent.record_stream(computing)  # or its memory could be taken for the next batch while this one is computed
            return sent

        return arrived
