"""The cost of a model's forward pass over a clip, by its configuration alone: with random weights, so nothing is fetched."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoConfig, AutoModel, AutoModelForVideoClassification
from transformers.initialization import no_init_weights

from pipeline.models.attention import attention_for
from pipeline.models.known import KnownModel
from pipeline.models.loading import use_faster_fp32
from pipeline.models.pixels import best_device, choose_dtype
from pipeline.models.registry import forward_of
from pipeline.models.runtimes.choose import choose_runtime

_MIN_S = 2.0  # seconds to measure for
_MOST_CLIPS = 8  # at a time

# With more weights, a model is not timed on a CPU, where a clip would take a minute.
MAX_WEIGHTS_ON_CPU = 1_000_000_000

# Number of random values that weights are made of, over and over.
_POOL = 1 << 20


class Cost(NamedTuple):
    """The cost of a model's forward pass over clips.

    Attributes:
        gflops: billions of multiply-adds a clip, which papers call GFLOPs.
        parameters: number of weights, of the text model too.
        clips_per_s: clips that this process computes in a second, on the device and in the precision of an ingest; None
            where it has more than `MAX_WEIGHTS_ON_CPU` weights and there is no GPU.
    """

    gflops: float
    parameters: int
    clips_per_s: float | None


def measure(known: KnownModel) -> Cost:
    """The cost of a known model whose `KnownModel.shape` is known.

    Raises:
        ValueError: its shape is not known.
    """
    if known.shape is None:
        raise ValueError(f"the shape of {known.name} is not known here")
    config = AutoConfig.for_model(known.model_type, **known.shape)
    size, forward = known.picture or _picture_size(config), forward_of(known.role, known.model_type)
    device = best_device()
    dtype = choose_dtype("auto", device)
    if dtype == torch.float32 and device.type == "cpu":
        use_faster_fp32()
    with torch.device(device):
        model = empty_model(known, config, dtype)
        pixels = torch.rand(_MOST_CLIPS, known.num_frames, 3, *size, dtype=dtype)
    usual = attention_for(device, dtype) or model.config._attn_implementation
    model.set_attn_implementation("eager")  # fused kernels are not counted
    with torch.no_grad(), _NothingMultiplied(), FlopCounterMode(display=False) as counter:  # type: ignore[no-untyped-call]
        forward(model, pixels[:1])
    model.set_attn_implementation(usual)
    gflops, parameters = counter.get_total_flops() / 2e9, sum(weights.numel() for weights in model.parameters())
    if device.type == "cpu" and parameters > MAX_WEIGHTS_ON_CPU:
        return Cost(gflops, parameters, None)
    fill_weights(model)
    vision = getattr(model.config, "vision_config", model.config)
    run = choose_runtime(lambda pixels: forward(model, pixels), device, vision, cuda_graphs=False)
    return Cost(gflops, parameters, _clips_per_s(run, pixels))


def empty_model(known: KnownModel, config: Any, dtype: torch.dtype) -> Any:
    """A model whose weights are memory as it was found, which costs nothing; its buffers are as they should be."""
    auto_class: Any = AutoModelForVideoClassification if known.role == "classifier" else AutoModel
    with no_init_weights():
        return auto_class.from_config(config, dtype=dtype).eval().requires_grad_(False)


def fill_weights(model: torch.nn.Module) -> None:
    """Give a model weights that it computes with as with real ones: no infinities, nothing too small for its dtype.

    The initialisation of large models takes longer than measuring them. Here matrices repeat a million random values, and
    vectors, such as the factors of norms, are 1.
    """
    pools: dict[torch.dtype, torch.Tensor] = {}
    with torch.no_grad():
        for weights in model.parameters():
            if weights.ndim < 2:
                weights.fill_(1)
                continue
            if weights.dtype not in pools:
                pools[weights.dtype] = torch.empty(_POOL, dtype=weights.dtype, device=weights.device).uniform_(-0.03, 0.03)
            for part in torch.split(weights.view(-1), _POOL):
                part.copy_(pools[weights.dtype][: len(part)])


class _NothingMultiplied(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Products of matrices and convolutions give zeros of the right shape at once, so that they can be counted for nothing.

    Unlike on the meta device, all else is computed, such as which tokens are those of pictures.
    """

    _PRODUCTS = frozenset(
        getattr(torch.ops.aten, name) for name in ("mm", "addmm", "bmm", "baddbmm", "convolution", "_convolution")
    )

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func.overloadpacket not in self._PRODUCTS:
            return func(*args, **(kwargs or {}))
        on_meta = tree_map_only(torch.Tensor, lambda tensor: tensor.to("meta"), (args, dict(kwargs or {})))
        shape = func(*on_meta[0], **on_meta[1])
        (first,) = [arg for arg in args if isinstance(arg, torch.Tensor)][:1]
        return torch.zeros(shape.shape, dtype=shape.dtype, device=first.device)


def _picture_size(config: Any) -> tuple[int, int]:
    """(height, width) of the pictures that a model with this configuration takes."""
    vision = getattr(config, "vision_config", config)
    side = getattr(vision, "image_size", None)
    if side is None:  # pictures of any shape: a square of as many patches as were trained for
        side = round(vision.num_patches**0.5) * vision.patch_size
    return (side, side) if isinstance(side, int) else (side[0], side[1])


def _clips_per_s(run: Callable[[torch.Tensor], object], pixels: torch.Tensor) -> float:
    """After one clip that does not count, for `_MIN_S` seconds or one pass, whichever is longer.

    Where a clip takes a second, passes are of one clip: what more of them at a time would gain is little by then.
    """
    with torch.inference_mode():
        begun = time.perf_counter()
        run(pixels[:1])
        _wait(pixels)
        batch = pixels if (time.perf_counter() - begun) * len(pixels) < 4 * _MIN_S else pixels[:1]
        begun, clips = time.perf_counter(), 0
        while (elapsed := time.perf_counter() - begun) < _MIN_S:
            run(batch)
            _wait(pixels)
            clips += len(batch)
    return clips / elapsed


def _wait(pixels: torch.Tensor) -> None:
    if pixels.device.type == "cuda":
        torch.cuda.synchronize(pixels.device)
