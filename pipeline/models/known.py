"""Published checkpoints that vidsift runs: what each is for, what it reaches, what it costs, and under which licence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pipeline.models.families import Role

MTEB = "embeddings-benchmark/results, MTEB's video benchmark (its MSR-VTT has 1,758 samples)"
COMPARED = "arXiv 2504.13181, table 6"
VIDEOPRISM_README = "README of google-deepmind/videoprism"
AUTHORS = "as its authors report"
TORCHVISION = "torchvision 0.28, its weights' own figures"
PYTORCHVIDEO = "pytorchvideo's model zoo"
UNIFORMER_README = "README of Sense-X/UniFormer, of 4 clips a video"
VIDEOMAE_V2_ZOO = "docs/MODEL_ZOO.md of OpenGVLab/VideoMAEv2"
_UNKNOWN = "see its card"


@dataclass(frozen=True, slots=True)
class KnownModel:
    """A published checkpoint.

    Figures of different sources are not strictly comparable: numbers of test captions, of frames and of views differ.

    Attributes:
        name: its hub id, with the revision where only that one can be loaded; or the name of a published file, which
            ``vidsift convert`` makes a folder of.
        model_type: ``model_type`` of its config.json.
        role: classifier or embedder.
        purpose: what it is for, in a few words.
        num_frames: frames of a clip that it is shown.
        dim: dimension of its embeddings, or the number of its labels.
        licence: of the weights, as far as it was looked up.
        commercial: whether the licence allows commercial use.
        figures: by benchmark, text-to-video R@1 of an embedder or top-1 of a classifier, in percent.
        source: of the figures.
        shape: what differs from the defaults of transformers' configuration of its type, nothing for a published file; None
            where that is not known here.
        picture: height and width of its pictures, for those that take any shape; None where its configuration says it.
    """

    name: str
    model_type: str
    role: Role
    purpose: str
    num_frames: int
    dim: int
    licence: str = _UNKNOWN
    commercial: bool = True
    figures: Mapping[str, float] = field(default_factory=dict)
    source: str = ""
    shape: Mapping[str, Any] | None = None
    picture: tuple[int, int] | None = None


def _vit(width: int, layers: int, patch: int, size: int = 224) -> dict[str, int]:
    """A vision transformer's configuration."""
    return {
        "hidden_size": width,
        "intermediate_size": 4 * width,
        "num_hidden_layers": layers,
        "num_attention_heads": width // 64,
        "patch_size": patch,
        "image_size": size,
    }


