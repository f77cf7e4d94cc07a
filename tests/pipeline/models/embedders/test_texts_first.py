"""X-CLIP's text half answers as the whole does, and the other half comes when it is wanted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from demo.checkpoints import write_embedder
from pipeline.models.base import RerankEmbedder
from pipeline.models.checkpoint import find_checkpoint
from pipeline.models.embedders.xclip import XClipEmbedder
from pipeline.models.registry import load_embedder, load_text_embedder
from schemas.errors import ModelError
from schemas.models import Checkpoint

TEXTS = ["people baking a cake", "a dog", "日本語 🎂", "w " * 300]


def parameters(embedder: XClipEmbedder) -> int:
    return sum(parameter.numel() for parameter in embedder._model.parameters())


def check(checkpoint: Checkpoint, side: int) -> None:
    half, whole = load_text_embedder(checkpoint, "fp32"), load_embedder(checkpoint, "fp32")
    assert isinstance(half, XClipEmbedder)
    assert isinstance(whole, RerankEmbedder)
    generator = np.random.default_rng(0)
    pixels = torch.from_numpy(generator.normal(size=(2, 8, 3, side, side)).astype(np.float32))
    clips = whole.embed_clips_with_features(pixels)
    begun = parameters(half)
    assert (half.embed_texts(TEXTS) == whole.embed_texts(TEXTS)).all()
    assert (half.rerank_scores(TEXTS, *clips) == whole.rerank_scores(TEXTS, *clips)).all()
    assert half.dim == whole.dim
    assert parameters(half) == begun
    assert (half.embed_clips(pixels) == clips.embeddings).all()
    assert parameters(half) > begun
    assert (half.embed_clips_with_features(pixels).features == clips.features).all()
    assert (half.embed_texts(TEXTS) == whole.embed_texts(TEXTS)).all()


def test_texts_and_clips_are_as_the_whole_models(embedder_checkpoint: Checkpoint) -> None:
    check(embedder_checkpoint, 64)


@pytest.mark.full_size
@pytest.mark.timeout(900)
def test_a_full_size_checkpoint_is_read_for_less_than_half(tmp_path: Path) -> None:
    checkpoint = find_checkpoint(str(write_embedder(tmp_path / "base", "base")), "--embedder")
    embedder = load_text_embedder(checkpoint, "fp32")
    assert isinstance(embedder, XClipEmbedder)
    assert parameters(embedder) < 0.4 * 196_585_729
    check(checkpoint, 224)


def test_weights_of_the_text_half_that_are_missing_are_told(tmp_path: Path) -> None:
    folder = write_embedder(tmp_path / "embedder")
    weights = load_file(folder / "model.safetensors")
    save_file(
        {name: weight for name, weight in weights.items() if "text_projection" not in name}, folder / "model.safetensors"
    )
    with pytest.raises(ModelError, match=r"its weights lack 1 tensors that the model needs \(text_projection.weight"):
        load_text_embedder(find_checkpoint(str(folder), "--embedder"), "fp32")
