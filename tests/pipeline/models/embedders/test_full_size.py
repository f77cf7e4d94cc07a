"""Random checkpoints at the published sizes: what vidsift makes of a clip of noise equals what transformers' own code gives.

X-CLIP's is in `test_rerank_scores`. Several gigabytes of memory each: never two models at a time.
"""

from __future__ import annotations

import gc
import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn.functional import normalize
from transformers import AutoConfig, AutoModel, AutoTokenizer, PeAudioVideoConfig, PeAudioVideoModel

from demo.checkpoints import byte_tokenizer
from pipeline.models.checkpoint import find_checkpoint
from pipeline.models.families import FAMILIES
from pipeline.models.known import KnownModel, known_model
from pipeline.models.pixels import make_pixels
from pipeline.models.registry import load_embedder
from tests.helpers.plain_embedding_gemma2 import plain_gemma_clip
from tests.helpers.plain_qwen3_vl import plain_qwen_clip
from tests.helpers.small_embedders import OWN_TOKENIZERS, SMALL_TOKENIZER_MARKS, VIDEO_TEXT, WITH_EXTRAS

pytestmark = [pytest.mark.full_size, pytest.mark.timeout(1800)]

_BY_PICTURES = (
    "openai/clip-vit-base-patch16",
    "google/siglip2-base-patch16-224",
    "google/siglip2-base-patch16-naflex",
    "facebook/metaclip-2-worldwide-b16",
    "OFA-Sys/chinese-clip-vit-base-patch16",
    "BAAI/AltCLIP",
    "kakaobrain/align-base",
)
_BY_CLIPS = ("google/videoprism-lvt-base-f16r288",)
_IN_TESTS_OF_THEIR_OWN = ("xclip", "pe_audio_video", "qwen3_vl", "embedding_gemma2")


def known(name: str) -> KnownModel:
    entry = known_model(name)
    assert entry is not None
    assert entry.shape is not None
    return entry


def noise(entry: KnownModel, height: int, width: int) -> NDArray[np.uint8]:
    """A clip [1, num_frames, height, width, 3]."""
    return np.random.default_rng(0).integers(0, 256, (1, entry.num_frames, height, width, 3), dtype=np.uint8)


def write(folder: Path, model: Any, model_type: str, settings: dict[str, Any]) -> None:
    """A checkpoint with a tokenizer of bytes."""
    model.save_pretrained(folder)
    OWN_TOKENIZERS.get(model_type, byte_tokenizer)().save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(settings), encoding="utf-8")


def embedded(folder: Path, entry: KnownModel, frames: NDArray[np.uint8], precision: Any) -> NDArray[np.float32]:
    """The clip's vector, by an embedder that is gone afterwards."""
    gc.collect()
    checkpoint = find_checkpoint(str(folder), "embedder")
    assert checkpoint.embedding_dim == entry.dim
    embedder = load_embedder(checkpoint, precision)
    pixels = make_pixels(frames, embedder.preprocessing, embedder.device, embedder.dtype)
    vector: NDArray[np.float32] = embedder.embed_clips(pixels)[0]
    return vector


def assert_alike(
    folder: Path, entry: KnownModel, frames: NDArray[np.uint8], expected: torch.Tensor, precisions: tuple[str, ...]
) -> None:
    own = normalize(expected.float(), dim=-1).numpy()
    for precision in precisions:
        vector = embedded(folder, entry, frames, precision)
        assert float(vector @ own) >= (0.999 if precision == "fp32" else 0.99)


def test_one_of_each_family_is_here() -> None:
    here = {known(name).model_type for name in (*_BY_PICTURES, *_BY_CLIPS)}
    assert {family.model_type for family in FAMILIES if family.role == "embedder"} == {*here, *_IN_TESTS_OF_THEIR_OWN}


