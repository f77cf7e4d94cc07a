"""The start of a training: a checkpoint's weights, or its configuration alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
import transformers

from pipeline.models.attention import attention_for
from pipeline.models.checkpoint import find_checkpoint, pocket_folder, read_config
from pipeline.models.loading import cannot_load, load_weights
from pipeline.models.pixels import best_device, choose_dtype
from pipeline.models.preprocessing import Preprocessing, read_preprocessing
from schemas.errors import ModelError
from schemas.models import Checkpoint

_ARGUMENT = "base"


@dataclass(frozen=True, slots=True)
class Base:
    """A model to start from.

    Attributes:
        given: as the user named it.
        checkpoint: its files.
        has_weights: whether it has learnt something; without weights the training starts from random ones.
        preprocessing: what it wants to be shown.
        files: text files of a base that is no folder, by name; the trained model gets them beside its weights.
    """

    given: str
    checkpoint: Checkpoint
    has_weights: bool
    preprocessing: Preprocessing
    files: Mapping[str, str] = field(default_factory=dict)

    def showing(self, num_frames: int) -> Base:
        """The same, to be shown another number of frames."""
        shown = replace(self.preprocessing.input, num_frames=num_frames)
        return replace(self, preprocessing=replace(self.preprocessing, input=shown))


def find_base(name: str, kind: str, *, model_types: Sequence[str] = (), num_frames: int | None = None) -> Base:
    """Find the model that ``base`` names.

    Args:
        name: a hub id, a folder, a config.json or its folder (which then starts from random weights), or ``pocket``.
        kind: ``classifier`` or ``embedder``: which of the two ``pocket`` is meant.
        model_types: the types that will do; empty takes any.
        num_frames: frames of a clip for a base that sees single frames (`pipeline.models.families.FRAME_ENCODERS`).

    Raises:
        ModelError: there is none, it does not say how its pixels are made, or it is of another type.
    """
    base = _find(name, kind, num_frames)
    if model_types and base.checkpoint.model_type not in model_types:
        expected = ", ".join(model_types[:-1]) + " or " * (len(model_types) > 1) + model_types[-1]
        message = f"got a model of type {base.checkpoint.model_type!r}, expected {expected}"
        raise ModelError(message, argument=_ARGUMENT, value=name)
    return base


def _find(name: str, kind: str, num_frames: int | None) -> Base:
    path = Path(name)
    folder = path.parent if path.name == "config.json" and path.is_file() else path
    if name == "pocket":
        folder = pocket_folder(kind)
    if folder.is_dir() and ((path.is_file()) or not any(folder.glob("*.safetensors"))):
        config = read_config(folder, name, _ARGUMENT)
        others = [file.name for file in folder.iterdir() if file.suffix in (".bin", ".pt", ".pth", ".ckpt", ".h5")]
        if others and not path.is_file():
            raise ModelError(
                f"got {', '.join(sorted(others))}, expected model.safetensors only, since other formats "
                f"can run code when loaded; convert it, or give {folder / 'config.json'} to start from random weights",
                argument=_ARGUMENT,
                value=name,
            )
        checkpoint = Checkpoint(name, str(folder.resolve()), None, str(config.get("model_type", "")), "")
        return Base(name, checkpoint, False, read_preprocessing(checkpoint, _ARGUMENT, num_frames=num_frames))
    checkpoint = find_checkpoint(str(folder) if folder.is_dir() else name, _ARGUMENT)
    return Base(name, checkpoint, True, read_preprocessing(checkpoint, _ARGUMENT, num_frames=num_frames))


def load_base(auto_class: Any, base: Base, *, may_be_new: tuple[str, ...] = (), **settings: Any) -> Any:
    """The model in fp32, ready to be trained.

    Args:
        auto_class: one of transformers' classes.
        base: what to start from.
        may_be_new: beginnings of the names of tensors that need not be in the checkpoint, such as a new head's.
        settings: changes to its configuration, such as ``id2label``.

    Raises:
        ModelError: transformers cannot make ``auto_class`` of it, or it lacks what it should bring.
    """
    # Eager is as fast as vidsift's own attention where there are gradients, and known to every process that gets the model.
    attention = "eager" if attention_for(best_device(), choose_dtype("auto", best_device())) else None
    if not base.has_weights:
        return _new_model(auto_class, base.checkpoint, attention, settings)
    return load_weights(
        auto_class,
        base.checkpoint,
        _ARGUMENT,
        dtype=torch.float32,
        attention=attention,
        may_be_new=may_be_new,
        advice="give a checkpoint of that kind, or its config.json to start from random weights",
        ignore_mismatched_sizes=True,
        **settings,
    )


def _new_model(auto_class: Any, checkpoint: Checkpoint, attention: str | None, settings: dict[str, Any]) -> Any:
    """A model with random weights in fp32."""
    try:
        config = transformers.AutoConfig.from_pretrained(checkpoint.folder, local_files_only=True, **settings)
        config._attn_implementation = attention
        make = getattr(auto_class, "from_config", None) or auto_class._from_config
        return make(config).float()
    except Exception as exc:
        raise cannot_load(checkpoint, _ARGUMENT, exc) from exc
