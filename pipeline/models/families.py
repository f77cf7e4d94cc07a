"""The kinds of models that vidsift knows. To add one: a file with a class, and a line in `FAMILIES`.

Records name their classes by import path, so that reading them imports neither torch nor transformers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

from pipeline.models.architectures import ARCHITECTURES, Architecture
from pipeline.models.processors import (
    CHINESE_CLIP,
    CLIP,
    EFFICIENTNET,
    EMBEDDING_GEMMA2,
    PE_VIDEO,
    QWEN3_VL,
    SIGLIP,
    SIGLIP2,
    VIDEOMAE,
    VIDEOPRISM,
    VIVIT,
    VJEPA2,
    Processor,
)
from schemas.options import Engine

Role = Literal["classifier", "embedder"]

FRAME_ENCODERS = ("resnet",)
"""``model_type`` of the models that see single frames, over whose features a classifier of clips can be trained."""


def projection_dim(config: Mapping[str, Any]) -> int | None:
    """``projection_dim`` of a config.json; None where it is missing."""
    dim = config.get("projection_dim")
    return dim if isinstance(dim, int) else None


def vision_width(config: Mapping[str, Any]) -> int | None:
    """``hidden_size`` of a config.json's vision model, which SigLIP and VideoPrism embed into; 768 where it is left out."""
    vision = config.get("vision_config") or {}
    width = vision.get("hidden_size", 768) if isinstance(vision, Mapping) else None
    return width if isinstance(width, int) else None


def text_width(config: Mapping[str, Any], default: int | None = None) -> int | None:
    """``hidden_size`` of a config.json's text model, which language models embed into; ``default`` where it is left out."""
    text = config.get("text_config")
    width = text.get("hidden_size", default) if isinstance(text, Mapping) else default
    return width if isinstance(width, int) else None


def text_embedding_dim(config: Mapping[str, Any]) -> int | None:
    """``embedding_dim`` of a config.json's text model; 768 where it is left out. None where no vision model is beside it."""
    text = config.get("text_config") or {}
    if not config.get("vision_config"):
        return None
    dim = text.get("embedding_dim", 768) if isinstance(text, Mapping) else None
    return dim if isinstance(dim, int) else None


def own_num_frames(config: Mapping[str, Any], family: ModelFamily | None) -> int | None:
    """Frames of a clip by a config.json, whose families name the key differently; by the family where it is left out."""
    vision = config.get("vision_config") or {}
    for value in (config.get("num_frames"), vision.get("num_frames"), config.get("frames_per_clip")):
        if isinstance(value, int):
            return value
    return family.num_frames if family else None


