"""Load a transformers model the safe way: from disk, safetensors only, no code from the checkpoint."""

from __future__ import annotations

from typing import Any

import torch
import transformers

from pipeline.models.attention import attention_for
from pipeline.models.pixels import best_device, choose_dtype
from pipeline.models.runtimes.cuda_graphs import move_unregistered_tensors
from schemas.errors import ModelError
from schemas.models import Checkpoint
from schemas.options import Precision

transformers.utils.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()


def first_line(exc: Exception) -> str:
    """An error's message, cut to one line; its kind where it has none."""
    return (str(exc).strip() or type(exc).__name__).splitlines()[0]


def use_faster_fp32() -> None:
    """Let oneDNN multiply fp32 matrices instead of MKL, in this process: twice as fast on AMD, and fp32 all the same.

    PyTorch does so where bf16 would be allowed. Processors with AMX would really compute in bf16, and are left out, as are
    those that are no x86.
    """
    capabilities = torch.cpu.get_capabilities()
    if capabilities.get("architecture") == "x86_64" and not capabilities.get("amx_bf16"):
        torch.set_float32_matmul_precision("medium")


def load_pretrained(
    auto_class: Any,
    checkpoint: Checkpoint,
    precision: Precision,
    option: str,
    *,
    config: Any = None,
    device: torch.device | None = None,
) -> tuple[Any, torch.device, torch.dtype]:
    """The model in evaluation mode on ``device``, or on the best one; that device; and the model's dtype.

    ``config`` is for less of a model than the checkpoint's own says: weights that it has no place for are not read.

    Raises:
        ModelError: transformers cannot make ``auto_class`` of these files, or weights are missing from them.
    """
    device = device or best_device()
    dtype = choose_dtype(precision, device)
    attention = attention_for(device, dtype)
    if dtype == torch.float32:
        if device.type == "cpu":
            use_faster_fp32()
        torch.backends.cudnn.allow_tf32 = False  # 10 bits of mantissa, where fp32 has 23
    try:
        model, report = auto_class.from_pretrained(
            checkpoint.folder,
            config=config,
            dtype=dtype,
            attn_implementation=attention,
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
            output_loading_info=True,
        )
    except Exception as exc:
        raise ModelError(
            f"{option} {checkpoint.name}: transformers cannot load it as a model of type {checkpoint.model_type!r}: "
            f"{first_line(exc)}"
        ) from exc
    if report["missing_keys"]:
        raise ModelError(
            f"{option} {checkpoint.name}: its weights lack {len(report['missing_keys'])} tensors that the model needs "
            f"({', '.join(sorted(report['missing_keys'])[:3])}, ...), which would be random; give a fine-tuned checkpoint"
        )
    move_unregistered_tensors(model, device)
    return model.to(device).eval(), device, dtype
