"""Defaults of transformers' image processors, for the keys that a preprocessing configuration leaves out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

BILINEAR, BICUBIC = 2, 3  # PIL's numbers, which configurations use

_HALF = [0.5, 0.5, 0.5]
_IMAGENET_MEAN, _IMAGENET_STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
_CLIP_MEAN, _CLIP_STD = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]

# Of every processor that does not say otherwise.
COMMON_DEFAULTS: Mapping[str, Any] = {
    "do_resize": True,
    "size": {"shortest_edge": 224},
    "resample": BILINEAR,
    "do_center_crop": True,
    "crop_size": 224,
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "offset": False,  # Vivit: values from -1
    "rescale_offset": False,  # EfficientNet: likewise
    "max_num_patches": None,  # SigLIP 2: pictures of any shape
    "max_soft_tokens": None,  # Gemma: likewise
    "transform": "pil",  # whose arithmetic (`schemas.models.Geometry`)
    "include_top": False,  # EfficientNet: divide by image_std once more
    "do_normalize": True,
}


@dataclass(frozen=True, slots=True)
class Processor:
    """One of transformers' image or video processor classes.

    Attributes:
        prefix: the beginning of its class names: ``VideoMAE`` for VideoMAEImageProcessor and VideoMAEFeatureExtractor.
        defaults: its defaults as keys of preprocessor_config.json, where they differ from `COMMON_DEFAULTS`.
        resize_of_crop: the shorter edge after resizing, as a multiple of the crop; the class then ignores ``size``.
        max_squares: the most squares of merged patches that vidsift makes a picture of, where the class's ``size`` counts
            the pixels of pictures of any shape; a ``size`` with height and width is taken as it is.
    """

    prefix: str
    defaults: Mapping[str, Any]
    resize_of_crop: Fraction | None = None
    max_squares: int | None = None


# As in transformers 5.23.
VIDEOMAE = Processor("VideoMAE", {"image_mean": _HALF, "image_std": _HALF})
CLIP = Processor("CLIP", {"image_mean": _CLIP_MEAN, "image_std": _CLIP_STD, "resample": BICUBIC})
CHINESE_CLIP = Processor("ChineseCLIP", CLIP.defaults)
SIGLIP = Processor(
    "Siglip",
    {
        "image_mean": _HALF,
        "image_std": _HALF,
        "size": {"height": 224, "width": 224},
        "do_center_crop": False,
        "resample": BICUBIC,
    },
)
SIGLIP2 = Processor(
    "Siglip2",
    {
        "image_mean": _HALF,
        "image_std": _HALF,
        "do_center_crop": False,
        "patch_size": 16,
        "max_num_patches": 256,
    },
)
VIDEOPRISM = Processor(  # its processor sets these whatever the video processor's class says
    "VideoPrism",
    {"size": {"height": 288, "width": 288}, "do_center_crop": False, "do_normalize": False, "resample": BICUBIC},
)
PE_VIDEO = Processor(
    "PeVideo",
    {"image_mean": _HALF, "image_std": _HALF, "size": {"height": 336, "width": 336}, "do_center_crop": False},
)
EFFICIENTNET = Processor(  # ALIGN's
    "EfficientNet",
    {
        "image_mean": _HALF,
        "image_std": _HALF,
        "size": {"height": 346, "width": 346},
        "do_center_crop": False,
        "crop_size": 289,
        "resample": BICUBIC,
        "include_top": True,
    },
)
QWEN3_VL = Processor(  # and Qwen2VLImageProcessor, which some of its checkpoints name
    "Qwen",
    {"image_mean": _HALF, "image_std": _HALF, "do_center_crop": False, "resample": BICUBIC},
    max_squares=144,  # 384 x 384 or 512 x 288 pixels; its authors' smallest frames have 128
)
EMBEDDING_GEMMA2 = Processor(
    "EmbeddingGemma2",
    {
        "image_mean": [0.0, 0.0, 0.0],
        "image_std": [1.0, 1.0, 1.0],
        "do_center_crop": False,
        "resample": BICUBIC,
        "patch_size": 16,
        "pooling_kernel_size": 3,
        "max_soft_tokens": 70,
    },
)
VIVIT = Processor(
    "Vivit",
    {
        "image_mean": _HALF,
        "image_std": _HALF,
        "size": {"shortest_edge": 256},
        "rescale_factor": 1 / 127.5,
        "offset": True,
    },
)
VJEPA2 = Processor(
    "VJEPA2", {"image_mean": _IMAGENET_MEAN, "image_std": _IMAGENET_STD, "crop_size": 256}, Fraction(256, 224)
)

_KNOWN = (
    VIDEOMAE,
    CLIP,
    CHINESE_CLIP,
    SIGLIP2,
    SIGLIP,
    VIDEOPRISM,
    PE_VIDEO,
    QWEN3_VL,
    EMBEDDING_GEMMA2,
    EFFICIENTNET,
    VIVIT,
    VJEPA2,
)


def processor_named(class_name: str, usual: Processor | None) -> Processor | None:
    """The processor that a configuration means.

    Args:
        class_name: the class that the configuration names; empty where it names none.
        usual: the processor of the model's family.

    Returns:
        ``usual`` where no class is named; None where the class is not known.
    """
    if not class_name:
        return usual
    candidates = _KNOWN if usual is None else (usual, *_KNOWN)
    return next((processor for processor in candidates if class_name.startswith(processor.prefix)), None)
