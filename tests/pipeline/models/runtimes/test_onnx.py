from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipeline.models.checkpoint import find_checkpoint
from pipeline.models.embedders.xclip import XClipEmbedder
from pipeline.models.registry import check_engine, load_classifier, load_embedder
from pipeline.models.runtimes import onnx
from schemas.errors import UsageError
from schemas.models import Checkpoint
from tests.helpers.small_embedders import write_small_embedder
from tests.pipeline.models.test_families import FAMILIES as CLASSIFIERS
from tests.pipeline.models.test_onnx_files import random_pixels, write_small_classifier

pytestmark = pytest.mark.skipif(
    find_spec("onnx") is None or find_spec("onnxruntime") is None, reason="the extra onnx is not installed"
)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "vidsift" / "onnx"


@pytest.mark.parametrize("family", ["videomae", "timesformer", "vivit"])
def test_labels_are_those_of_pytorch(tmp_path: Path, family: str) -> None:
    checkpoint = write_small_classifier(tmp_path / "model", family)
    pixels = random_pixels(3, CLASSIFIERS[family][1], 32)
    by_torch = load_classifier(checkpoint, "fp32").classify(pixels, 7)
    by_onnx = load_classifier(checkpoint, "auto", "onnx").classify(pixels, 7)
    for labels, expected in zip(by_onnx, by_torch, strict=True):
        assert dict(labels) == pytest.approx(dict(expected), abs=1e-2)
        assert labels[0].label == expected[0].label


def test_embeddings_features_and_scores_of_xclip_are_those_of_pytorch(embedder_checkpoint: Checkpoint) -> None:
    pixels, texts = random_pixels(3, 8, 64), ["a dog", "people baking a cake"]
    by_torch, by_onnx = load_embedder(embedder_checkpoint, "fp32"), load_embedder(embedder_checkpoint, "fp32", "onnx")
    assert isinstance(by_torch, XClipEmbedder)
    assert isinstance(by_onnx, XClipEmbedder)
    expected, clips = by_torch.embed_clips_with_features(pixels), by_onnx.embed_clips_with_features(pixels)
    assert np.allclose(clips.embeddings, expected.embeddings, atol=1e-4)
    assert np.allclose(clips.features, expected.features, atol=1e-3)
    assert np.allclose(by_onnx.embed_clips(pixels), expected.embeddings, atol=1e-4)
    assert np.allclose(by_onnx.rerank_scores(texts, *clips), by_torch.rerank_scores(texts, *expected), atol=1e-2)


@pytest.mark.parametrize("family", ["clip", "videoprism"])
def test_other_embedders_give_what_they_give_by_pytorch(tmp_path: Path, family: str) -> None:
    checkpoint = find_checkpoint(str(write_small_embedder(tmp_path / "model", family)), "--embedder")
    by_torch, by_onnx = load_embedder(checkpoint, "fp32"), load_embedder(checkpoint, "fp32", "onnx")
    pixels = random_pixels(3, by_torch.preprocessing.input.num_frames, 32)
    assert np.allclose(by_onnx.embed_clips(pixels), by_torch.embed_clips(pixels), atol=1e-4)
    assert (by_onnx.embed_texts(["a dog"]) == by_torch.embed_texts(["a dog"])).all()


def test_a_graph_is_kept(classifier_checkpoint: Checkpoint, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = random_pixels(2, 16, 64)
    first = load_classifier(classifier_checkpoint, "fp32", "onnx").classify(pixels, 1)
    (graph,) = cache.iterdir()
    assert graph.name.startswith(f"logits-{classifier_checkpoint.sha256[:16]}-16x64x64-opset18-")
    monkeypatch.setattr(onnx, "write_graph", None)
    assert load_classifier(classifier_checkpoint, "fp32", "onnx").classify(pixels, 1) == first


def test_it_computes_with_as_many_threads_as_pytorch(
    classifier_checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads, really_open = [], onnx.open_session

    def noted(path: Path, num_threads: int, *others: Any) -> Any:
        threads.append(num_threads)
        return really_open(path, num_threads, *others)

    monkeypatch.setattr(onnx, "open_session", noted)
    classifier = load_classifier(classifier_checkpoint, "fp32", "onnx")
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)  # as a worker does after it has loaded its models
        classifier.classify(random_pixels(1, 16, 64), 1)
    finally:
        torch.set_num_threads(before)
    assert threads == [1]


@pytest.mark.parametrize(
    ("installed", "has_gpu", "packages", "chosen"),
    [
        (["CPUExecutionProvider"], True, [], ["CPUExecutionProvider"]),
        (
            ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"],
            False,
            [],
            ["CPUExecutionProvider"],
        ),
        (
            ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"],
            True,
            [],
            ["CUDAExecutionProvider", "CPUExecutionProvider"],
        ),
        (
            ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"],
            True,
            ["tensorrt"],
            ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"],
        ),
    ],
)
def test_the_best_provider_that_is_there_is_taken(
    installed: list[str], has_gpu: bool, packages: list[str], chosen: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import onnxruntime

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: installed)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: has_gpu)
    monkeypatch.setattr(onnx, "find_spec", lambda name: name if name in packages else None)
    assert [provider if isinstance(provider, str) else provider[0] for provider in onnx.providers()] == chosen


def test_packages_that_are_missing_are_named(
    classifier_checkpoint: Checkpoint, embedder_checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_engine("onnx", classifier_checkpoint, embedder_checkpoint)
    monkeypatch.setattr("pipeline.models.registry.find_spec", lambda name: None)
    with pytest.raises(
        UsageError, match=r"^engine onnx: onnx and onnxruntime: not installed; pip install 'vidsift\[onnx\]'"
    ):
        check_engine("onnx", classifier_checkpoint, embedder_checkpoint)
