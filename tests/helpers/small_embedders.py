"""Small random checkpoints of every family of embedders, made by transformers' own classes."""

from __future__ import annotations

import json
import string
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from tokenizers.pre_tokenizers import ByteLevel
from transformers import (
    AddedToken,
    AlignConfig,
    AlignModel,
    AltCLIPConfig,
    AltCLIPModel,
    ChineseCLIPConfig,
    ChineseCLIPModel,
    CLIPConfig,
    CLIPModel,
    EmbeddingGemma2Config,
    EmbeddingGemma2Model,
    MetaClip2Config,
    MetaClip2Model,
    PeAudioVideoConfig,
    PeAudioVideoModel,
    Qwen2Tokenizer,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
    Siglip2Config,
    Siglip2Model,
    Siglip2Tokenizer,
    SiglipConfig,
    SiglipModel,
    VideoPrismClipModel,
    VideoPrismConfig,
    VideoPrismTokenizer,
)

from demo.checkpoints import byte_tokenizer, perturb, write_embedder

SIDE = 32
_LAYERS = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
_VISION = {**_LAYERS, "image_size": SIDE, "patch_size": 8}
_TOKENS = {"vocab_size": 259, "bos_token_id": 257, "eos_token_id": 258, "pad_token_id": 256}
_TEXT = {**_LAYERS, **_TOKENS}


def _clip() -> Any:
    return CLIPModel(CLIPConfig(text_config=_TEXT, vision_config=_VISION, projection_dim=24))


def _metaclip_2() -> Any:
    return MetaClip2Model(MetaClip2Config(text_config=_TEXT, vision_config=_VISION, projection_dim=24))


def _altclip() -> Any:
    text = {**_TEXT, "project_dim": 32, "max_position_embeddings": 400}
    return AltCLIPModel(AltCLIPConfig(text_config=text, vision_config=_VISION, projection_dim=24))


def _chinese_clip() -> Any:
    return ChineseCLIPModel(ChineseCLIPConfig(text_config=_TEXT, vision_config=_VISION, projection_dim=24))


def _align() -> Any:
    vision = {"image_size": SIDE, "width_coefficient": 0.2, "depth_coefficient": 0.1, "hidden_dim": 24}
    return AlignModel(AlignConfig(text_config=_TEXT, vision_config=vision, projection_dim=64))


def _siglip() -> Any:
    return SiglipModel(SiglipConfig(text_config={**_TEXT, "max_position_embeddings": 64}, vision_config=_VISION))


def _siglip2() -> Any:
    vision = {**_LAYERS, "patch_size": 8, "num_patches": 16}
    return Siglip2Model(Siglip2Config(text_config={**_TEXT, "max_position_embeddings": 64}, vision_config=vision))


def _videoprism() -> Any:
    layers = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 2}
    vision = {**layers, "image_size": SIDE, "tubelet_size": [1, 8, 8], "num_frames": 16}
    vision |= {"num_spatial_layers": 2, "num_temporal_layers": 1, "num_auxiliary_layers": 1}
    return VideoPrismClipModel(VideoPrismConfig(text_config=_TEXT, vision_config=vision))


def pe_audio_video_config() -> PeAudioVideoConfig:
    """Of a small PE-AV; it needs timm for its picture encoder."""
    layers = {**_LAYERS, "head_dim": 16}
    dac = {"encoder_hidden_size": 4, "decoder_hidden_size": 16, "hidden_size": 16, "downsampling_ratios": [2, 2]}
    picture_encoder = {
        "img_size": SIDE,
        "patch_size": 8,
        "embed_dim": 32,
        "depth": 2,
        "num_heads": 2,
        "attn_pool_num_heads": 2,
        "ref_feat_shape": [4, 4],
    }
    vision = {"architecture": "vit_pe_core_tiny_patch16_384", "num_classes": 24, "model_args": picture_encoder}
    video = {
        **layers,
        "model_type": "pe_video_encoder",
        "hidden_size": 48,
        "num_attention_heads": 3,
        "vision_config": vision,
    }
    audio = {**layers, "model_type": "pe_audio_encoder", "dac_config": dac}
    text = {**_TEXT, "model_type": "modernbert", "max_position_embeddings": 64, "cls_token_id": 257, "sep_token_id": 258}
    config = PeAudioVideoConfig(
        text_config=text, audio_video_config={**layers, "audio_config": audio, "video_config": video}
    )
    config.audio_video_config.video_config.vision_config.num_labels = 24
    return config


