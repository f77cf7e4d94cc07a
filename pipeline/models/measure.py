"""The cost of a model's forward pass over a clip, by its configuration alone: with random weights, so nothing is fetched."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoConfig, AutoModel, AutoModelForVideoClassification

from pipeline.models.attention import attention_for
from pipeline.models.known import KnownModel
from pipeline.models.loading import use_faster_fp32
from pipeline.models.pixels import best_device, choose_dtype
from pipeline.models.registry import forward_of
from pipeline.models.runtimes.choose import choose_runtime

_MIN_S = 2.0  # seconds to measure for


class Cost(NamedTuple):
    """The cost of a model's forward pass over clips.

    Attributes:
        gflops: billions of multiply-adds a clip, which papers call GFLOPs.
        parameters: number of weights, of the text model too.
        clips_per_s: clips that this process computes in a second, on the device and in the precision of an ingest.
    """

    gflops: float
    parameters: int
    clips_per_s: float


def measure(known: KnownModel) -> Cost:
    """The cost of a known model whose `KnownModel.shape` is known.

    Raises:
        ValueError: its shape is not known.
    """
    if known.shape is None:
        raise ValueError(f"the shape of {known.name} is not known here")
    config = AutoConfig.for_model(known.model_type, **known.shape)
    size, forward = _picture_size(config), forward_of(known.role, known.model_type)
    device = best_device()
    dtype = choose_dtype("auto", device)
    if dtype == torch.float32 and device.type == "cpu":
        use_faster_fp32()
    with torch.device(device):
        model = _model(known, config, dtype).requires_grad_(False)
        pixels = torch.randn(8, known.num_frames, 3, *size, dtype=dtype)
    usual = attention_for(device, dtype) or model.config._attn_implementation
    model.set_attn_implementation("eager")  # fused kernels are not counted
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        forward(model, pixels[:1])
    model.set_attn_implementation(usual)
    vision = getattr(model.config, "vision_config", model.config)
    run = choose_runtime(lambda pixels: forward(model, pixels), device, vision, cuda_graphs=False)
    parameters = sum(weights.numel() for weights in model.parameters())
    return Cost(counter.get_total_flops() / 2e9, parameters, _clips_per_s(run, pixels))


def _model(known: KnownModel, config: Any, dtype: torch.dtype) -> Any:
    auto_class: Any = AutoModelForVideoClassification if known.role == "classifier" else AutoModel
    return auto_class.from_config(config, dtype=dtype).eval()


def _picture_size(config: Any) -> tuple[int, int]:
    """(height, width) of the pictures that a model with this configuration takes."""
    vision = getattr(config, "vision_config", config)
    side = getattr(vision, "image_size", None)
    if side is None:  # pictures of any shape: a square of as many patches as were trained for
        side = round(vision.num_patches**0.5) * vision.patch_size
    return (side, side) if isinstance(side, int) else (side[0], side[1])


def _clips_per_s(run: Any, pixels: torch.Tensor) -> float:
    """After one pass that does not count, for `_MIN_S` seconds or one pass, whichever is longer."""
    with torch.inference_mode():
        run(pixels[:1])
        begun, clips = time.perf_counter(), 0
        while (elapsed := time.perf_counter() - begun) < _MIN_S:
            run(pixels)
            if pixels.device.type == "cuda":
                torch.cuda.synchronize(pixels.device)
            clips += len(pixels)
    return clips / elapsed
