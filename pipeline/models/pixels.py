"""From uint8 frames to a model's pixels, as one vectorised step on the model's device; and the choice of that device."""

from __future__ import annotations

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
    source = torch.from_numpy(frames)
    if device.type == "cuda":
        source = source.pin_memory()  # else the copy waits for the GPU, and the GPU for it
    pixels = source.to(device, non_blocking=True).permute(0, 1, 4, 2, 3).float()
    gain = torch.tensor(preprocessing.gain, device=device).view(3, 1, 1)
    shift = torch.tensor(preprocessing.shift, device=device).view(3, 1, 1)
    return pixels.mul_(gain).add_(shift).to(dtype).contiguous()
