from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.models.embedders.xclip import XClipEmbedder
from pipeline.models.registry import check_engine, load_classifier, load_embedder
from schemas.errors import UsageError
from schemas.models import Checkpoint
from schemas.options import Precision

pytestmark = pytest.mark.skipif(find_spec("openvino") is None, reason="openvino is not installed")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "vidsift" / "openvino"


def pixels_of(num_frames: int) -> torch.Tensor:
    return torch.randn(3, num_frames, 3, 64, 64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("precision", "atol"), [("fp32", 1e-4), ("bf16", 0.05)])
def test_labels_are_those_of_pytorch(classifier_checkpoint: Checkpoint, precision: Precision, atol: float) -> None:
    pixels = pixels_of(16)
    by_torch = load_classifier(classifier_checkpoint, "fp32").classify(pixels, 12)
    by_openvino = load_classifier(classifier_checkpoint, precision, "openvino").classify(pixels, 12)
    for labels, expected in zip(by_openvino, by_torch, strict=True):
        assert labels[0].label == expected[0].label
        scores = {label.label: label.score for label in labels}
        assert all(scores[label.label] == pytest.approx(label.score, abs=atol) for label in expected)


def test_embeddings_features_and_scores_are_those_of_pytorch(embedder_checkpoint: Checkpoint) -> None:
    pixels, texts = pixels_of(8), ["a dog", "people baking a cake"]
    by_torch, by_openvino = (
        load_embedder(embedder_checkpoint, "fp32"),
        load_embedder(embedder_checkpoint, "fp32", "openvino"),
    )
    assert isinstance(by_torch, XClipEmbedder)
    assert isinstance(by_openvino, XClipEmbedder)
    expected, clips = by_torch.embed_clips_with_features(pixels), by_openvino.embed_clips_with_features(pixels)
    assert np.allclose(clips.embeddings, expected.embeddings, atol=1e-4)
    assert np.allclose(clips.features, expected.features, atol=1e-3)
    assert np.allclose(by_openvino.embed_clips(pixels), expected.embeddings, atol=1e-4)
    assert np.allclose(by_openvino.rerank_scores(texts, *clips), by_torch.rerank_scores(texts, *expected), atol=1e-2)


def test_a_converted_model_is_kept(classifier_checkpoint: Checkpoint, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import openvino

    pixels = pixels_of(16)
    first = load_classifier(classifier_checkpoint, "fp32", "openvino").classify(pixels, 1)
    assert sorted(path.suffix for path in cache.iterdir()) == [".bin", ".xml"]
    monkeypatch.setattr(openvino, "convert_model", None)
    assert load_classifier(classifier_checkpoint, "fp32", "openvino").classify(pixels, 1) == first


def test_conversions_are_told_to_nobody() -> None:
    code = (
        "from pipeline.models.runtimes.openvino import import_openvino\n"
        "import_openvino()\n"
        "from openvino.tools.ovc import telemetry_utils\n"
        "print(telemetry_utils.tm.__name__)"
    )
    # In a process of its own: whoever imported these modules before in this one may have done so in another way.
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=120)
    assert said.stdout == "openvino.tools.ovc.telemetry_stub\n"


def test_an_engine_that_is_not_there_is_said_before_the_run(
    classifier_checkpoint: Checkpoint, embedder_checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_engine("openvino", classifier_checkpoint, embedder_checkpoint)
    monkeypatch.setattr("pipeline.models.registry.find_spec", lambda name: None)
    check_engine("torch", classifier_checkpoint, embedder_checkpoint)
    with pytest.raises(UsageError, match=r"^engine openvino: its package is not installed; pip install 'vidsift\[openvino"):
        check_engine("openvino", classifier_checkpoint, embedder_checkpoint)
