"""Checks and loads checkpoints by their `ModelFamily`."""

from __future__ import annotations

from importlib.util import find_spec
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any, cast

from pipeline.models import families
from pipeline.models.families import ModelFamily, Role, classifier_family, embedder_family
from schemas.errors import ModelError, UsageError

if TYPE_CHECKING:
    from pipeline.models.base import Classifier, Embedder
    from schemas.models import Checkpoint
    from schemas.options import Engine, Precision


# What an engine needs beside vidsift's own dependencies, by name of the import.
_PACKAGES: dict[Engine, tuple[str, ...]] = {"torch": (), "openvino": ("openvino",), "onnx": ("onnx", "onnxruntime")}


_MOST_FRAMES = 256  # that a classifier can be shown of a clip


def check_classifier(checkpoint: Checkpoint) -> None:
    """Refuse a checkpoint that was not trained to classify video, before anything heavy starts.

    Raises:
        ModelError: its weights were saved from another kind of model, or a package that it needs is not installed.
    """
    family = classifier_family(checkpoint.model_type)
    _check_architectures(checkpoint, family, "video classification")
    _check_packages(checkpoint, family)


def check_frames(checkpoint: Checkpoint, num_frames: int) -> None:
    """Refuse a number of frames that a classifier cannot be shown (`pipeline.models.longer_clips`).

    Of an encoder of single frames, that a classifier over it cannot be made for.

    Raises:
        UsageError: its family takes no other number than it was trained with, or not this one.
    """
    single = checkpoint.model_type in families.FRAME_ENCODERS
    together = 1 if single else classifier_family(checkpoint.model_type).frames_together
    if together is None:
        types = " or ".join(family.model_type for family in families.FAMILIES if family.frames_together)
        raise UsageError(
            f"got {num_frames}, but models of type {checkpoint.model_type!r} take only the number that they were trained "
            f"with; leave the option out, or take a classifier of type {types}",
            argument="frames",
        )
    if not together <= num_frames <= _MOST_FRAMES or num_frames % together:
        multiples = f" in multiples of {together}" if together > 1 else ""
        raise UsageError(f"got {num_frames}, expected {together} to {_MOST_FRAMES}{multiples}", argument="frames")


def check_embedder(checkpoint: Checkpoint) -> ModelFamily:
    """Refuse a checkpoint that vidsift knows no embedder for, before anything heavy starts.

    Returns:
        The family that loads it.

    Raises:
        ModelError: no embedder of this type is known, its weights were saved from another kind of model, config.json does
            not say its embeddings' dimension, or a package that it needs is not installed.
    """
    family = embedder_family(checkpoint.model_type)
    if family is None or not checkpoint.embedding_dim:
        types = ", ".join(family.model_type for family in families.FAMILIES if family.role == "embedder")
        raise ModelError(
            f"got a model of type {checkpoint.model_type!r}, expected {types} with its "
            "embeddings' dimension in config.json (such as projection_dim); give a checkpoint that embeds video and text",
            argument="embedder",
            value=checkpoint.name,
        )
    _check_architectures(checkpoint, family, "embedding video and text")
    _check_packages(checkpoint, family)
    return family


def check_engine(engine: Engine, classifier: Checkpoint, embedder: Checkpoint) -> None:
    """Check that ``engine`` is installed and can run both models.

    Raises:
        UsageError: its package is not installed, or it cannot run one of them.
    """
    if missing := [package for package in _PACKAGES[engine] if find_spec(package) is None]:
        its = "its package is" if missing == [engine] else f"{' and '.join(missing)}:"
        message = f"{its} not installed; pip install 'vidsift[{engine}]', or take torch"
        raise UsageError(message, argument="engine", value=engine)
    if engine == "torch":
        return
    for checkpoint, family in (
        (classifier, classifier_family(classifier.model_type)),
        (embedder, check_embedder(embedder)),
    ):
        _loader(family, checkpoint, engine)


