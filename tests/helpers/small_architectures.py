"""Small random checkpoints of the networks that torchvision and pytorchvideo define."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorchvideo.models import hub
from safetensors.torch import save_file
from torchvision.models import video
from torchvision.models.video.mvit import MSBlockConfig, MViT

from pipeline.models import c3d, uniformer
from pipeline.models.architectures import ARCHITECTURES, Architecture, architecture_of
from pipeline.models.build import forward

NAMES = [architecture.name for architecture in ARCHITECTURES]
LABELS = [f"action {number}" for number in range(7)]
SIDE = 32
# Frames of the small ones where they take fewer than the published ones.
NUM_FRAMES = {"s3d": 16, "mvit_v1_b": 4, "mvit_v2_s": 4, "slowfast_r50": 8, "x3d_s": 4, "x3d_m": 4, "i3d_r50": 4, "c3d": 16}


def num_frames_of(name: str) -> int:
    return NUM_FRAMES.get(name, 4)


def _mvit(num_classes: int, *, second: bool) -> Any:
    """Three blocks of which the second one halves the picture, with what distinguishes the two versions."""
    kernel, stride = ([3, 3, 3], [1, 1, 1]) if second else ([], [])
    blocks = [
        MSBlockConfig(1, 32, 32, kernel, [3, 3, 3], stride, [1, 4, 4]),
        MSBlockConfig(2, 32, 32, [3, 3, 3], [3, 3, 3], [1, 2, 2], [1, 2, 2]),
        MSBlockConfig(2, 32, 32, kernel, [3, 3, 3], stride, [1, 2, 2]),
    ]
    return MViT(
        spatial_size=(SIDE, SIDE),
        temporal_size=4,
        block_setting=blocks,
        residual_pool=second,
        residual_with_cls_embed=False,
        rel_pos_embed=second,
        proj_after_attn=second,
        num_classes=num_classes,
    )


def _swin3d(num_classes: int, *, width: int, depths: list[int]) -> Any:
    return video.SwinTransformer3d(
        patch_size=[2, 4, 4],
        embed_dim=width,
        depths=depths,
        num_heads=[width // 12 * 2**stage for stage in range(len(depths))],
        window_size=[8, 7, 7],
        num_classes=num_classes,
    )


def _with_small_pool(make: Callable[..., Any], **arguments: Any) -> Any:
    """A network for pictures of 32 x 32: its last pooling, which has no weights, takes what is left of them."""
    model = make(**arguments)
    for module in model.modules():
        for name, pool in module.named_children():
            if isinstance(pool, torch.nn.AvgPool3d) and isinstance(pool.kernel_size, tuple):
                frames = {8: 2, 32: 8, 16: 4, 13: 4}.get(pool.kernel_size[0], min(pool.kernel_size[0], 4))
                frames = 2 if make is _i3d or make is video.S3D else frames
                setattr(module, name, torch.nn.AvgPool3d((frames, 1, 1), stride=1))
    return model


_i3d, _x3d_s, _x3d_m, _x3d_xs, _slowfast = hub.i3d_r50, hub.x3d_s, hub.x3d_m, hub.x3d_xs, hub.slowfast_r50
_SMALL: dict[str, tuple[Any, Callable[..., Any]]] = {
    "swin3d_t": (video, partial(_swin3d, width=24, depths=[2, 2])),
    "swin3d_s": (video, partial(_swin3d, width=24, depths=[2, 2, 2])),
    "swin3d_b": (video, partial(_swin3d, width=36, depths=[2, 2, 2])),
    "s3d": (video, partial(_with_small_pool, video.S3D)),
    "mvit_v1_b": (video, partial(_mvit, second=False)),
    "mvit_v2_s": (video, partial(_mvit, second=True)),
    "slowfast_r50": (hub, partial(_with_small_pool, _slowfast)),
    "x3d_xs": (hub, partial(_with_small_pool, _x3d_xs)),
    "x3d_s": (hub, partial(_with_small_pool, _x3d_s)),
    "x3d_m": (hub, partial(_with_small_pool, _x3d_m)),
    "i3d_r50": (hub, partial(_with_small_pool, _i3d)),
    "uniformer_s": (uniformer, partial(uniformer.UniFormer, depths=(1, 1, 1, 1), widths=(8, 16, 64, 128))),
    "uniformer_b": (uniformer, partial(uniformer.UniFormer, depths=(2, 1, 2, 1), widths=(8, 16, 64, 128))),
    "c3d": (c3d, partial(c3d.C3D, width=4, hidden=32, side=SIDE)),
}


def make_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on the libraries' functions make networks for small pictures, of the libraries' own layers."""
    for name, (module, make) in _SMALL.items():
        monkeypatch.setattr(module, name, make)


def random_model(name: str, num_classes: int = len(LABELS)) -> Any:
    """A network whose logits differ by about 0.7 between classes."""
    architecture = known(name)
    torch.manual_seed(0)
    own = c3d if name == "c3d" else uniformer
    module = {"torchvision": video, "pytorchvideo": hub, "vidsift": own}[architecture.library]
    model = getattr(module, name)(**{architecture.classes_argument: num_classes}).eval().requires_grad_(False)
    *_, head, bias = model.parameters()
    bias *= 0.0
    logits = forward(architecture, model, torch.rand(1, num_frames_of(name), 3, SIDE, SIDE))
    logits = logits.log() if architecture.gives_probabilities else logits
    head *= 0.7 / logits.std()
    return model


def known(name: str) -> Architecture:
    architecture = architecture_of(name)
    assert architecture is not None
    return architecture


def write_small(folder: Path, name: str, model: Any) -> Path:
    """A checkpoint in the hub's layout, with small pictures."""
    folder.mkdir(parents=True)
    save_file(model.state_dict(), folder / "model.safetensors")
    config = {"model_type": name, "id2label": dict(enumerate(LABELS)), "num_frames": num_frames_of(name)}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    size = known(name).processor.defaults["size"]
    small = {"shortest_edge": 37} if "shortest_edge" in size else {"height": 37, "width": 46}
    pixels = {"size": small, "crop_size": SIDE}
    (folder / "preprocessor_config.json").write_text(json.dumps(pixels), encoding="utf-8")
    return folder
