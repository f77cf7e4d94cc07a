"""The kinds of models that vidsift knows. To add one: a file with a class, and a line in `FAMILIES`.

Records name their classes by import path, so that reading them imports neither torch nor transformers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pipeline.models.processors import CLIP, VIDEOMAE, VIVIT, VJEPA2, Processor
from schemas.options import Engine

Role = Literal["classifier", "embedder"]


def projection_dim(config: Mapping[str, Any]) -> int | None:
    """``projection_dim`` of a config.json; None where it is missing."""
    dim = config.get("projection_dim")
    return dim if isinstance(dim, int) else None


@dataclass(frozen=True, slots=True)
class ModelFamily:
    """One kind of model: how it is loaded, and what is known about it before it is loaded.

    Import paths are ``module:name``. They name a class, or another callable, that takes a `Checkpoint` and a `Precision`
    and returns a `Classifier` or an `Embedder` (`pipeline.models.base`), or raises `ModelError`.

    Attributes:
        model_type: ``model_type`` in config.json, which tells which family a checkpoint belongs to.
        role: whether its models classify clips or embed them.
        loader: import path of the class that PyTorch runs.
        engines: import paths of the classes that other engines run, by engine.
        text_loader: import path of a class that embeds texts before the weights for clips are loaded; None takes `loader`.
        architectures: how the class names in config.json (``architectures``) have to end; empty allows all.
        processor: the image processor of a preprocessor_config.json that names none.
        num_frames: frames per clip where config.json does not say.
        embedding_dim: reads an embedder's dimension from config.json.
        rerank: whether its embedders are a `RerankEmbedder`.
        cuda_graphs: whether the forward pass can be recorded as a CUDA graph: it must not copy between host and GPU.
    """

    model_type: str
    role: Role
    loader: str
    engines: Mapping[Engine, str] = field(default_factory=dict)
    text_loader: str | None = None
    architectures: str = ""
    processor: Processor | None = None
    num_frames: int | None = None
    embedding_dim: Callable[[Mapping[str, Any]], int | None] = projection_dim
    rerank: bool = False
    cuda_graphs: bool = False

    def loader_for(self, engine: Engine) -> str | None:
        """Import path of the class that ``engine`` runs; None where it cannot run this family."""
        return self.loader if engine == "torch" else self.engines.get(engine)


def _transformers_classifier(
    model_type: str,
    processor: Processor | None = None,
    num_frames: int | None = None,
    *,
    cuda_graphs: bool = False,
) -> ModelFamily:
    """A family that transformers' AutoModelForVideoClassification loads."""
    return ModelFamily(
        model_type,
        "classifier",
        "pipeline.models.classifiers.huggingface:HuggingFaceClassifier",
        engines={"openvino": "pipeline.models.classifiers.huggingface:OpenVinoClassifier"},
        architectures="ForVideoClassification",
        processor=processor,
        num_frames=num_frames,
        cuda_graphs=cuda_graphs,
    )


FAMILIES: tuple[ModelFamily, ...] = (
    _transformers_classifier("videomae", VIDEOMAE, num_frames=16, cuda_graphs=True),
    _transformers_classifier("timesformer", VIDEOMAE, num_frames=8, cuda_graphs=True),
    _transformers_classifier("vivit", VIVIT, num_frames=32, cuda_graphs=True),
    _transformers_classifier("vjepa2", VJEPA2, num_frames=64, cuda_graphs=True),
    ModelFamily(
        "xclip",
        "embedder",
        "pipeline.models.embedders.xclip:XClipEmbedder",
        engines={"openvino": "pipeline.models.embedders.xclip_openvino:OpenVinoXClip"},
        text_loader="pipeline.models.embedders.xclip_text:XClipTextsFirst",
        processor=CLIP,
        num_frames=8,
        rerank=True,
        cuda_graphs=True,
    ),
)


def family_of(model_type: str) -> ModelFamily | None:
    """The family with this ``model_type``; None where there is none."""
    return next((family for family in FAMILIES if family.model_type == model_type), None)


def classifier_family(model_type: str) -> ModelFamily:
    """The classifiers of this type; of types that `FAMILIES` does not list, those that transformers may know."""
    family = family_of(model_type)
    return family if family and family.role == "classifier" else _transformers_classifier(model_type)


def embedder_family(model_type: str) -> ModelFamily | None:
    """The embedders of this type; None where there are none."""
    family = family_of(model_type)
    return family if family and family.role == "embedder" else None
