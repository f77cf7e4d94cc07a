"""Qwen3-VL-Embedding: its patches, its conversations, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, Qwen3VLModel
from transformers.models.qwen3_vl.processing_qwen3_vl import Qwen3VLProcessor

from demo.checkpoints import byte_tokenizer
from pipeline.models.attention import plain_attention
from pipeline.models.checkpoint import find_checkpoint
from pipeline.models.embedders.chat_prompts import ChatTokenizer
from pipeline.models.embedders.qwen3_vl import video_patches
from pipeline.models.pixels import make_pixels
from pipeline.models.preprocessing import read_preprocessing
from pipeline.models.registry import load_embedder
from schemas.errors import ModelError
from schemas.models import Geometry, PatchBudget
from tests.helpers.plain_qwen3_vl import TEXT_LAYOUT, plain_patches, plain_prompt, plain_qwen_clip, plain_qwen_text
from tests.helpers.small_embedders import write_small_embedder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_embedder(tmp_path_factory.mktemp("qwen") / "embedder", "qwen3_vl")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return write_small_embedder(tmp_path / "embedder", "qwen3_vl")


def embedder_of(folder: Path, precision: Any = "fp32") -> Any:
    return load_embedder(find_checkpoint(str(folder), "embedder"), precision)


def chat(folder: Path, max_tokens: int) -> ChatTokenizer:
    return ChatTokenizer(folder, "small", "embedder", max_tokens, "Find a video that contains the following visual content.")


@pytest.mark.parametrize(("height", "width", "patch"), [(32, 64, 8), (64, 32, 8), (16, 16, 4), (384, 384, 16)])
def test_patches_are_in_the_order_of_the_models_own_processor(height: int, width: int, patch: int) -> None:
    clips = np.random.default_rng(0).normal(size=(2, 4, 3, height, width)).astype(np.float32)
    patches, grid = video_patches(torch.from_numpy(clips), patch, 2, 2)
    first, plain_grid = plain_patches(clips[0], patch)
    second, _ = plain_patches(clips[1], patch)
    assert list(grid) == plain_grid
    assert (patches.numpy() == np.concatenate([first, second])).all()


def test_a_conversation_about_a_clip_is_written_as_by_its_own_processor(folder: Path) -> None:
    """The part between ``user`` and ``<|im_end|>``, for 8 frames at 2 a second."""
    processor: Any = Qwen3VLProcessor.__new__(Qwen3VLProcessor)
    processor.video_processor = SimpleNamespace(merge_size=2, temporal_patch_size=2)
    processor.video_token, processor.vision_start_token = "<|video_pad|>", "<|vision_start|>"
    processor.vision_end_token = "<|vision_end|>"
    metadata = SimpleNamespace(fps=2.0, frames_indices=list(range(8)))
    own = processor.replace_video_token({"video_grid_thw": torch.tensor([[4, 4, 8]]), "video_metadata": [metadata]}, 0)
    assert plain_prompt([4, 4, 8]) == (
        "<|im_start|>system\nRepresent the user's input.<|im_end|>\n"
        f"<|im_start|>user\n{own}<|im_end|>\n<|im_start|>assistant\n"
    )
    tokens = chat(folder, 100).video("Represent the user's input.", (0.25, 1.25, 2.25, 3.25), 8)
    assert tokens.tolist() == AutoTokenizer.from_pretrained(folder)(plain_prompt([4, 4, 8]))["input_ids"]


def test_clips_and_texts_equal_the_plain_model(folder: Path) -> None:
    model, tokenizer = Qwen3VLModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    frames = np.random.default_rng(0).integers(0, 256, (3, 8, 32, 64, 3), dtype=np.uint8)
    embedder = embedder_of(folder)
    vectors = embedder.embed_clips(make_pixels(frames, embedder.preprocessing, embedder.device, embedder.dtype))
    for vector, pictures in zip(vectors, frames, strict=True):
        hidden = plain_qwen_clip(model, tokenizer, pictures)
        assert vector == pytest.approx((hidden / hidden.norm()).numpy(), abs=1e-5)
    assert (vectors @ vectors.T)[np.triu_indices(3, 1)].max() < 0.995

    texts = ["a dog", "somebody walks through a long corridor and opens the door", "x"]
    for vector, text in zip(embedder.embed_texts(texts), texts, strict=True):
        assert vector == pytest.approx(plain_qwen_text(model, tokenizer, text), abs=1e-5)
    assert embedder.embed_texts([]).shape == (0, 48)


def test_bf16_is_near(folder: Path) -> None:
    embedder, exact = embedder_of(folder, "bf16"), embedder_of(folder)
    assert (embedder.embed_texts(["a dog"]) @ exact.embed_texts(["a dog"]).T)[0, 0] >= 0.99
    frames = np.random.default_rng(0).integers(0, 256, (1, 8, 32, 64, 3), dtype=np.uint8)
    near, vector = (
        model.embed_clips(make_pixels(frames, model.preprocessing, model.device, model.dtype))[0]
        for model in (embedder, exact)
    )
    assert near @ vector >= 0.99


def test_attention_with_shared_keys_is_that_of_pytorch() -> None:
    torch.manual_seed(0)
    query, key, value = torch.randn(2, 4, 5, 8), torch.randn(2, 2, 5, 8), torch.randn(2, 2, 5, 8)
    attended, _ = plain_attention(torch.nn.Identity().eval(), query, key, value, None)
    own = torch.nn.functional.scaled_dot_product_attention(query, key, value, enable_gqa=True)
    assert attended.numpy() == pytest.approx(own.transpose(1, 2).numpy(), abs=1e-6)


def test_marks_in_a_text_are_words(folder: Path) -> None:
    (row,) = chat(folder, 200)(["<|im_end|> dog"])["input_ids"].tolist()
    (plain,) = chat(folder, 200)(["x"])["input_ids"].tolist()
    assert len(row) == len(plain) - 1 + len("<|im_end|> dog")


def test_a_checkpoints_own_end_token_ends_conversations(copy: Path) -> None:
    """As for a tokenizer.json that ends every text with one."""
    from tokenizers.processors import TemplateProcessing

    tokenizer = AutoTokenizer.from_pretrained(copy)
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="$A <|endoftext|>", special_tokens=[("<|endoftext|>", 256)]
    )
    tokenizer.save_pretrained(copy)
    own = AutoTokenizer.from_pretrained(copy)(TEXT_LAYOUT.format("a dog"))["input_ids"]
    assert own[-1] == 256
    tokens = chat(copy, 200)
    assert tokens(["a dog"])["input_ids"].tolist() == [own]
    assert tokens.video("Look.", (0.25,), 1)[-1] == 256


def test_texts_of_different_lengths_end_alike_and_are_cut_before_the_end(folder: Path) -> None:
    around = len(AutoTokenizer.from_pretrained(folder)(TEXT_LAYOUT.format(""))["input_ids"])
    tokens = chat(folder, around + 10)
    encoded = tokens(["a dog", "a dog and a cat"])
    ids, masks = encoded["input_ids"], encoded["attention_mask"]
    assert masks.sum(1).tolist() == [around + 5, around + 10]
    own = AutoTokenizer.from_pretrained(folder)(TEXT_LAYOUT.format("a dog and "))["input_ids"]
    assert ids[1].tolist() == own
    (cut,) = tokens.cut(["a dog", "a dog and a cat"])
    assert (cut.num_tokens, cut.max_tokens, cut.unread) == (15, 10, "a cat")


def test_texts_may_have_thousands_of_tokens(folder: Path) -> None:
    around = len(AutoTokenizer.from_pretrained(folder)(TEXT_LAYOUT.format(""))["input_ids"])
    (cut,) = embedder_of(folder).cut_texts(["a" * 5_000, "b" * 9_000])
    assert (cut.num_tokens, cut.max_tokens) == (9_000, 8_192 - around)


def test_a_size_in_pixels_keeps_the_pictures_shape(copy: Path) -> None:
    """The published preprocessing says how many pixels a picture may have. Here 144 squares of 2 x 2 patches of 8 pixels."""
    for settings in (
        {"video_processor_type": "Qwen3VLVideoProcessor", "size": {"longest_edge": 25_165_824, "shortest_edge": 4_096}},
        {"image_processor_type": "Qwen2VLImageProcessorFast", "size": None},
    ):
        (copy / "preprocessor_config.json").write_text(json.dumps(settings), encoding="utf-8")
        preprocessing = read_preprocessing(find_checkpoint(str(copy), "embedder"), "embedder")
        assert preprocessing.input.geometry == Geometry(PatchBudget(16, 144), None, "bicubic")
        assert preprocessing.input.geometry.resized(640, 360) == (256, 144)
        assert preprocessing.input.geometry.resized(500, 500) == (192, 192)
        assert preprocessing.input.num_frames == 8
        assert (preprocessing.gain[0] * 255, preprocessing.shift[0]) == pytest.approx((2.0, -1.0))


def test_what_cannot_be_cut_into_patches_is_refused(copy: Path) -> None:
    settings = {"video_processor_type": "Qwen3VLVideoProcessor", "size": {"height": 40, "width": 32}}
    (copy / "preprocessor_config.json").write_text(json.dumps(settings), encoding="utf-8")
    with pytest.raises(
        ModelError, match="got 8 frames of 32 x 40 pixels, expected multiples of 2 frames and of 16 x 16 pixels"
    ):
        embedder_of(copy)


def test_another_models_tokenizer_is_refused(copy: Path) -> None:
    for file in copy.glob("*token*"):
        file.unlink()
    byte_tokenizer().save_pretrained(copy)
    with pytest.raises(ModelError, match=r"its tokenizer lacks <\|im_start\|>, <\|im_end\|>"):
        embedder_of(copy)
