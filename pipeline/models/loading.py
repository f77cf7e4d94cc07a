"""Loads transformers models safely: from disk, safetensors only, no code from the checkpoint."""

from __future__ import annotations

from typing import Any

import torch
import transformers

from pipeline.models.attention import attention_for
from pipeline.models.pixels import best_device, choose_dtype
from schemas.errors import ModelError
from schemas.models import Checkpoint
from schemas.options import Precision

transformers.utils.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()


def first_line(exc: Exception) -> str:
    """The first line of an error's message; the name of its class where it has no message."""
    return (str(exc).strip() or type(exc).__name__).splitlines()[0]


def use_faster_fp32() -> None:
    """Let oneDNN multiply fp32 matrices instead of MKL, in this process: twice as fast on AMD, and still in fp32.

    PyTorch does so when bf16 is allowed for fp32 products. Processors with AMX would really compute in bf16, so they keep
    MKL, as do those that are not x86.
    """
    capabilities = torch.cpu.get_capabilities()
    if capabilities.get("architecture") == "x86_64" and not capabilities.get("amx_bf16"):
        torch.set_float32_matmul_precision("medium")


def use_exact_fp32(device: torch.device) -> None:
    """Let this process compute in fp32 as exactly as its name says on ``device``, and no slower than need be."""
    if device.type == "cpu":
        use_faster_fp32()
    torch.backends.cudnn.allow_tf32 = False  # 10 bits of mantissa, where fp32 has 23


def load_weights(
    auto_class: Any,
    checkpoint: Checkpoint,
    argument: str,
    *,
    dtype: torch.dtype,
    attention: str | None,
    may_be_new: tuple[str, ...] = (),
    advice: str = "give a fine-tuned checkpoint",
    **settings: Any,
) -> Any:
    """A transformers model with the checkpoint's weights, on the CPU.

    Args:
        auto_class: one of transformers' model classes.
        checkpoint: its files.
        argument: the argument that named it, for messages.
        dtype: of the weights.
        attention: the name of the attention implementation; None leaves the choice to transformers.
        may_be_new: beginnings of the names of tensors that the checkpoint may lack, such as a new head's.
        advice: ends the message about missing weights.
        settings: further arguments of ``from_pretrained``, and changes to the configuration such as ``id2label``.

    Raises:
        ModelError: transformers cannot make ``auto_class`` of these files, or weights are missing from them.
    """
    try:
        model, report = auto_class.from_pretrained(
            checkpoint.folder,
            dtype=dtype,
            attn_implementation=attention,
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
            output_loading_info=True,
            **settings,
        )
    except Exception as exc:
        raise cannot_load(checkpoint, argument, exc) from exc
    missing = sorted(key for key in report["missing_keys"] if not may_be_new or not key.startswith(may_be_new))
    if missing:
        raise ModelError(
            f"its weights lack {len(missing)} tensors that the model needs ({', '.join(missing[:3])}, ...), which would be "
            f"random; {advice}",
            argument=argument,
            value=checkpoint.name,
        )
    return model


def cannot_load(checkpoint: Checkpoint, argument: str, exc: Exception) -> ModelError:
    """The error for a checkpoint of which transformers cannot make a model."""
    return ModelError(
        f"transformers cannot load it as a model of type {checkpoint.model_type!r}: {first_line(exc)}",
        argument=argument,
        value=checkpoint.name,
    )


def load_pretrained(
    auto_class: Any,
    checkpoint: Checkpoint,
    precision: Precision,
    argument: str,
    *,
    config: Any = None,
    device: torch.device | None = None,
) -> tuple[Any, torch.device, torch.dtype]:
    """Load a transformers model to compute with.

    Args:
        auto_class: one of transformers' model classes.
        checkpoint: its files.
        precision: the floating-point type to compute in.
        argument: the argument that named it, for messages.
        config: replaces the checkpoint's configuration by one of a smaller model; weights that it has no place for are not
            read.
        device: where to compute; None takes `best_device`.

    Returns:
        The model in evaluation mode on its device; the device; the model's dtype.

    Raises:
        ModelError: transformers cannot make ``auto_class`` of these files, or weights are missing from them.
    """
    device = device or best_device()
    dtype = choose_dtype(precision, device)
    attention = attention_for(device, dtype)
    if dtype == torch.float32:
        use_exact_fp32(device)
    model = load_weights(auto_class, checkpoint, argument, dtype=dtype, attention=attention, config=config)
    move_unregistered_tensors(model, device)
    return model.to(device).eval(), device, dtype


def move_unregistered_tensors(model: torch.nn.Module, device: torch.device) -> None:
    """Move tensors to ``device`` that are plain attributes of modules, neither parameters nor buffers: ``to`` skips those.

    VideoMAE's table of positions is such a tensor. On the host, it would be copied to the GPU in every forward pass, which
    waits until the GPU is idle.
    """
    for module in model.modules():
        for name, value in vars(module).items():
            if isinstance(value, torch.Tensor):
                setattr(module, name, value.to(device))
