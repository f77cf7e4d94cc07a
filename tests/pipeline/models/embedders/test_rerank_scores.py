"""X-CLIP's rerank score, from stored features, equals what transformers computes from the frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from demo.checkpoints import write_embedder
from pipeline.models.base import Embedder, RerankEmbedder
from pipeline.models.checkpoint import find_checkpoint, pocket_folder
from pipeline.models.families import FAMILIES
from pipeline.models.registry import load_embedder
from schemas.options import FeatureKind
from schemas.rerank_features import FeatureLayout
from tests.helpers.exact import TEXTS, forward, sharpen
from tests.helpers.small_embedders import IMAGE_TEXT


def load(folder: Path) -> RerankEmbedder:
    embedder = load_embedder(find_checkpoint(str(folder), "--embedder"), "fp32")
    assert isinstance(embedder, RerankEmbedder)
    return embedder


def some_pixels(clips: int, side: int = 64) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).normal(size=(clips, 8, 3, side, side)).astype(np.float32))


def check(folder: Path, pixels: torch.Tensor) -> None:
    embedder = load(folder)
    embeddings, features = embedder.embed_clips_with_features(pixels)
    assert embeddings == pytest.approx(embedder.embed_clips(pixels), abs=1e-6)
    assert features.dtype == np.float32
    scores = embedder.rerank_scores(TEXTS, embeddings, features)
    expected = forward(folder, TEXTS, pixels)
    assert np.abs(scores - expected).max() < 1e-3
    cosines = embedder.embed_texts(TEXTS) @ embeddings.T
    line = np.polyfit(cosines.ravel(), expected.ravel(), 1)
    assert np.abs(np.polyval(line, cosines) - expected).max() > 0.01, "else a cosine would pass for the rerank score"


def test_scores_are_the_models_own(embedder_folder: Path, sharp_folder: Path) -> None:
    check(embedder_folder, some_pixels(7))
    check(sharp_folder, some_pixels(7))


def test_scores_of_the_pocket_embedder_are_its_own() -> None:
    """Trained weights; with them texts of the demo's world, of which other words would be one and the same unknown."""
    folder, pixels = pocket_folder("embedder"), some_pixels(7)
    embedder = load(folder)
    texts = ["someone in a red shirt waving", "a person bowing in the kitchen", "juggling three balls at the beach"]
    scores = embedder.rerank_scores(texts, *embedder.embed_clips_with_features(pixels))
    assert np.abs(scores - forward(folder, texts, pixels)).max() < 1e-3


@pytest.mark.full_size
@pytest.mark.timeout(900)
def test_scores_are_the_models_own_at_full_size(tmp_path: Path) -> None:
    check(sharpen(write_embedder(tmp_path / "embedder", "base")), some_pixels(3, side=224))


def test_features_are_the_models_patches_averaged_over_frames(embedder_folder: Path) -> None:
    embeddings, features = load(embedder_folder).embed_clips_with_features(some_pixels(2))
    assert (embeddings.shape, features.shape) == ((2, 64), (2, 16, 64))
    assert np.linalg.norm(embeddings, axis=1) == pytest.approx([1, 1], abs=1e-6)


def test_many_pairs_come_out_as_if_alone(sharp_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    embedder = load(sharp_folder)
    clips = embedder.embed_clips_with_features(some_pixels(7))
    whole = embedder.rerank_scores(TEXTS, *clips)
    monkeypatch.setattr("pipeline.models.embedders.xclip_scorer._PAIRS_AT_A_TIME", 8)
    assert embedder.rerank_scores(TEXTS, *clips) == pytest.approx(whole, abs=1e-5)
    for i, text in enumerate(TEXTS):
        alone = embedder.rerank_scores([text], clips.embeddings[3:4], clips.features[3:4])
        assert alone == pytest.approx(whole[i : i + 1, 3:4], abs=1e-5)
    assert embedder.rerank_scores([], *clips).shape == (0, 7)
    assert embedder.rerank_scores(TEXTS, clips.embeddings[:0], clips.features[:0]).shape == (4, 0)


def test_a_text_that_was_asked_for_before_is_not_run_again(embedder_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.models.embedders.recent_texts.MAX_TEXTS", 1)
    embedder = load(embedder_folder)
    first = embedder.embed_texts(TEXTS)
    assert embedder.embed_texts(["a dog"]) == pytest.approx(first[1:2], abs=1e-6)
    monkeypatch.delattr("transformers.XCLIPModel.get_text_features")
    assert embedder.embed_texts(["a dog"]) == pytest.approx(first[1:2], abs=1e-6)
    with pytest.raises(AttributeError):
        embedder.embed_texts(["a cat"])


@pytest.mark.parametrize(("kind", "most"), [("fp16", 2e-3), ("int8", 5e-2)])
def test_keeping_features_in_fewer_bits_moves_scores_little(sharp_folder: Path, kind: FeatureKind, most: float) -> None:
    embedder = load(sharp_folder)
    embeddings, features = embedder.embed_clips_with_features(some_pixels(7))
    as_fp32 = embedder.rerank_scores(TEXTS, embeddings, features)
    layout = FeatureLayout(kind, *features.shape[1:])
    records = layout.encode(embeddings, features)
    drift = embedder.rerank_scores(TEXTS, layout.decode_embeddings(records), layout.decode_features(records)) - as_fp32
    assert np.abs(drift).max() < most


def test_an_embedder_needs_no_rerank_score() -> None:
    class Plain:
        preprocessing, device, dtype, dim = None, torch.device("cpu"), torch.float32, 4

        def embed_clips(self, pixels: torch.Tensor) -> NDArray[np.float32]:
            return np.full((len(pixels), 4), 0.5, np.float32)

        def embed_texts(self, texts: list[str]) -> NDArray[np.float32]:
            return np.full((len(texts), 4), 0.5, np.float32)

    assert not isinstance(Plain(), RerankEmbedder)
    assert {family.model_type for family in FAMILIES if family.rerank} == {"xclip", *IMAGE_TEXT}
    assert Embedder is not RerankEmbedder
