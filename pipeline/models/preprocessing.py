"""Reads a checkpoint's preprocessing configuration.

It is read from JSON and not through transformers' processors, which need torchvision for some families and fall back to a
slow path without it. Keys that a configuration leaves out take the defaults of the processor class that it names.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from pipeline.models.checkpoint import PREPROCESSING_FILES, read_config
from pipeline.models.families import FRAME_ENCODERS, ModelFamily, family_of, own_num_frames
from pipeline.models.processors import BICUBIC, BILINEAR, COMMON_DEFAULTS, Processor, processor_named
from pipeline.models.views import check_views
from schemas.errors import ModelError
from schemas.models import Checkpoint, Geometry, ModelInput, PatchBudget, Views

# Makes the error for a message about the checkpoint.
_Refuse = Callable[[str], ModelError]

_RATE = 16_000  # samples a second of all sound; this module is read without torch and FFmpeg
_CLASS_KEYS = ("video_processor_type", "image_processor_type", "feature_extractor_type")


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """How uint8 frames become a model's pixels: a geometry, then ``pixel * gain + shift`` per channel.

    Attributes:
        input: number of frames and geometry.
        gain: per channel, R G B.
        shift: per channel, R G B.
    """

    input: ModelInput
    gain: tuple[float, float, float]
    shift: tuple[float, float, float]


def read_preprocessing(checkpoint: Checkpoint, argument: str, *, num_frames: int | None = None) -> Preprocessing:
    """Read the preprocessing that ``checkpoint`` was trained with.

    Args:
        checkpoint: a model's files.
        argument: the argument that named it, for messages.
        num_frames: frames per clip of a model that sees single frames (`FRAME_ENCODERS`), which cannot say it itself.

    Raises:
        ModelError: there is no preprocessing configuration, it is malformed, or it does not fit the model.
    """
    refuse: _Refuse = partial(ModelError, argument=argument, value=checkpoint.name)
    folder = Path(checkpoint.folder)
    config = read_config(folder, checkpoint.name, argument)
    family = family_of(checkpoint.model_type)
    settings = _read_json(folder, refuse)
    class_name = next((str(settings[key]) for key in _CLASS_KEYS if key in settings), "")
    processor = processor_named(class_name, _usual_processor(family, config))
    settings = {**COMMON_DEFAULTS, **(processor.defaults if processor else {}), **settings}
    if processor and processor.resize_of_crop:
        settings["size"] = {"shortest_edge": int(_pair(settings["crop_size"])[0] * processor.resize_of_crop)}
    try:
        if processor and processor.max_squares and not _says_height_and_width(settings["size"]):
            settings |= {"patch_size": _square_side(config["vision_config"]), "max_num_patches": processor.max_squares}
        geometry = Geometry(
            resize=_resize(settings) if settings["do_resize"] else None,
            crop=_pair(settings["crop_size"]) if settings["do_center_crop"] else None,
            interpolation=_interpolation(settings["resample"]),
            transform=_transform(settings["transform"]),
        )
        scale = float(settings["rescale_factor"]) if settings["do_rescale"] else 1.0
        offset = settings["offset"] or settings["rescale_offset"]
        base = -1.0 if offset and settings["do_rescale"] else 0.0
        mean = [float(value) for value in settings["image_mean"]] if settings["do_normalize"] else [0.0] * 3
        std = [float(value) for value in settings["image_std"]] if settings["do_normalize"] else [1.0] * 3
        if settings["include_top"]:
            std = [value * float(again) for value, again in zip(std, settings["image_std"], strict=True)]
        gain = (scale / std[0], scale / std[1], scale / std[2])
        shift = ((base - mean[0]) / std[0], (base - mean[1]) / std[1], (base - mean[2]) / std[2])
    except KeyError as exc:
        raise refuse(f"the preprocessing configuration does not say {exc}; add it as the model was trained") from exc
    except (TypeError, ValueError, IndexError, ZeroDivisionError) as exc:
        raise refuse(f"the preprocessing configuration cannot be used: {exc!r}") from exc
    _check_size(geometry, config, refuse)
    if checkpoint.num_frames:
        num_frames = checkpoint.num_frames
    elif num_frames is None or checkpoint.model_type not in FRAME_ENCODERS:
        num_frames = _num_frames(config, family, refuse)
    views = None
    if checkpoint.views:
        views = Views(checkpoint.views, check_views(checkpoint, checkpoint.views))
    return Preprocessing(ModelInput(num_frames, geometry, views), gain, shift)


def read_num_samples(checkpoint: Checkpoint, argument: str) -> int:
    """The samples of sound that a classifier takes of each clip, 16,000 a second; 0 where it does not hear.

    Raises:
        ModelError: config.json cannot be read.
    """
    seconds = read_config(Path(checkpoint.folder), checkpoint.name, argument).get("sound_seconds")
    return round(seconds * _RATE) if isinstance(seconds, int | float) else 0


def _usual_processor(family: ModelFamily | None, config: dict[str, Any]) -> Processor | None:
    """The processor of the family, or of the video model that a classifier which hears is made of."""
    video = config.get("video")
    if family and family.processor is None and isinstance(video, dict):
        family = family_of(str(video.get("model_type", "")))
    return family.processor if family else None


def _read_json(folder: Path, refuse: _Refuse) -> dict[str, Any]:
    for file in PREPROCESSING_FILES:
        if not (folder / file).exists():
            continue
        try:
            settings = json.loads((folder / file).read_text(encoding="utf-8"))
        except ValueError as exc:
            raise refuse(f"{file} is not valid JSON: {exc}") from exc
        for part in ("video_processor", "image_processor"):  # processor_config.json nests it
            settings = settings.get(part, settings) if isinstance(settings, dict) else settings
        if not isinstance(settings, dict):
            raise refuse(f"{file} holds a {type(settings).__name__}, expected an object")
        return settings
    raise refuse(
        f"the folder holds no {' or '.join(PREPROCESSING_FILES[1:])}; copy it from the model it was trained from, "
        "since guessing how its pixels were made would give wrong labels without a sign of it"
    )


def _says_height_and_width(size: Any) -> bool:
    return isinstance(size, dict) and "height" in size and "width" in size


def _square_side(vision: dict[str, Any]) -> int:
    """The side in pixels of the patches that a vision model gives one token for: they may be merged from smaller ones."""
    merged = vision.get("spatial_merge_size", vision.get("pooling_kernel_size", 1))
    return int(vision["patch_size"]) * int(merged)


def _pair(size: int | dict[str, int]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else (int(size["height"]), int(size["width"]))


def _resize(settings: dict[str, Any]) -> int | tuple[int, int] | PatchBudget:
    if settings["max_num_patches"]:
        return PatchBudget(int(settings["patch_size"]), int(settings["max_num_patches"]))
    if settings["max_soft_tokens"]:
        side = int(settings["patch_size"]) * int(settings["pooling_kernel_size"])
        return PatchBudget(side, int(settings["max_soft_tokens"]), rounded="down")
    size = settings["size"]
    if isinstance(size, int):
        return size
    return int(size["shortest_edge"]) if "shortest_edge" in size else _pair(size)


def _interpolation(resample: int) -> Literal["bilinear", "bicubic"]:
    if resample not in (BILINEAR, BICUBIC):
        raise ValueError(f"resample {resample}; expected {BILINEAR} (bilinear) or {BICUBIC} (bicubic)")
    return "bilinear" if resample == BILINEAR else "bicubic"


def _transform(name: str) -> Literal["pil", "torchvision"]:
    if name not in ("pil", "torchvision"):
        raise ValueError(f"transform {name!r}; expected pil or torchvision")
    return "pil" if name == "pil" else "torchvision"


def _num_frames(config: dict[str, Any], family: ModelFamily | None, refuse: _Refuse) -> int:
    """Frames per clip."""
    if num_frames := own_num_frames(config, family):
        return num_frames
    raise refuse("config.json does not say how many frames the model takes (num_frames or frames_per_clip)")


def _check_size(geometry: Geometry, config: dict[str, Any], refuse: _Refuse) -> None:
    model_size = config.get("image_size", (config.get("vision_config") or {}).get("image_size", config.get("crop_size")))
    made = geometry.size
    vision = config.get("vision_config") or {}
    if isinstance(geometry.resize, PatchBudget):
        patch_size = _square_side({"patch_size": geometry.resize.patch_size, **vision})
        if made is None and patch_size == geometry.resize.patch_size:
            return
        raise refuse(
            f"its preprocessing makes patches of {geometry.resize.patch_size} pixels{' of a centre crop' if made else ''}, "
            f"the model takes patches of {patch_size} of the whole picture; correct preprocessor_config.json"
        )
    if made is None:
        raise refuse("its preprocessing gives pictures of differing sizes, expected one size (a centre crop)")
    if isinstance(model_size, int) and made != (model_size, model_size):
        raise refuse(
            f"its preprocessing makes pictures of {made[1]} x {made[0]}, the model takes "
            f"{model_size} x {model_size}; correct crop_size in preprocessor_config.json"
        )