@dataclass(frozen=True, slots=True)
class TextFormat:
    """How a text model was trained to read texts.

    Attributes:
        max_tokens: the most tokens that it reads; None means its ``max_position_embeddings``.
        pad_to_max: whether shorter texts are padded to that number, as the model saw them in training.
        attention_mask: whether it is told which tokens are padding.
        lower_case: whether it only ever saw lower-case letters.
        prefix: what it was told before a query.
    """

    max_tokens: int | None = None
    pad_to_max: bool = False
    attention_mask: bool = True
    lower_case: bool = False
    prefix: str = ""

    def prepared(self, text: str) -> str:
        """The text as the tokenizer is to get it."""
        return self.prefix + (text.lower() if self.lower_case else text)


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
        texts_first: whether the loader takes ``texts_first=True``, to load the weights that only clips need with the first
            clip.
        texts: how its text model was trained to read texts.
        architectures: how the class names in config.json (``architectures``) have to end, in one of these ways; empty allows
            all.
        processor: the image processor of a preprocessor_config.json that names none.
        num_frames: frames per clip where config.json does not say.
        embedding_dim: reads an embedder's dimension from config.json.
        packages: what its models need beside vidsift's own dependencies, by name of the import.
        extra: vidsift's extra that installs them.
        rerank: whether its embedders are a `RerankEmbedder`.
        cut_dims: whether the first numbers of its vectors are embeddings too (Matryoshka), and its embedders give as many as
            `Checkpoint.embedding_dim` says.
        frames_together: frames of which its classifiers can be shown any multiple, since what tells them the time can be
            interpolated (`pipeline.models.longer_clips`); None where they take only as many as they were trained with.
        view_s: seconds that its classifiers were trained to see at once, by their number of frames, where that was published
            (`pipeline.models.views`).
        cuda_graphs: whether the forward pass can be recorded as a CUDA graph: it must not copy between host and GPU.
    """

    model_type: str
    role: Role
    loader: str
    engines: Mapping[Engine, str] = field(default_factory=dict)
    texts_first: bool = False
    texts: TextFormat = TextFormat()
    architectures: str | tuple[str, ...] = ""
    processor: Processor | None = None
    num_frames: int | None = None
    embedding_dim: Callable[[Mapping[str, Any]], int | None] = projection_dim
    packages: tuple[str, ...] = ()
    extra: str = ""
    rerank: bool = False
    cut_dims: bool = False
    frames_together: int | None = None
    view_s: Mapping[int, float] = field(default_factory=dict)
    cuda_graphs: bool = False

    def loader_for(self, engine: Engine) -> str | None:
        """Import path of the class that ``engine`` runs; None where it cannot run this family."""
        return self.loader if engine == "torch" else self.engines.get(engine)


def _transformers_classifier(
    model_type: str,
    processor: Processor | None = None,
    num_frames: int | None = None,
    *,
    frames_together: int | None = None,
    frame_steps: Mapping[int, int] | None = None,
    cuda_graphs: bool = False,
) -> ModelFamily:
    """A family that transformers' AutoModelForVideoClassification loads.

    ``frame_steps`` says of videos of 30 frames a second, as Kinetics' are, which of them a model was trained with: every so
    many, by the number of its frames.
    """
    return ModelFamily(
        model_type,
        "classifier",
        "pipeline.models.classifiers.huggingface:HuggingFaceClassifier",
        engines={
            "openvino": "pipeline.models.classifiers.huggingface:OpenVinoClassifier",
            "onnx": "pipeline.models.classifiers.huggingface:OnnxClassifier",
        },
        architectures="ForVideoClassification",
        processor=processor,
        num_frames=num_frames,
        frames_together=frames_together,
        view_s={frames: frames * step / 30 for frames, step in (frame_steps or {}).items()},
        cuda_graphs=cuda_graphs,
    )


def _architecture_classifier(architecture: Architecture) -> ModelFamily:
    """A family of one of `pipeline.models.architectures`."""
    return ModelFamily(
        architecture.name,
        "classifier",
        "pipeline.models.classifiers.architecture:ArchitectureClassifier",
        engines={
            "openvino": "pipeline.models.classifiers.architecture:OpenVinoArchitecture",
            "onnx": "pipeline.models.classifiers.architecture:OnnxArchitecture",
        },
        processor=architecture.processor,
        num_frames=architecture.num_frames,
        view_s={architecture.num_frames: architecture.view_s},
        packages=architecture.packages,
        extra="classic",
    )


def _image_text_embedder(
    model_type: str,
    architecture: str,
    processor: Processor,
    *,
    texts: TextFormat = TextFormat(),
    embedding_dim: Callable[[Mapping[str, Any]], int | None] = projection_dim,
    loader: str = "image_text:ImageTextEmbedder",
    onnx: bool = True,
    cuda_graphs: bool = True,
) -> ModelFamily:
    """A family of image-text encoders that transformers' AutoModel loads, over 8 frames of a clip.

    8 frames are half of the 16 that a VideoMAE sees, so decoding serves both at once. In the ablation of the MTEB video
    benchmark, over five models on MSR-VTT, nDCG@10 is .33 with 1 frame, .54 with 8, .61 with 16 and .63 with 64.
    """
    return ModelFamily(
        model_type,
        "embedder",
        f"pipeline.models.embedders.{loader}",
        engines={"onnx": "pipeline.models.embedders.onnx:OnnxImageText"} if onnx else {},
        texts_first=True,
        texts=texts,
        architectures=architecture,
        processor=processor,
        num_frames=8,
        embedding_dim=embedding_dim,
        rerank=True,
        cuda_graphs=cuda_graphs,
    )


_SIGLIP_TEXTS = TextFormat(max_tokens=64, pad_to_max=True, attention_mask=False, lower_case=True)

FAMILIES: tuple[ModelFamily, ...] = (
    # Steps of VideoMAE: the authors' training scripts for Kinetics-400 (--num_frames 16 --sampling_rate 4); of TimeSformer,
    # TimeSformer-HR and TimeSformer-L: Bertasius et al., 2021, section 4 (rates of 1/32, 1/16 and 1/4); of ViViT: Arnab et
    # al., 2021, section 4.1 (32 frames with a stride of 2).
    _transformers_classifier("videomae", VIDEOMAE, num_frames=16, frames_together=2, frame_steps={16: 4}, cuda_graphs=True),
    _transformers_classifier(
        "timesformer", VIDEOMAE, num_frames=8, frames_together=1, frame_steps={8: 32, 16: 16, 96: 4}, cuda_graphs=True
    ),
    _transformers_classifier("vivit", VIVIT, num_frames=32, frame_steps={32: 2}, cuda_graphs=True),
    _transformers_classifier("vjepa2", VJEPA2, num_frames=64, cuda_graphs=True),
    *map(_architecture_classifier, ARCHITECTURES),
    ModelFamily(
        "frame_transformer",
        "classifier",
        "pipeline.models.classifiers.frame_transformer:FrameTransformerClassifier",
        engines={"onnx": "pipeline.models.classifiers.frame_transformer:OnnxFrameTransformer"},
        architectures="FrameTransformerForVideoClassification",
    ),
    ModelFamily(
        "sound_video",
        "classifier",
        "pipeline.models.classifiers.sound:SoundVideoClassifier",
        engines={"onnx": "pipeline.models.classifiers.sound:OnnxSoundVideo"},
        architectures="SoundVideoForVideoClassification",
    ),
    ModelFamily(
        "xclip",
        "embedder",
        "pipeline.models.embedders.xclip:XClipEmbedder",
        engines={
            "openvino": "pipeline.models.embedders.xclip_openvino:OpenVinoXClip",
            "onnx": "pipeline.models.embedders.onnx:OnnxXClip",
        },
        texts_first=True,
        processor=CLIP,
        num_frames=8,
        rerank=True,
        cuda_graphs=True,
    ),
    _image_text_embedder("clip", "CLIPModel", CLIP),
    _image_text_embedder("metaclip_2", "MetaClip2Model", CLIP),
    _image_text_embedder("altclip", "AltCLIPModel", CLIP, texts=TextFormat(max_tokens=77)),
    _image_text_embedder("chinese_clip", "ChineseCLIPModel", CHINESE_CLIP, texts=TextFormat(max_tokens=52)),
    _image_text_embedder("align", "AlignModel", EFFICIENTNET, texts=TextFormat(max_tokens=64, pad_to_max=True)),
    _image_text_embedder("siglip", "SiglipModel", SIGLIP, texts=_SIGLIP_TEXTS, embedding_dim=vision_width),
    _image_text_embedder(
        "siglip2",
        "Siglip2Model",
        SIGLIP2,
        texts=_SIGLIP_TEXTS,
        embedding_dim=vision_width,
        loader="naflex:NaFlexEmbedder",
        onnx=False,  # a graph is of pictures of one shape
        cuda_graphs=False,
    ),
    ModelFamily(
        "videoprism",
        "embedder",
        "pipeline.models.embedders.videoprism:VideoPrismEmbedder",
        engines={"onnx": "pipeline.models.embedders.onnx:OnnxVideoPrism"},
        texts_first=True,
        texts=TextFormat(max_tokens=64, pad_to_max=True),
        architectures="VideoPrismClipModel",
        processor=VIDEOPRISM,
        num_frames=16,
        embedding_dim=vision_width,
        cuda_graphs=True,
    ),
    ModelFamily(
        "pe_audio_video",
        "embedder",
        "pipeline.models.embedders.pe_audio_video:PeAudioVideoEmbedder",
        texts_first=True,
        architectures="PeAudioVideoModel",
        processor=PE_VIDEO,
        num_frames=8,  # 2 a second of a clip of 4 seconds, as it was trained
        embedding_dim=partial(text_width, default=1024),
        packages=("timm", "torchvision"),
        extra="pe",
    ),
    ModelFamily(
        "qwen3_vl",
        "embedder",
        "pipeline.models.embedders.qwen3_vl:Qwen3VlEmbedder",
        texts=TextFormat(max_tokens=8_192),
        architectures=("Qwen3VLForConditionalGeneration", "Qwen3VLModel"),
        processor=QWEN3_VL,
        num_frames=8,
        embedding_dim=text_width,
        cut_dims=True,
    ),
    ModelFamily(
        "embedding_gemma2",
        "embedder",
        "pipeline.models.embedders.embedding_gemma2:EmbeddingGemma2Embedder",
        texts_first=True,
        texts=TextFormat(max_tokens=8_192, prefix="task: search result | query: "),
        architectures="EmbeddingGemma2Model",
        processor=EMBEDDING_GEMMA2,
        num_frames=4,  # 1 a second of a clip of 4 seconds, as it was trained
        embedding_dim=text_embedding_dim,
        cut_dims=True,
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