@pytest.mark.parametrize("name", [*_BY_PICTURES, *_BY_CLIPS])
def test_pictures_and_videos(tmp_path: Path, name: str) -> None:
    entry = known(name)
    torch.manual_seed(0)
    config = AutoConfig.for_model(entry.model_type, **(entry.shape or {}))
    side = getattr(config.vision_config, "image_size", 256)
    settings: dict[str, Any] = {"size": {"height": side, "width": side}, "do_center_crop": False}
    if entry.model_type == "siglip2":
        settings = {"image_processor_type": "Siglip2ImageProcessor"}
    write(tmp_path, AutoModel.from_config(config), entry.model_type, settings)

    frames = noise(entry, side, side)
    embedder = load_embedder(find_checkpoint(str(tmp_path), "embedder"), "fp32")
    pixels, forward = make_pixels(frames, embedder.preprocessing, embedder.device, embedder.dtype), type(embedder).forward  # type: ignore[attr-defined]
    del embedder
    with torch.inference_mode():
        (seen,) = forward(AutoModel.from_pretrained(tmp_path).eval(), pixels)
    expected = seen[0] if name in _BY_CLIPS else normalize(seen.float(), dim=-1).mean(0)
    assert_alike(tmp_path, entry, frames, expected, ("fp32", "bf16"))


@pytest.mark.skipif(
    find_spec("timm") is None or find_spec("torchvision") is None, reason="timm or torchvision is not installed"
)
def test_perception_encoder(tmp_path: Path) -> None:
    """PE-AV L, of which transformers documents its defaults; what hears and what reads texts is small here."""
    entry = known("facebook/pe-av-large")
    small = {"num_hidden_layers": 1, "hidden_size": 64, "intermediate_size": 64, "num_attention_heads": 1, "head_dim": 64}
    dac = {"encoder_hidden_size": 4, "decoder_hidden_size": 16, "hidden_size": 16, "downsampling_ratios": [2, 2]}
    audio = {**small, "model_type": "pe_audio_encoder", "dac_config": dac}
    torch.manual_seed(0)
    config = PeAudioVideoConfig(text_config={"num_hidden_layers": 2}, audio_video_config={**small, "audio_config": audio})
    config.audio_video_config.video_config.vision_config.num_labels = 1024
    whole = PeAudioVideoModel(config).eval()
    write(tmp_path, whole, entry.model_type, WITH_EXTRAS["pe_audio_video"][1] | {"size": {"height": 336, "width": 336}})

    frames = noise(entry, 336, 336)[:, :2]  # of any number: all that they cost goes into each by itself
    values = torch.from_numpy(frames).permute(0, 1, 4, 2, 3) / 127.5 - 1
    with torch.inference_mode():
        pictures = whole.video_model.video_encoder(values).pooler_output
        expected = whole.video_model.video_head(pictures)[0]
    del whole, pictures
    assert_alike(tmp_path, entry, frames, expected, ("fp32", "bf16"))


def test_embedding_gemma2(tmp_path: Path) -> None:
    entry = known("google/embeddinggemma-2")
    torch.manual_seed(0)
    marks = SMALL_TOKENIZER_MARKS[entry.model_type]
    model = AutoModel.from_config(AutoConfig.for_model(entry.model_type, **{**(entry.shape or {}), **marks})).eval()
    settings = {"patch_size": 16, "pooling_kernel_size": 3, "max_soft_tokens": 140}
    write(tmp_path, model, entry.model_type, VIDEO_TEXT[entry.model_type][1] | settings)

    frames = noise(entry, 384, 768)  # which its own processor leaves as they are
    expected = plain_gemma_clip(model, AutoTokenizer.from_pretrained(tmp_path), tmp_path, list(frames[0]))
    del model
    assert_alike(tmp_path, entry, frames, expected, ("fp32", "bf16"))


def test_qwen3_vl(tmp_path: Path) -> None:
    """In bf16 alone: as fp32 its weights would take 8.5 GB."""
    entry = known("Qwen/Qwen3-VL-Embedding-2B")
    torch.manual_seed(0)
    marks = SMALL_TOKENIZER_MARKS[entry.model_type]
    config = AutoConfig.for_model(entry.model_type, **{**(entry.shape or {}), **marks})
    model = AutoModel.from_config(config, dtype=torch.bfloat16).eval()
    settings = {"size": {"shortest_edge": 4_096, "longest_edge": 25_165_824}}
    write(tmp_path, model, entry.model_type, VIDEO_TEXT[entry.model_type][1] | settings)

    frames = noise(entry, *(entry.picture or (0, 0)))
    expected = plain_qwen_clip(model, AutoTokenizer.from_pretrained(tmp_path), frames[0])
    del model
    assert_alike(tmp_path, entry, frames, expected, ("bf16",))
