"""EmbeddingGemma 2: its pictures, its prompts, what is left out, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoTokenizer
from transformers.models.gemma4.image_processing_pil_gemma4 import convert_image_to_patches

from demo.checkpoints import byte_tokenizer
from pipeline.models.checkpoint import find_checkpoint
from pipeline.models.embedders.embedding_gemma2 import frame_patches
from pipeline.models.pixels import make_pixels
from pipeline.models.preprocessing import read_preprocessing
from pipeline.models.registry import load_embedder, load_text_embedder
from schemas.errors import ModelError
from schemas.models import Geometry, PatchBudget
from tests.helpers.plain_embedding_gemma2 import plain_gemma_clip, plain_gemma_prompt, plain_gemma_text
from tests.helpers.small_embedders import write_small_embedder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_embedder(tmp_path_factory.mktemp("gemma") / "embedder", "embedding_gemma2")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return write_small_embedder(tmp_path / "embedder", "embedding_gemma2")


def embedder_of(folder: Path, precision: Any = "fp32") -> Any:
    return load_embedder(find_checkpoint(str(folder), "embedder"), precision)


def some_frames(clips: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Noise, each clip brighter; 10 x 6 squares of 8 pixels: as many as its own processor makes of that shape."""
    noise = np.random.default_rng(0).integers(0, 86, (clips, 4, 48, 80, 3), dtype=np.uint8)
    return noise + np.arange(0, 85 * clips, 85, dtype=np.uint8)[:, None, None, None, None]


def test_clips_and_texts_equal_the_plain_model(folder: Path) -> None:
    model, tokenizer = AutoModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    frames, embedder = some_frames(3), embedder_of(folder)
    vectors = embedder.embed_clips(make_pixels(frames, embedder.preprocessing, embedder.device, embedder.dtype))
    for vector, pictures in zip(vectors, frames, strict=True):
        mean = plain_gemma_clip(model, tokenizer, folder, list(pictures))
        assert vector == pytest.approx((mean / mean.norm()).numpy(), abs=1e-5)
    assert (vectors @ vectors.T)[np.triu_indices(3, 1)].max() < 0.999

    texts = ["a dog", "somebody walks through a long corridor and opens the door", "x"]
    rows = embedder.embed_texts(texts)
    for row, text in zip(rows, texts, strict=True):
        assert row == pytest.approx(plain_gemma_text(model, tokenizer, text), abs=1e-5)
    assert (rows @ rows.T)[np.triu_indices(3, 1)].max() < 0.999
    assert embedder.embed_texts([]).shape == (0, 24)


def test_bf16_is_near(folder: Path) -> None:
    near, exact = embedder_of(folder, "bf16"), embedder_of(folder)
    assert (near.embed_texts(["a dog"]) @ exact.embed_texts(["a dog"]).T)[0, 0] >= 0.99
    clips = [
        model.embed_clips(make_pixels(some_frames(1), model.preprocessing, model.device, model.dtype))[0]
        for model in (near, exact)
    ]
    assert clips[0] @ clips[1] >= 0.99


def test_a_clip_is_written_as_by_its_own_processor(folder: Path) -> None:
    embedder = embedder_of(folder)
    own = AutoTokenizer.from_pretrained(folder)(plain_gemma_prompt(2, 3))["input_ids"]
    config = embedder._model.config
    frame = [config.boi_token_id, *[config.video_token_id] * 3, config.eoi_token_id]
    assert [*embedder._before, *frame, *frame, *embedder._after] == own
    assert len(embedder._before) == 1 + len("title: none | text: ")


def test_patches_are_those_of_its_own_processor() -> None:
    frames = np.random.default_rng(0).normal(size=(2, 3, 8, 16)).astype(np.float32)
    patches, positions = frame_patches(torch.from_numpy(frames), 4)
    assert (patches.numpy() == np.stack([convert_image_to_patches(frame, 4) for frame in frames])).all()
    assert positions.shape == (2, 8, 2)
    assert positions[0].tolist() == [[x, y] for y in range(2) for x in range(4)]


def test_the_published_preprocessing(copy: Path) -> None:
    """As the checkpoint's processor_config.json states it; pictures of 140 squares of 3 x 3 patches."""
    config = json.loads((copy / "config.json").read_text(encoding="utf-8"))
    config["vision_config"] |= {"patch_size": 16, "pooling_kernel_size": 3}
    (copy / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (copy / "preprocessor_config.json").unlink()
    video = {"video_processor_type": "EmbeddingGemma2VideoProcessor", "do_normalize": False, "max_soft_tokens": 140}
    video |= {"patch_size": 16, "pooling_kernel_size": 3, "resample": 3, "rescale_factor": 1 / 255, "fps": 1}
    pictures = {"image_processor_type": "Gemma4ImageProcessor", "max_soft_tokens": 280}
    settings = {"processor_class": "EmbeddingGemma2Processor", "image_processor": pictures, "video_processor": video}
    (copy / "processor_config.json").write_text(json.dumps(settings), encoding="utf-8")
    preprocessing = read_preprocessing(find_checkpoint(str(copy), "embedder"), "embedder")
    assert preprocessing.input.geometry == Geometry(PatchBudget(48, 140, "down"), None, "bicubic")
    assert preprocessing.input.geometry.resized(1920, 1080) == (720, 384)
    assert preprocessing.input.num_frames == 4
    assert (preprocessing.gain[0] * 255, preprocessing.shift[0]) == (1.0, 0.0)


def test_sound_is_not_loaded_and_texts_need_no_layers_for_pictures(folder: Path) -> None:
    checkpoint = find_checkpoint(str(folder), "embedder")
    assert AutoModel.from_pretrained(folder).audio_tower is not None
    assert load_embedder(checkpoint, "fp32")._model.audio_tower is None  # type: ignore[attr-defined]
    half = load_text_embedder(checkpoint, "fp32")._model  # type: ignore[attr-defined]
    assert half.audio_tower is None
    assert len(half.vision_tower.encoder.layers) == 0


def test_the_unread_words_of_a_text_are_told(folder: Path) -> None:
    """Of 8,192 tokens the prompt takes 29 here, and the text's beginning and end one each."""
    text = "ab " * 2_720 + "the rest"
    (cut,) = embedder_of(folder).cut_texts(["a dog", text])
    assert (cut.text, cut.num_tokens, cut.max_tokens) == (text, 8_168 + 29 + 2, 8_192)
    assert cut.unread == "the rest", "whose first letter is the last that it reads"


def test_a_checkpoint_for_texts_alone_is_refused(copy: Path) -> None:
    config = json.loads((copy / "config.json").read_text(encoding="utf-8"))
    (copy / "config.json").write_text(json.dumps({**config, "vision_config": None}), encoding="utf-8")
    with pytest.raises(ModelError, match=r"got a model of type 'embedding_gemma2', expected .* embeds video and text"):
        embedder_of(copy)


def test_another_models_tokenizer_is_refused(copy: Path) -> None:
    for file in copy.glob("*token*"):
        file.unlink()
    byte_tokenizer().save_pretrained(copy)
    with pytest.raises(ModelError, match="its tokenizer lacks the token 259, with which a picture begins"):
        embedder_of(copy)
