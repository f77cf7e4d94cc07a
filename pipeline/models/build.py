"""Makes the networks of `pipeline.models.architectures`, and checks weights against a network before they go into it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from transformers.initialization import no_init_weights

from pipeline.models.architectures import Architecture

# A counter of training steps, which older files leave out and which nothing but training reads.
_MAY_BE_MISSING = ".num_batches_tracked"
_MAX_NAMED = 3


def build(architecture: Architecture, num_classes: int) -> Any:
    """The network in evaluation mode, on the CPU; its weights are memory as it was found, since it is to be given others."""
    with no_init_weights():
        if architecture.library == "torchvision":
            from torchvision.models import video as makers
        elif architecture.library == "pytorchvideo":
            from pytorchvideo.models import hub as makers
        elif architecture.name == "c3d":
            from pipeline.models import c3d as makers
        else:
            from pipeline.models import uniformer as makers
        made = getattr(makers, architecture.name)(**{architecture.classes_argument: num_classes})
    for module in made.modules():
        if type(module) is torch.nn.AvgPool3d:
            module.__class__ = _AvgPool3d
    return made.eval().requires_grad_(False)


class _AvgPool3d(torch.nn.AvgPool3d):
    """Computes in fp32: PyTorch 2.13 cannot average over places and times in bf16 on a CPU."""

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        pooled: torch.Tensor = super().forward(values.float())
        return pooled.to(values.dtype)


def forward(architecture: Architecture, model: Any, pixels: torch.Tensor) -> torch.Tensor:
    """What the network gives [batch, classes], from pixels [batch, num_frames, 3, height, width] on its device.

    Of two pathways, the slow one sees 1/step of the frames, evenly spread with the first and the last one: of 32 and a step
    of 4, frames 0, 4, 8, 13, 17, 22, 26 and 31, as pytorchvideo's examples choose them.
    """
    clips = pixels.transpose(1, 2)
    if architecture.slow_pathway_step is None:
        given: torch.Tensor = model(clips)
        return given
    num_frames = clips.shape[2]
    seen = torch.linspace(0, num_frames - 1, num_frames // architecture.slow_pathway_step).long()
    given = model([clips[:, :, seen], clips])
    return given


def weight_problems(expected: Mapping[str, torch.Tensor], given: Mapping[str, torch.Tensor]) -> list[str]:
    """Sentences about tensors that are missing, too many, of another shape or another kind of number; empty if they fit.

    Args:
        expected: a network's tensors by name.
        given: what is to go into it.
    """
    missing = [name for name in expected if name not in given and not name.endswith(_MAY_BE_MISSING)]
    others = [name for name in given if name not in expected]
    both = [(name, expected[name], given[name]) for name in expected if name in given]
    shapes = [
        f"{name} is {list(there.shape)} instead of {list(wanted.shape)}"
        for name, wanted, there in both
        if wanted.shape != there.shape
    ]
    kinds = [
        f"{name} holds {str(there.dtype).removeprefix('torch.')}"
        for name, wanted, there in both
        if wanted.is_floating_point() != there.is_floating_point() or there.is_complex()
    ]
    return [
        f"{len(found)} {what} ({_some(found)})"
        for what, found in (
            ("tensors are missing", missing),
            ("tensors are unexpected", others),
            ("tensors have another shape", shapes),
            ("tensors hold another kind of number", kinds),
        )
        if found
    ]


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_MAX_NAMED]) + ", ..." * (len(names) > _MAX_NAMED)


def fill(model: Any, weights: Mapping[str, torch.Tensor]) -> None:
    """Copy weights that `weight_problems` finds nothing wrong with into a network."""
    counters = {name: value for name, value in model.state_dict().items() if name.endswith(_MAY_BE_MISSING)}
    model.load_state_dict({**counters, **weights}, strict=True)
