"""The cost of a model's forward pass over a clip, by its configuration alone: with random weights, so nothing is fetched."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from typing import Any, NamedTuple

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoConfig, AutoModel, AutoModelForVideoClassification, PreTrainedModel
from transformers.initialization import no_init_weights

from pipeline.models.architectures import architecture_of
from pipeline.models.attention import attention_for
from pipeline.models.build import build, forward
from pipeline.models.classifiers.architecture import FIRST_LAYERS
from pipeline.models.families import family_of
from pipeline.models.known import KnownModel
from pipeline.models.loading import use_faster_fp32
from pipeline.models.pixels import best_device, choose_dtype
from pipeline.models.registry import loader_of
from pipeline.models.runtimes.choose import choose_runtime
from pipeline.models.runtimes.cuda_graphs import Forward

_MIN_S = 2.0  # seconds to measure for
_MOST_CLIPS = 8  # at a time

# With more weights that are multiplied, a model is not timed on a CPU, where a clip would take a minute.
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


class Network(NamedTuple):
    """A known model without weights, and what it takes.

    Attributes:
        model: the network; its weights are memory as it was found, which costs nothing, its buffers are as they should be.
        forward: what it says of clips, from pixels [batch, num_frames, 3, height, width].
        size: (height, width) of its pictures.
        vision: the part of its configuration that `pipeline.models.runtimes.choose.choose_runtime` reads.
    """

    model: Any
    forward: Forward
    size: tuple[int, int]
    vision: Any


def can_measure(known: KnownModel) -> bool:
    """Whether a model's shape is known, and what it needs beside vidsift's own dependencies is installed."""
    family = family_of(known.model_type)
    return known.shape is not None and all(find_spec(package) for package in (family.packages if family else ()))


def measure(known: KnownModel, clock: Callable[[], float] = time.perf_counter) -> Cost:
    """The cost of a known model that `can_measure` allows.

    Args:
        known: the model.
        clock: gives the seconds that ``clips_per_s`` is of; ``time.process_time`` on a machine that does other things too.

    Raises:
        ValueError: its shape is not known.
    """
    device = best_device()
    dtype = choose_dtype("auto", device)
    if dtype == torch.float32 and device.type == "cpu":
        use_faster_fp32()
    with torch.device(device):
        network = empty_network(known, dtype)
        pixels = torch.rand(_MOST_CLIPS, known.num_frames, 3, *network.size, dtype=dtype)
    model = network.model
    gflops, parameters = count_gflops(network, pixels[:1]), sum(weights.numel() for weights in model.parameters())
    if device.type == "cpu" and _multiplied_weights(model) > MAX_WEIGHTS_ON_CPU:
        return Cost(gflops, parameters, None)
    if isinstance(model, PreTrainedModel) and (attention := attention_for(device, dtype)):
        model.set_attn_implementation(attention)
    fill_weights(model)
    run = choose_runtime(network.forward, device, network.vision, cuda_graphs=False)
    return Cost(gflops, parameters, _clips_per_s(run, pixels, clock))


def empty_network(known: KnownModel, dtype: torch.dtype) -> Network:
    """A known model as vidsift would load it, but for its weights.

    Raises:
        ValueError: its shape is not known.
    """
    if known.shape is None:
        raise ValueError(f"the shape of {known.name} is not known here")
    if architecture := architecture_of(known.model_type):
        model, crop = build(architecture, known.dim).to(dtype), architecture.processor.defaults["crop_size"]
        size = (crop["height"], crop["width"])
        return Network(model, lambda pixels: (forward(architecture, model, pixels),), size, FIRST_LAYERS)
    config, loader = AutoConfig.for_model(known.model_type, **known.shape), loader_of(known.role, known.model_type)
    auto_class: Any = AutoModelForVideoClassification if known.role == "classifier" else AutoModel
    with no_init_weights():
        model = getattr(loader, "made_of", auto_class.from_config)(config, dtype=dtype).eval().requires_grad_(False)
    if hasattr(loader, "vision_config"):
        vision = loader.vision_config(model.config)
    else:
        vision = getattr(model.config, "vision_config", model.config)
    return Network(model, partial(loader.forward, model), known.picture or _picture_size(vision), vision)


def count_gflops(network: Network, pixels: torch.Tensor) -> float:
    """Billions of multiply-adds of a forward pass. Fused kernels are not counted, so attention is computed without them."""
    usual = network.model.config._attn_implementation if isinstance(network.model, PreTrainedModel) else None
    if usual:
        network.model.set_attn_implementation("eager")
    counter, no_products = FlopCounterMode(display=False), _NothingMultiplied()  # type: ignore[no-untyped-call]
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), no_products, counter:
        network.forward(pixels)
    if usual:
        network.model.set_attn_implementation(usual)
    return counter.get_total_flops() / 2e9


def _multiplied_weights(model: torch.nn.Module) -> int:
    """The weights of a model without its tables of tokens: from those, rows are taken, and nothing is computed."""
    tables = [module.weight for module in model.modules() if isinstance(module, torch.nn.Embedding)]
    return sum(weights.numel() for weights in model.parameters()) - sum(table.numel() for table in tables)


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


def _picture_size(vision: Any) -> tuple[int, int]:
    """(height, width) of the pictures that a model with this vision configuration takes."""
    side = getattr(vision, "image_size", None)
    if side is None:  # pictures of any shape: a square of as many patches as were trained for
        side = round(vision.num_patches**0.5) * vision.patch_size
    return (side, side) if isinstance(side, int) else (side[0], side[1])


def _clips_per_s(run: Callable[[torch.Tensor], object], pixels: torch.Tensor, clock: Callable[[], float]) -> float:
    """After one clip that does not count, for `_MIN_S` seconds or one pass, whichever is longer.

    Where a clip takes a second, passes are of one clip: what more of them at a time would gain is little by then.
    """
    with torch.inference_mode():
        begun = clock()
        run(pixels[:1])
        _wait(pixels)
        batch = pixels if (clock() - begun) * len(pixels) < 4 * _MIN_S else pixels[:1]
        begun, clips = clock(), 0
        while (elapsed := clock() - begun) < _MIN_S:
            run(batch)
            _wait(pixels)
            clips += len(batch)
    return clips / elapsed


def _wait(pixels: torch.Tensor) -> None:
    if pixels.device.type == "cuda":
        torch.cuda.synchronize(pixels.device)
