"""Turns a published checkpoint into a folder that vidsift loads as a classifier."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobs.output_folder import written_aside
from pipeline.models.architectures import ARCHITECTURES, Architecture, architecture_of
from pipeline.models.processors import COMMON_DEFAULTS
from schemas.errors import ModelError, UsageError

if TYPE_CHECKING:
    import torch

VIDEOMAE_V2 = "videomae_v2"
FAMILIES = (*(architecture.name for architecture in ARCHITECTURES), VIDEOMAE_V2)

_MAX_LABELS_BYTES = 10_000_000
_IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}  # VideoMAE v2's, of both trainings


@dataclass(frozen=True, slots=True)
class Converted:
    """What a conversion wrote.

    Attributes:
        output: the folder, which ``--classifier`` takes.
        family: ``videomae_v2``, or the name of an architecture.
        tensors: number of tensors.
        parameters: number of values in them.
        labels: number of classes.
        source_sha256: of the file that was read.
        license: as it was given; ``unknown`` where it was not.
    """

    output: Path
    family: str
    tensors: int
    parameters: int
    labels: int
    source_sha256: str
    license: str


def convert(
    file: Path, family: str, output: Path, *, labels: Path | None = None, license_name: str | None = None
) -> Converted:
    """Convert a published checkpoint.

    Args:
        file: as ``torch.save`` wrote it; see `jobs.convert.published`.
        family: one of `FAMILIES`.
        output: a new or empty folder. It is written aside, and has its name when it is whole.
        labels: a text file with a class on each line, in the order of the network's classes; None for Kinetics-400's.
        license_name: the licence of the weights, for the model card.

    Raises:
        UsageError: the file is no checkpoint of this family, or names code to run; ``labels`` or ``output`` cannot be used.
        ModelError: a package that defines the family is not installed.
    """
    architecture = architecture_of(family)
    if architecture is None and family != VIDEOMAE_V2:
        raise UsageError(f"got {family!r}, expected {', '.join(FAMILIES)}", argument="family")
    _check_package(next(iter(architecture.packages), None) if architecture else None, family)
    names = kinetics_labels() if labels is None else read_labels(labels)
    from jobs.convert.published import file_sha256, read_published

    with written_aside(output) as folder:
        tensors = read_published(file)
        try:
            config, tensors = _of_family(architecture, tensors, names)
        except ModelError as exc:
            hint = "; give `labels` if its classes are not those of Kinetics-400" if labels is None else ""
            raise UsageError(f"{exc.message}{hint}", argument="file", value=file) from exc
        parameters = sum(tensor.numel() for tensor in tensors.values())
        digest = file_sha256(file)
        done = Converted(output, family, len(tensors), parameters, len(names), digest, license_name or "unknown")
        _write(folder, config, _preprocessing(architecture), tensors, model_card(done, file.name, architecture))
    return done


def kinetics_labels() -> list[str]:
    """The 400 classes of Kinetics-400 in the order of published networks, which is alphabetical.

    Raises:
        ModelError: torchvision, which lists them, is not installed.
    """
    _check_package("torchvision", "Kinetics-400")
    from torchvision.models.video import R3D_18_Weights

    return [str(name) for name in R3D_18_Weights.KINETICS400_V1.meta["categories"]]


def read_labels(file: Path) -> list[str]:
    """The lines of a text file, each a class.

    Raises:
        UsageError: it cannot be read, or a line is empty or there twice.
    """
    refuse = partial(UsageError, argument="labels", value=file)
    if not file.is_file() or file.stat().st_size > _MAX_LABELS_BYTES:
        raise refuse("is not a text file; give one with a class on each line, in the order of the network's classes")
    try:
        names = [line.strip() for line in file.read_text(encoding="utf-8-sig").splitlines()]
    except ValueError as exc:
        raise refuse("is not a text in UTF-8; give one with a class on each line") from exc
    except OSError as exc:
        raise refuse(f"cannot be read: {exc.strerror}; give another") from exc
    lines: dict[str, int] = {}
    for number, name in enumerate(names, 1):
        if not name or name in lines:
            problem = f"{name!r} is there already, on line {lines[name]}" if name else "is empty"
            raise refuse(f"line {number} {problem}; give each class a line of its own")
        lines[name] = number
    if not names:
        raise refuse("is empty; give a class on each line")
    return names


def _check_package(package: str | None, what: str) -> None:
    if package and find_spec(package) is None:
        raise ModelError(f"{what} needs {package}, not installed here; pip install 'vidsift[classic]'")


def _of_family(
    architecture: Architecture | None, tensors: dict[str, torch.Tensor], labels: Sequence[str]
) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """config.json and the tensors as they are to be stored.

    Raises:
        ModelError: the tensors are not those of the family.
    """
    if architecture is None:
        from jobs.convert.videomae_v2 import to_transformers

        return to_transformers(tensors, labels)
    from pipeline.models.build import build, fill, weight_problems

    model = build(architecture, len(labels))
    if problems := weight_problems(model.state_dict(), tensors):
        classes = f"a {architecture.name} with {len(labels)} classes"
        raise ModelError(f"its tensors are not those of {classes}: {'; '.join(problems)}")
    fill(model, tensors)
    config = {
        "model_type": architecture.name,
        "num_frames": architecture.num_frames,
        **architecture.config,
        "id2label": dict(enumerate(labels)),
        "label2id": {label: number for number, label in enumerate(labels)},
    }
    return config, dict(model.state_dict())


def _preprocessing(architecture: Architecture | None) -> dict[str, Any]:
    """preprocessor_config.json, with every key that vidsift reads."""
    if architecture is None:
        return {
            "image_processor_type": "VideoMAEImageProcessor",
            **_IMAGENET,
            "size": {"shortest_edge": 224},
            "crop_size": 224,
        }
    kept = ("do_resize", "resample", "do_center_crop", "do_rescale", "rescale_factor", "do_normalize")
    return {**{key: COMMON_DEFAULTS[key] for key in kept}, **architecture.processor.defaults}


def _write(
    folder: Path, config: Mapping[str, Any], pixels: Mapping[str, Any], tensors: Mapping[str, torch.Tensor], card: str
) -> None:
    from safetensors.torch import save_file

    save_file(
        {name: tensor.detach().clone() for name, tensor in tensors.items()}, folder / "model.safetensors", {"format": "pt"}
    )
    for name, content in (("config.json", config), ("preprocessor_config.json", pixels)):
        (folder / name).write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    (folder / "README.md").write_text(card, encoding="utf-8")
    # safetensors makes its files readable for their owner alone.
    (folder / "model.safetensors").chmod((folder / "config.json").stat().st_mode & 0o777)


def model_card(done: Converted, file_name: str, architecture: Architecture | None) -> str:
    """Markdown with the front matter that model hubs read."""
    network = f"{architecture.library}'s `{architecture.name}`" if architecture else "VideoMAE v2, as transformers' VideoMAE"
    said = done.license if done.license != "unknown" else "unknown: none was given when it was converted; ask its authors"
    return "\n".join([
        "---",
        f"license: {json.dumps(done.license, ensure_ascii=False)}",
        f"tags: [video, {done.family}]",
        "---",
        "",
        f"# {done.output.resolve().name}",
        "",
        f"A video classifier of {done.labels} classes: {network}, with published weights that vidsift converted.",
        "",
        f"- Weights: {json.dumps(file_name, ensure_ascii=False)}, SHA-256 {done.source_sha256}.",
        f"- {done.tensors} tensors, {done.parameters:,} values; names, shapes and values were checked.",
        f"- Licence: {said}.",
        "",
    ])  # fmt: skip
