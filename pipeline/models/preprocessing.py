"""What a checkpoint's own preprocessing configuration asks for.

Read from JSON and not through transformers' processors, which need torchvision for some families and fall back to a slow
path without it. Keys that a configuration leaves out take the defaults of the processor class that it names.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pipeline.models.checkpoint import PREPROCESSING_FILES, read_config
from schemas.errors import ModelError
from schemas.models import Checkpoint, Geometry, ModelInput

_HALF = [0.5, 0.5, 0.5]
_IMAGENET_MEAN, _IMAGENET_STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
_CLIP_MEAN, _CLIP_STD = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]
_BILINEAR, _BICUBIC = 2, 3  # PIL's numbers, which configurations use

# Defaults of transformers 5.23's processor classes, by the first part of their names.
_DEFAULTS: dict[str, dict[str, Any]] = {
    "VideoMAE": {"image_mean": _HALF, "image_std": _HALF},
    "CLIP": {"image_mean": _CLIP_MEAN, "image_std": _CLIP_STD, "resample": _BICUBIC},
    "Vivit": {
        "image_mean": _HALF,
        "image_std": _HALF,
        "size": {"shortest_edge": 256},
        "rescale_factor": 1 / 127.5,
        "offset": True,
    },
    "VJEPA2": {"image_mean": _IMAGENET_MEAN, "image_std": _IMAGENET_STD, "crop_size": 256},
}
_COMMON: dict[str, Any] = {
    "do_resize": True,
    "size": {"shortest_edge": 224},
    "resample": _BILINEAR,
    "do_center_crop": True,
    "crop_size": 224,
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "offset": False,
    "do_normalize": True,
}
# The class that a family uses where its configuration names none.
_CLASS_OF_TYPE = {"videomae": "VideoMAE", "timesformer": "VideoMAE", "xclip": "CLIP", "vivit": "Vivit", "vjepa2": "VJEPA2"}


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


def read_preprocessing(checkpoint: Checkpoint, option: str) -> Preprocessing:
    """Read what ``checkpoint`` wants to be shown.

    Raises:
        ModelError: there is no preprocessing configuration, it is malformed, or it does not fit the model.
    """
    where = f"{option} {checkpoint.name}"
    folder = Path(checkpoint.folder)
    config = read_config(folder, checkpoint.name, option)
    wanted = _read_json(folder, where)
    name = next((wanted[key] for key in _CLASS_KEYS if key in wanted), _CLASS_OF_TYPE.get(checkpoint.model_type, ""))
    family = next((family for family in _DEFAULTS if str(name).startswith(family)), None)
    wanted = _COMMON | (_DEFAULTS[family] if family else {}) | wanted
    if family == "VJEPA2":  # this class derives the size from the crop, whatever the file says
        wanted["size"] = {"shortest_edge": int(_pair(wanted["crop_size"])[0] * 256 / 224)}
    try:
        geometry = Geometry(
            resize=_resize(wanted["size"]) if wanted["do_resize"] else None,
            crop=_pair(wanted["crop_size"]) if wanted["do_center_crop"] else None,
            interpolation=_interpolation(wanted["resample"]),
        )
        scale = float(wanted["rescale_factor"]) if wanted["do_rescale"] else 1.0
        base = -1.0 if wanted["offset"] and wanted["do_rescale"] else 0.0
        mean = [float(value) for value in wanted["image_mean"]] if wanted["do_normalize"] else [0.0] * 3
        std = [float(value) for value in wanted["image_std"]] if wanted["do_normalize"] else [1.0] * 3
        gain = (scale / std[0], scale / std[1], scale / std[2])
        shift = ((base - mean[0]) / std[0], (base - mean[1]) / std[1], (base - mean[2]) / std[2])
    except KeyError as exc:
        raise ModelError(
            f"{where}: the preprocessing configuration does not say {exc}; add it as the model was trained"
        ) from exc
    except (TypeError, ValueError, IndexError, ZeroDivisionError) as exc:
        raise ModelError(f"{where}: the preprocessing configuration cannot be used: {exc!r}") from exc
    _check_size(geometry, config, where)
    return Preprocessing(ModelInput(_num_frames(config, where), geometry), gain, shift)


_CLASS_KEYS = ("video_processor_type", "image_processor_type", "feature_extractor_type")


def _read_json(folder: Path, where: str) -> dict[str, Any]:
    for file in PREPROCESSING_FILES:
        if not (folder / file).exists():
            continue
        try:
            found = json.loads((folder / file).read_text(encoding="utf-8"))
        except ValueError as exc:
            raise ModelError(f"{where}: {file} is no valid JSON: {exc}") from exc
        for part in ("video_processor", "image_processor"):  # processor_config.json nests it
            found = found.get(part, found) if isinstance(found, dict) else found
        if not isinstance(found, dict):
            raise ModelError(f"{where}: {file} holds a {type(found).__name__}, expected an object")
        return found
    raise ModelError(
        f"{where}: the folder holds no {' or '.join(PREPROCESSING_FILES[1:])}; copy it from the model it was trained from, "
        "since guessing how its pixels were made would give wrong labels without a sign of it"
    )


def _pair(size: int | dict[str, int]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else (int(size["height"]), int(size["width"]))


def _resize(size: int | dict[str, int]) -> int | tuple[int, int]:
    if isinstance(size, int):
        return size
    return int(size["shortest_edge"]) if "shortest_edge" in size else _pair(size)


def _interpolation(resample: int) -> Literal["bilinear", "bicubic"]:
    if resample not in (_BILINEAR, _BICUBIC):
        raise ValueError(f"resample {resample}; expected {_BILINEAR} (bilinear) or {_BICUBIC} (bicubic)")
    return "bilinear" if resample == _BILINEAR else "bicubic"


def _num_frames(config: dict[str, Any], where: str) -> int:
    """Families call it differently; configurations written by transformers always say it."""
    vision = config.get("vision_config") or {}
    defaults = {"videomae": 16, "timesformer": 8, "vivit": 32, "vjepa2": 64, "xclip": 8}
    for value in (config.get("num_frames"), vision.get("num_frames"), config.get("frames_per_clip")):
        if isinstance(value, int):
            return value
    if config.get("model_type") in defaults:
        return defaults[config["model_type"]]
    raise ModelError(f"{where}: config.json does not say how many frames the model takes (num_frames or frames_per_clip)")


def _check_size(geometry: Geometry, config: dict[str, Any], where: str) -> None:
    model_size = config.get("image_size", (config.get("vision_config") or {}).get("image_size", config.get("crop_size")))
    made = geometry.crop or (geometry.resize if isinstance(geometry.resize, tuple) else None)
    if made is None:
        raise ModelError(f"{where}: its preprocessing gives pictures of differing sizes, expected one size (a centre crop)")
    if isinstance(model_size, int) and made != (model_size, model_size):
        raise ModelError(
            f"{where}: its preprocessing makes pictures of {made[1]} x {made[0]}, the model takes "
            f"{model_size} x {model_size}; correct crop_size in preprocessor_config.json"
        )