_BASE, _LARGE = (768, 12), (1024, 24)
_LARGE_LAYERS = {"hidden_size": 1024, "intermediate_size": 4096, "num_attention_heads": 16}
_CLIP_TEXT_L = {"hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12}
_ENGLISH = "English sentences"


def _metaclip_2(name: str, dim: int, vision: Mapping[str, int], text_width: int, text_layers: int) -> KnownModel:
    """Its shape is as facebookresearch/MetaCLIP has it in src/mini_clip/model_configs: "worldwide", with 901,629 tokens."""
    text = {
        "vocab_size": 901_629,
        "hidden_size": text_width,
        "intermediate_size": 4 * text_width,
        "num_hidden_layers": text_layers,
        "num_attention_heads": text_width // 64,
    }
    return KnownModel(
        name,
        "metaclip_2",
        "embedder",
        "sentences in many languages",
        8,
        dim,
        "CC-BY-NC-4.0",
        commercial=False,
        shape={"projection_dim": dim, "text_config": text, "vision_config": vision},
    )


def _published_file(file: str, model_type: str, num_frames: int, top_1: float, library: str) -> KnownModel:
    """Weights of Kinetics-400 that a library publishes as a file, without a licence for them."""
    source, licence = (TORCHVISION, "BSD-3-Clause") if library == "torchvision" else (PYTORCHVIDEO, "Apache-2.0")
    return KnownModel(
        file,
        model_type,
        "classifier",
        "400 actions; vidsift convert makes it a model",
        num_frames,
        400,
        f"code {licence}, weights not stated",
        figures={"Kinetics-400": top_1},
        source=source,
        shape={},
    )


KNOWN: tuple[KnownModel, ...] = (
    KnownModel(
        "microsoft/xclip-base-patch32",
        "xclip",
        "embedder",
        "action words; the default",
        8,
        512,
        "MIT",
        figures={"MSR-VTT": 10.4, "MSVD": 24.2, "DiDeMo": 9.9, "ActivityNet": 9.2},
        source=MTEB,
        shape={"vision_config": {"num_frames": 8}},
    ),
    KnownModel(
        "microsoft/xclip-base-patch16",
        "xclip",
        "embedder",
        "action words",
        8,
        512,
        "MIT",
        figures={"MSR-VTT": 16.0, "MSVD": 31.4, "DiDeMo": 13.4, "ActivityNet": 10.7},
        source=MTEB,
        shape={"vision_config": {**_vit(*_BASE, 16), "num_frames": 8}},
    ),
    KnownModel(
        "microsoft/xclip-large-patch14",
        "xclip",
        "embedder",
        "action words",
        8,
        768,
        "MIT",
        figures={"MSR-VTT": 26.8, "MSVD": 41.1, "DiDeMo": 20.0, "ActivityNet": 14.7},
        source=MTEB,
        shape={
            "projection_dim": 768,
            "text_config": _CLIP_TEXT_L,
            "vision_config": {
                **_vit(*_LARGE, 14),
                "num_frames": 8,
                "mit_hidden_size": 768,
                "mit_intermediate_size": 3072,
                "mit_num_attention_heads": 12,
            },
        },
    ),
    KnownModel(
        "openai/clip-vit-base-patch16",
        "clip",
        "embedder",
        _ENGLISH,
        8,
        512,
        "MIT",
        figures={"MSR-VTT": 30.4, "MSVD": 40.5, "ActivityNet": 9.1},
        source=COMPARED,
        shape={"vision_config": _vit(*_BASE, 16)},
    ),
    KnownModel(
        "openai/clip-vit-large-patch14",
        "clip",
        "embedder",
        _ENGLISH,
        8,
        768,
        "MIT",
        shape={"projection_dim": 768, "text_config": _CLIP_TEXT_L, "vision_config": _vit(*_LARGE, 14)},
    ),
    KnownModel(
        "google/siglip2-base-patch16-224",
        "siglip",
        "embedder",
        "sentences in many languages",
        8,
        768,
        "Apache-2.0",
        figures={"MSR-VTT": 38.5, "MSVD": 49.0, "ActivityNet": 28.6},
        source=COMPARED,
        shape={"text_config": {"vocab_size": 256_000}, "vision_config": _vit(*_BASE, 16)},
    ),
    KnownModel(
        "google/siglip2-large-patch16-384",
        "siglip",
        "embedder",
        "sentences in many languages",
        8,
        1024,
        "Apache-2.0",
        figures={"MSR-VTT": 41.5, "MSVD": 53.7, "ActivityNet": 35.9},
        source=COMPARED,
        shape={
            "text_config": {"vocab_size": 256_000, **_vit(*_LARGE, 16)},
            "vision_config": _vit(*_LARGE, 16, 384),
        },
    ),
    KnownModel(
        "google/siglip2-base-patch16-naflex",
        "siglip2",
        "embedder",
        "the same, pictures in their own shape",
        8,
        768,
        "Apache-2.0",
        shape={"text_config": {"vocab_size": 256_000}, "vision_config": {"num_patches": 256}},
    ),
    KnownModel(
        "google/siglip-base-patch16-224",
        "siglip",
        "embedder",
        _ENGLISH,
        8,
        768,
        "Apache-2.0",
        shape={"vision_config": _vit(*_BASE, 16)},
    ),
    _metaclip_2("facebook/metaclip-2-worldwide-s16", 384, _vit(384, 12, 16), 384, 12),
    _metaclip_2("facebook/metaclip-2-worldwide-b16", 512, _vit(*_BASE, 16), 512, 12),
    _metaclip_2(
        "facebook/metaclip-2-worldwide-huge-quickgelu", 1024, {**_vit(1280, 32, 14), "num_attention_heads": 16}, 1024, 24
    ),
    KnownModel(
        "OFA-Sys/chinese-clip-vit-base-patch16",
        "chinese_clip",
        "embedder",
        "Chinese sentences",
        8,
        512,
        shape={"vision_config": _vit(*_BASE, 16)},
    ),
    KnownModel(
        "BAAI/AltCLIP",
        "altclip",
        "embedder",
        "English and Chinese sentences",
        8,
        768,
        shape={"projection_dim": 768, "vision_config": _vit(*_LARGE, 14)},  # the pictures' part is OpenAI's CLIP L/14
    ),
    KnownModel("kakaobrain/align-base", "align", "embedder", _ENGLISH, 8, 640, shape={"vision_config": {"image_size": 289}}),
    KnownModel(
        "google/videoprism-lvt-base-f16r288@fb6de9f0eb7bc285be86bdca1cf7daa3e3ef51ff",
        "videoprism",
        "embedder",
        "sentences about motion",
        16,
        768,
        "Apache-2.0, CC-BY",
        figures={"MSR-VTT": 50.1, "ActivityNet": 48.8},
        source=VIDEOPRISM_README,
        shape={},
    ),
    KnownModel(
        "google/videoprism-lvt-large-f8r288@03900b4ecc0b278b30abdc5953c575bb5f083865",
        "videoprism",
        "embedder",
        "sentences about motion",
        8,
        1024,
        "Apache-2.0, CC-BY",
        figures={"MSR-VTT": 50.1, "ActivityNet": 51.3},
        source=VIDEOPRISM_README,
        shape={  # videoprism_lvt_v1_large in videoprism/models.py of google-deepmind/videoprism
            "vision_config": {**_LARGE_LAYERS, "num_spatial_layers": 24, "num_frames": 8},
            "text_config": _LARGE_LAYERS,
        },
    ),
    KnownModel(
        "facebook/pe-av-small",
        "pe_audio_video",
        "embedder",
        f"{_ENGLISH}; needs vidsift[pe]",
        8,
        1024,
        "Apache-2.0",
        figures={"MSR-VTT": 37.9, "ActivityNet": 50.2},
        source=MTEB,
    ),
    KnownModel(
        "facebook/pe-av-base",
        "pe_audio_video",
        "embedder",
        f"{_ENGLISH}; needs vidsift[pe]",
        8,
        1024,
        "Apache-2.0",
        figures={"MSR-VTT": 38.8, "ActivityNet": 51.7},
        source=MTEB,
    ),
    KnownModel(
        "facebook/pe-av-large",
        "pe_audio_video",
        "embedder",
        f"{_ENGLISH}; needs vidsift[pe]",
        8,
        1024,
        "Apache-2.0",
        figures={"MSR-VTT": 42.3, "ActivityNet": 51.7},
        source=MTEB,
        shape={},  # transformers documents its defaults as those of this one
        picture=(336, 336),
    ),
    KnownModel(
        "Qwen/Qwen3-VL-Embedding-2B",
        "qwen3_vl",
        "embedder",
        "sentences in many languages; for GPUs",
        8,
        2048,
        "Apache-2.0",
        figures={"MSR-VTT": 55.6, "MSVD": 75.2, "DiDeMo": 55.6, "ActivityNet": 58.1},
        source=MTEB,
        shape={
            "text_config": {
                "hidden_size": 2048,
                "intermediate_size": 6144,
                "num_hidden_layers": 28,
                "num_attention_heads": 16,
                "num_key_value_heads": 8,
                "head_dim": 128,
                "rope_parameters": {"rope_type": "default", "rope_theta": 5_000_000.0, "mrope_section": [24, 20, 20]},
                "use_cache": False,
            },
            "vision_config": {
                "depth": 24,
                "hidden_size": 1024,
                "intermediate_size": 4096,
                "out_hidden_size": 2048,
                "deepstack_visual_indexes": [5, 11, 17],
            },
        },
        picture=(288, 512),
    ),
    KnownModel(
        "google/embeddinggemma-2",
        "embedding_gemma2",
        "embedder",
        "sentences in many languages",
        4,
        768,
        "Apache-2.0",
        shape={"vision_config": {"model_type": "gemma4_vision"}},
        picture=(384, 720),
    ),
    KnownModel(
        "MCG-NJU/videomae-base-finetuned-kinetics",
        "videomae",
        "classifier",
        "400 actions; the default",
        16,
        400,
        "CC-BY-NC-4.0",
        commercial=False,
        figures={"Kinetics-400": 80.9},
        source=AUTHORS,
        shape={"num_labels": 400},
    ),
    KnownModel(
        "MCG-NJU/videomae-large-finetuned-kinetics",
        "videomae",
        "classifier",
        "400 actions",
        16,
        400,
        "CC-BY-NC-4.0",
        commercial=False,
        figures={"Kinetics-400": 84.7},
        source=AUTHORS,
        shape={**_vit(*_LARGE, 16), "num_labels": 400},
    ),
    KnownModel(
        "MCG-NJU/videomae-base-finetuned-ssv2",
        "videomae",
        "classifier",
        "174 things done with objects",
        16,
        174,
        "CC-BY-NC-4.0",
        commercial=False,
        figures={"SSv2": 70.6},
        source=AUTHORS,
        shape={"num_labels": 174},
    ),
    KnownModel(
        "facebook/timesformer-base-finetuned-k400",
        "timesformer",
        "classifier",
        "400 actions",
        8,
        400,
        "CC-BY-NC-4.0",
        commercial=False,
        figures={"Kinetics-400": 77.9},
        source=AUTHORS,
        shape={"num_labels": 400},
    ),
    *(
        KnownModel(
            file,
            "videomae",
            "classifier",
            "710 actions; vidsift convert makes it a model, with their names",
            16,
            710,
            figures={"Kinetics-400": top_1},
            source=VIDEOMAE_V2_ZOO,
            shape={**_vit(width, 12, 16), "num_labels": 710},
        )
        for file, width, top_1 in (
            ("vit_s_k710_dl_from_giant.pth", 384, 83.7),
            ("vit_b_k710_dl_from_giant.pth", 768, 86.6),
        )
    ),
    _published_file("r3d_18-b3b3357e.pth", "r3d_18", 16, 63.2, "torchvision"),
    _published_file("mc3_18-a90a0ba3.pth", "mc3_18", 16, 63.96, "torchvision"),
    _published_file("r2plus1d_18-91a641e6.pth", "r2plus1d_18", 16, 67.463, "torchvision"),
    _published_file("s3d-d76dad2f.pth", "s3d", 128, 68.368, "torchvision"),
    _published_file("mvit_v1_b-dbeb1030.pth", "mvit_v1_b", 16, 78.477, "torchvision"),
    _published_file("mvit_v2_s-ae3be167.pth", "mvit_v2_s", 16, 80.757, "torchvision"),
    _published_file("swin3d_t-7615ae03.pth", "swin3d_t", 32, 77.715, "torchvision"),
    _published_file("swin3d_s-da41c237.pth", "swin3d_s", 32, 79.521, "torchvision"),
    _published_file("swin3d_b_1k-24f7c7c6.pth", "swin3d_b", 32, 79.427, "torchvision"),
    _published_file("swin3d_b_22k-7c6ae6fa.pth", "swin3d_b", 32, 81.643, "torchvision"),
    _published_file("SLOWFAST_8x8_R50.pyth", "slowfast_r50", 32, 76.94, "pytorchvideo"),
    _published_file("X3D_XS.pyth", "x3d_xs", 4, 69.12, "pytorchvideo"),
    _published_file("X3D_S.pyth", "x3d_s", 13, 73.33, "pytorchvideo"),
    _published_file("X3D_M.pyth", "x3d_m", 16, 75.94, "pytorchvideo"),
    _published_file("I3D_8x8_R50.pyth", "i3d_r50", 8, 73.27, "pytorchvideo"),
    *(
        KnownModel(
            file,
            model_type,
            "classifier",
            "400 actions; vidsift convert makes it a model",
            16,
            400,
            figures={"Kinetics-400": k400},
            source=UNIFORMER_README,
            shape={},
        )
        for file, model_type, k400 in (
            ("uniformer_small_k400_16x4.pth", "uniformer_s", 80.8),
            ("uniformer_base_k400_16x4.pth", "uniformer_b", 82.0),
        )
    ),
)


def known_model(name: str) -> KnownModel | None:
    """The entry of a hub id; of any revision, where the entry names another. None where there is none."""
    repository = name.partition("@")[0]
    return next((known for known in KNOWN if known.name.partition("@")[0] == repository), None)


def licence_note(name: str) -> str | None:
    """A sentence about a model whose licence forbids commercial use; None for others."""
    known = known_model(name)
    if known is None or known.commercial:
        return None
    return f"the licence of {name} ({known.licence}) forbids commercial use"
