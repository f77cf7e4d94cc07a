"""Networks that torchvision, pytorchvideo or a module here define: how each is made and shown clips, and who published that.

Their checkpoints are folders in the hub's layout. config.json says ``model_type``, ``id2label`` and ``num_frames``; tensors
have the library's own names. ``vidsift convert`` makes such folders of the published files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pipeline.models.processors import Processor

Library = Literal["torchvision", "pytorchvideo", "vidsift"]


@dataclass(frozen=True, slots=True)
class Architecture:
    """A network that a library's function of the same name makes.

    Attributes:
        name: ``model_type`` in config.json, and the function in ``torchvision.models.video`` or ``pytorchvideo.models.hub``.
        library: the package that defines it; ``vidsift`` for `pipeline.models.c3d` and `pipeline.models.uniformer`.
        num_frames: frames of a clip, as it was trained.
        view_s: seconds of a video that those were.
        processor: its published preprocessing.
        config: what its config.json says beside that and the labels.
        slow_pathway_step: of two pathways, the slow one sees every so many frames; None where there is one pathway.
        gives_probabilities: whether its last layer is a softmax, whose results are averaged over places where the picture is
            larger than in training.
    """

    name: str
    library: Library
    num_frames: int
    view_s: float
    processor: Processor
    config: Mapping[str, Any] = field(default_factory=dict)
    slow_pathway_step: int | None = None
    gives_probabilities: bool = False

    @property
    def classes_argument(self) -> str:
        """The function's argument for the number of classes."""
        return "model_num_class" if self.library == "pytorchvideo" else "num_classes"

    @property
    def packages(self) -> tuple[str, ...]:
        """What has to be installed beside vidsift's own dependencies."""
        return () if self.library == "vidsift" else (self.library,)


def _processor(
    prefix: str, size: dict[str, int], crop: int, mean: tuple[float, float, float], std: tuple[float, float, float]
) -> Processor:
    settings = {"size": size, "crop_size": {"height": crop, "width": crop}, "image_mean": [*mean], "image_std": [*std]}
    return Processor(prefix, {**settings, "transform": "torchvision"})


_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_KINETICS = ((0.43216, 0.394666, 0.37645), (0.22803, 0.22145, 0.216989))
_GREY = ((0.45, 0.45, 0.45), (0.225, 0.225, 0.225))


def _torchvision(
    name: str, num_frames: int, fps: float, size: dict[str, int], crop: int, normalised: tuple[Any, Any], **config: Any
) -> Architecture:
    """As ``torchvision.models.video.*_Weights.KINETICS400_V1`` says in its ``transforms`` and its documentation."""
    processor = _processor(name, size, crop, *normalised)
    return Architecture(name, "torchvision", num_frames, num_frames / fps, processor, config)


def _pytorchvideo(name: str, num_frames: int, step: int, size: int, **more: Any) -> Architecture:
    """As pytorchvideo's examples for torch.hub and its model zoo say: the shorter edge, and a crop of the same size.

    Every ``step``-th frame of videos of 30 a second: the zoo's "frame length x sample rate".
    """
    processor = _processor(name, {"shortest_edge": size}, size, *_GREY)
    return Architecture(name, "pytorchvideo", num_frames, num_frames * step / 30, processor, **more)


_SMALL, _MIDDLE = {"height": 128, "width": 171}, {"shortest_edge": 256}

ARCHITECTURES: tuple[Architecture, ...] = (
    _torchvision("r3d_18", 16, 15, _SMALL, 112, _KINETICS),
    _torchvision("mc3_18", 16, 15, _SMALL, 112, _KINETICS),
    _torchvision("r2plus1d_18", 16, 15, _SMALL, 112, _KINETICS),
    _torchvision("s3d", 128, 15, {"height": 256, "width": 256}, 224, _KINETICS),
    _torchvision("mvit_v1_b", 16, 7.5, _MIDDLE, 224, _GREY, image_size=224),  # its positions fit this size alone
    _torchvision("mvit_v2_s", 16, 7.5, _MIDDLE, 224, _GREY, image_size=224),
    _torchvision("swin3d_t", 32, 15, _MIDDLE, 224, _IMAGENET),
    _torchvision("swin3d_s", 32, 15, _MIDDLE, 224, _IMAGENET),
    _torchvision("swin3d_b", 32, 15, _MIDDLE, 224, _IMAGENET),
    _pytorchvideo("slowfast_r50", 32, 2, 256, slow_pathway_step=4),
    _pytorchvideo("x3d_xs", 4, 12, 182, gives_probabilities=True),
    _pytorchvideo("x3d_s", 13, 6, 182, gives_probabilities=True),
    _pytorchvideo("x3d_m", 16, 5, 256, gives_probabilities=True),
    _pytorchvideo("i3d_r50", 8, 8, 256),
    # 16 consecutive frames (Tran et al., 2015), less the mean of Sports-1M as PyTorch's ports have it: red 102, green 98 and
    # blue 90 of 255.
    Architecture(
        "c3d", "vidsift", 16, 16 / 30, _processor("c3d", _SMALL, 112, (102 / 255, 98 / 255, 90 / 255), (1 / 255,) * 3)
    ),
    # Every fourth frame of 30 a second: the authors' settings for Kinetics-400 (16 x 4), with PySlowFast's mean and
    # deviation.
    *(
        Architecture(name, "vidsift", 16, 64 / 30, _processor(name, {"shortest_edge": 224}, 224, *_GREY))
        for name in ("uniformer_s", "uniformer_b")
    ),
)


def architecture_of(name: str) -> Architecture | None:
    """The architecture of this name; None where there is none."""
    return next((architecture for architecture in ARCHITECTURES if architecture.name == name), None)