def _pe_audio_video() -> Any:
    model = PeAudioVideoModel(pe_audio_video_config())
    with torch.no_grad():
        for weights in model.video_model.video_encoder.parameters():
            if weights.ndim > 1:
                weights.mul_(4)  # with less, all clips come out alike
    return model


_CHAT_MARKS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|video_pad|>")


def _qwen3_vl_tokenizer() -> Qwen2Tokenizer:
    """One token per byte, then the marks."""
    vocab = {symbol: i for i, symbol in enumerate(sorted(ByteLevel.alphabet()))}
    tokenizer = Qwen2Tokenizer(vocab={**vocab, "<|endoftext|>": len(vocab)}, merges=[])
    tokenizer.add_tokens([AddedToken(mark, special=True) for mark in _CHAT_MARKS])
    return tokenizer


def _qwen3_vl() -> Any:
    """A whole language model, as the published checkpoints are: what gives logits is not read."""
    text: dict[str, Any] = {**_LAYERS, "hidden_size": 48, "num_key_value_heads": 1, "head_dim": 16, "vocab_size": 262}
    text |= {"initializer_range": 0.3}  # else all that it reads is told from its last token alone
    text |= {"rope_parameters": {"rope_type": "default", "rope_theta": 10_000.0, "mrope_section": [4, 2, 2]}}
    vision: dict[str, Any] = {"hidden_size": 32, "intermediate_size": 64, "depth": 2, "num_heads": 2}
    vision |= {"patch_size": 8, "out_hidden_size": 48}
    vision |= {"num_position_embeddings": 64, "deepstack_visual_indexes": [0], "initializer_range": 0.3}
    return Qwen3VLForConditionalGeneration(
        Qwen3VLConfig(text_config=text, vision_config=vision, **SMALL_TOKENIZER_MARKS["qwen3_vl"])
    )


_GEMMA_MARKS = ("<|image>", "<image|>", "<|video|>", "<|image|>", "<|audio|>")


def _embedding_gemma2_tokenizer() -> Any:
    """One token per byte, then the marks of pictures, videos and sound."""
    tokenizer = byte_tokenizer()
    tokenizer.add_tokens([AddedToken(mark, special=True) for mark in _GEMMA_MARKS])
    return tokenizer


def _embedding_gemma2() -> Any:
    """With sound, as the published checkpoint is: vidsift leaves it out."""
    layers = {**_LAYERS, "num_key_value_heads": 1, "head_dim": 16, "initializer_range": 0.2}
    text: dict[str, Any] = {**layers, **_TOKENS, "vocab_size": 264, "embedding_dim": 24, "hidden_size_per_layer_input": 8}
    text |= {"sliding_window": 48, "sliding_window_pattern": 2, "global_head_dim": 16}
    vision: dict[str, Any] = {**layers, "model_type": "gemma4_vision", "num_key_value_heads": 2}
    vision |= {"patch_size": 4, "pooling_kernel_size": 2, "position_embedding_size": 128}
    audio: dict[str, Any] = {**_LAYERS, "model_type": "gemma4_audio", "output_proj_dims": 32, "num_hidden_layers": 1}
    audio |= {"subsampling_conv_channels": [8, 4]}
    marks = SMALL_TOKENIZER_MARKS["embedding_gemma2"]
    return EmbeddingGemma2Model(EmbeddingGemma2Config(text_config=text, vision_config=vision, audio_config=audio, **marks))


def _videoprism_tokenizer() -> VideoPrismTokenizer:
    marks = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0)]
    return VideoPrismTokenizer(vocab=[*marks, *((character, -3.0) for character in string.printable.strip())])


def _siglip2_tokenizer() -> Siglip2Tokenizer:
    pieces = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "▁", *string.printable.strip()]
    return Siglip2Tokenizer(vocab={piece: i for i, piece in enumerate(pieces)}, merges=[])


