from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from schemas.rerank_features import FeatureLayout, digests_of


def some(n: int, tokens: int, dim: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(n, dim)).astype(np.float32), rng.normal(size=(n, tokens, dim)).astype(np.float32)


@pytest.mark.parametrize(
    ("layout", "record_bytes"),
    [
        (FeatureLayout("int8", 49, 512), 2_048 + 25_088 + 4 * 49 * 4),
        (FeatureLayout("fp16", 49, 512), 2_048 + 50_176),
        (FeatureLayout("int8", 16, 64), 256 + 1_024 + 16 * 4),
        (FeatureLayout("fp16", 16, 64), 256 + 2_048),
    ],
)
def test_what_is_packed_comes_back(layout: FeatureLayout, record_bytes: int) -> None:
    embeddings, features = some(5, layout.tokens, layout.dim)
    records = layout.encode(embeddings, features)
    assert records.dtype == np.uint8
    assert (records.shape, layout.record_bytes) == ((5, record_bytes), record_bytes)
    assert np.array_equal(layout.decode_embeddings(records), embeddings), "embeddings are kept as they are"
    found = layout.decode_features(records)
    assert found.dtype == np.float32
    assert found.shape == features.shape
    step = np.abs(features).max(-1, keepdims=True) / 127
    assert (
        np.abs(found - features) <= (step / 2 * 1.001 if layout.kind == "int8" else np.abs(features) * 1e-3 + 1e-7)
    ).all()


def test_an_hour_of_base_size_is_about_25_megabytes() -> None:
    assert FeatureLayout("int8", 49, 512).record_bytes * 900 < 25.2e6


def test_a_large_dimension_costs_its_own_group_alone() -> None:
    """CLIP's spaces have dimensions ten and more times as large as the others."""
    layout = FeatureLayout("int8", 4, 512)
    embeddings, features = some(3, 4, 512)
    features[..., 133] *= 30
    found = layout.decode_features(layout.encode(embeddings, features))
    others = np.abs(found - features)[..., 256:]
    assert others.max() < np.abs(features[..., 256:]).max() / 127
    assert np.abs(found - features)[..., 133].max() < np.abs(features[..., 133]).max() / 127


def test_zeros_stay_zeros() -> None:
    layout = FeatureLayout("int8", 4, 64)
    records = layout.encode(np.zeros((2, 64), np.float32), np.zeros((2, 4, 64), np.float32))
    assert not layout.decode_features(records).any()


def test_a_digest_names_the_content() -> None:
    first, second, again = digests_of([b"one", b"two", b"one"]).tolist()
    assert first == again != second
    assert digests_of([]).shape == (0,)
