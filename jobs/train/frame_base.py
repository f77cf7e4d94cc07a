"""Encoders of single frames to start from: transformers' ResNets, by name with random weights, or from a folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from transformers import ResNetConfig, ResNetModel

from jobs.train.base_model import Base, find_base, load_base
from pipeline.models.families import FRAME_ENCODERS
from pipeline.models.preprocessing import Preprocessing
from schemas.errors import UsageError
from schemas.models import Checkpoint, Geometry, ModelInput

# Table 1 of He et al., 2015, "Deep Residual Learning for Image Recognition".
RESNETS: Mapping[str, Mapping[str, Any]] = {
    "resnet18": {"layer_type": "basic", "depths": [2, 2, 2, 2], "hidden_sizes": [64, 128, 256, 512]},
    "resnet34": {"layer_type": "basic", "depths": [3, 4, 6, 3], "hidden_sizes": [64, 128, 256, 512]},
    "resnet50": {"layer_type": "bottleneck", "depths": [3, 4, 6, 3], "hidden_sizes": [256, 512, 1024, 2048]},
}

DEFAULT_SIZE = 224
# Mean and deviation of ImageNet's pictures, by which transformers' ResNets were trained.
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def find_frame_base(name: str, image_size: int | None) -> Base:
    """Find the encoder that ``name`` means.

    Args:
        name: ``resnet18``, ``resnet34`` or ``resnet50`` for random weights; or a ResNet's folder, config.json or hub id.
        image_size: side of the pictures in pixels, for a name without a folder; None is 224. A folder says it itself.

    Raises:
        ModelError: there is none, or it is of another type.
        UsageError: the size is out of range, or the base says it itself.
    """
    if name not in RESNETS:
        if image_size is not None:
            message = f"got {image_size}, but `base` says its size itself; leave it out, or give one of {', '.join(RESNETS)}"
            raise UsageError(message, argument="image_size")
        return find_base(name, "classifier", model_types=FRAME_ENCODERS, num_frames=1)
    size = DEFAULT_SIZE if image_size is None else image_size
    if not 32 <= size <= 1024:
        raise UsageError(f"got {size}, expected 32 to 1024", argument="image_size")
    gain = tuple(1 / 255 / std for std in _STD)
    shift = tuple(-mean / std for mean, std in zip(_MEAN, _STD, strict=True))
    model_input = ModelInput(1, Geometry(size, (size, size)))
    preprocessing = Preprocessing(model_input, (gain[0], gain[1], gain[2]), (shift[0], shift[1], shift[2]))
    # The class that resizes, crops at the centre and normalises, each by its own key.
    settings = {
        "image_processor_type": "BitImageProcessor",
        "do_resize": True,
        "size": {"shortest_edge": size},
        "resample": 2,
        "do_center_crop": True,
        "crop_size": {"height": size, "width": size},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": _MEAN,
        "image_std": _STD,
    }
    files = {"preprocessor_config.json": json.dumps(settings, indent=1) + "\n"}
    return Base(name, Checkpoint(name, "", None, "resnet", ""), False, preprocessing, files)


def load_frame_base(base: Base) -> Any:
    """The encoder as a ResNetModel in fp32, ready to be trained.

    Raises:
        ModelError: its files are not those of a ResNet.
    """
    if base.given in RESNETS and not base.checkpoint.folder:
        return ResNetModel(ResNetConfig(**RESNETS[base.given]))
    return load_base(ResNetModel, base)