def uses_gpus(engine: Engine) -> bool:
    """Whether an engine computes on GPUs where there are some: PyTorch, and ONNX Runtime as its package for GPUs."""
    if engine != "onnx":
        return engine == "torch"
    import onnxruntime

    return "CUDAExecutionProvider" in onnxruntime.get_available_providers()


def load_classifier(checkpoint: Checkpoint, precision: Precision = "auto", engine: Engine = "torch") -> Classifier:
    """Load a classifier onto the GPU where there is one, else onto the CPU; by other engines than ``torch``, onto the CPU.

    Raises:
        ModelError: transformers knows no video classifier of this type, or the files do not fit together.
        UsageError: ``engine`` cannot run it.
    """
    loader = _loader(classifier_family(checkpoint.model_type), checkpoint, engine)
    return cast("Classifier", resolve_name(loader)(checkpoint, precision))


def load_embedder(checkpoint: Checkpoint, precision: Precision = "auto", engine: Engine = "torch") -> Embedder:
    """Load an embedder onto the GPU where there is one, else onto the CPU; by other engines than ``torch``, onto the CPU.

    Raises:
        ModelError: no embedder of this type is known, or the files do not fit together.
        UsageError: ``engine`` cannot run it.
    """
    loader = _loader(check_embedder(checkpoint), checkpoint, engine)
    return cast("Embedder", resolve_name(loader)(checkpoint, precision))


def load_text_embedder(checkpoint: Checkpoint, precision: Precision = "auto") -> Embedder:
    """Load an embedder for text queries. Where its family can, weights that only clips need are loaded with the first clip.

    Raises:
        ModelError: as for `load_embedder`.
    """
    family = check_embedder(checkpoint)
    settings = {"texts_first": True} if family.texts_first else {}
    return cast("Embedder", resolve_name(family.loader)(checkpoint, precision, **settings))


def import_text_embedder(model_type: str) -> None:
    """Import the modules that `load_text_embedder` needs, which takes seconds, so that other work can go on meanwhile."""
    if family := embedder_family(model_type):
        resolve_name(family.loader)


def loader_of(role: Role, model_type: str) -> Any:
    """What loads a family's models by PyTorch: a class, unless its line says otherwise.

    Raises:
        ModelError: no embedder of this type is known.
    """
    family = classifier_family(model_type) if role == "classifier" else embedder_family(model_type)
    if family is None:
        raise ModelError(f"got a model of type {model_type!r}, expected an embedder that vidsift knows")
    return resolve_name(family.loader)


def _check_architectures(checkpoint: Checkpoint, family: ModelFamily, purpose: str) -> None:
    ending = family.architectures
    if checkpoint.architectures and not any(name.endswith(ending) for name in checkpoint.architectures):
        endings = ending if isinstance(ending, str) else " or ".join(ending)
        raise ModelError(
            f"got {', '.join(checkpoint.architectures)}, expected a model for {purpose}, "
            f"whose class name ends in {endings}; take a checkpoint that was trained for it",
            argument=family.role,
            value=checkpoint.name,
        )


def _check_packages(checkpoint: Checkpoint, family: ModelFamily) -> None:
    if missing := [package for package in family.packages if find_spec(package) is None]:
        raise ModelError(
            f"models of type {family.model_type!r} need {' and '.join(missing)}, not installed here; "
            f"pip install 'vidsift[{family.extra}]'",
            argument=family.role,
            value=checkpoint.name,
        )


def _loader(family: ModelFamily, checkpoint: Checkpoint, engine: Engine) -> str:
    """Import path of the class that loads ``checkpoint`` for ``engine``."""
    loader = family.loader_for(engine)
    if loader is None:
        types = [other.model_type for other in families.FAMILIES if other.role == family.role and engine in other.engines]
        article = "an" if family.role == "embedder" else "a"
        raise UsageError(
            f"got {article} {family.role} of type {checkpoint.model_type!r}, expected {', '.join(types)}; take torch",
            argument="engine",
            value=engine,
        )
    return loader