# Those that transformers takes whatever tokenizer.json says; one token per character.
OWN_TOKENIZERS: dict[str, Callable[[], Any]] = {
    "videoprism": _videoprism_tokenizer,
    "siglip2": _siglip2_tokenizer,
    "qwen3_vl": _qwen3_vl_tokenizer,
    "embedding_gemma2": _embedding_gemma2_tokenizer,
}


# What the configuration of a language model says of the marks in its texts, by the tokenizers above.
SMALL_TOKENIZER_MARKS: dict[str, dict[str, int]] = {
    "qwen3_vl": {
        "image_token_id": 256,
        "vision_start_token_id": 259,
        "vision_end_token_id": 260,
        "video_token_id": 261,
    },
    "embedding_gemma2": {
        "boi_token_id": 259,
        "eoi_token_id": 260,
        "video_token_id": 261,
        "image_token_id": 262,
        "audio_token_id": 263,
    },
}

# What makes the model, and the image processor's class with the settings that its preprocessor_config.json states.
_CLIP_PROCESSOR = {"image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": SIDE}, "crop_size": SIDE}
IMAGE_TEXT: dict[str, tuple[Callable[[], Any], dict[str, Any]]] = {
    "clip": (_clip, _CLIP_PROCESSOR),
    "metaclip_2": (_metaclip_2, _CLIP_PROCESSOR),
    "altclip": (_altclip, _CLIP_PROCESSOR),
    "chinese_clip": (_chinese_clip, {**_CLIP_PROCESSOR, "image_processor_type": "ChineseCLIPImageProcessor"}),
    "align": (
        _align,
        {
            "image_processor_type": "EfficientNetImageProcessor",
            "size": {"height": 40, "width": 40},
            "do_center_crop": True,
            "crop_size": {"height": SIDE, "width": SIDE},
            "rescale_factor": 1 / 127.5,
            "rescale_offset": True,
            "include_top": False,
        },
    ),
    "siglip": (_siglip, {"image_processor_type": "SiglipImageProcessor", "size": {"height": SIDE, "width": SIDE}}),
    "siglip2": (_siglip2, {"image_processor_type": "Siglip2ImageProcessor", "patch_size": 8, "max_num_patches": 16}),
}
VIDEO_TEXT: dict[str, tuple[Callable[[], Any], dict[str, Any]]] = {
    "videoprism": (_videoprism, {"size": {"height": SIDE, "width": SIDE}}),
    "qwen3_vl": (
        _qwen3_vl,
        {"video_processor_type": "Qwen3VLVideoProcessor", "size": {"shortest_edge": 4_096, "longest_edge": 25_165_824}},
    ),
    "embedding_gemma2": (
        _embedding_gemma2,
        {
            "video_processor_type": "EmbeddingGemma2VideoProcessor",
            "patch_size": 4,
            "pooling_kernel_size": 2,
            "max_soft_tokens": 70,
            "do_normalize": False,
        },
    ),
}
# Those that need packages beside vidsift's own.
WITH_EXTRAS: dict[str, tuple[Callable[[], Any], dict[str, Any]]] = {
    "pe_audio_video": (
        _pe_audio_video,
        {
            "video_processor_type": "PeVideoVideoProcessor",
            "do_resize": True,
            "do_rescale": True,
            "do_normalize": True,
            "do_sample_frames": False,
            "image_mean": [0.5, 0.5, 0.5],
            "image_std": [0.5, 0.5, 0.5],
            "size": {"height": SIDE, "width": SIDE},
        },
    ),
}


def write_small_embedder(folder: Path, model_type: str) -> Path:
    """Write a random checkpoint of this type: pictures of 32 x 32 (X-CLIP: 64 x 64), one token per byte of a text."""
    if model_type == "xclip":
        return write_embedder(folder)
    make, processor = {**IMAGE_TEXT, **VIDEO_TEXT, **WITH_EXTRAS}[model_type]
    torch.manual_seed(0)
    model = make()
    perturb(model)
    model.save_pretrained(folder)
    OWN_TOKENIZERS.get(model_type, byte_tokenizer)().save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(processor) + "\n", encoding="utf-8")
    return folder
