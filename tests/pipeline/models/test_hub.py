"""The published outputs of the real checkpoints, for whoever has the network: ``pytest -m hub``.

The numbers are those of transformers' own integration tests (tests/models/videomae, tests/models/x_clip).
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from pipeline.models.checkpoint import find_checkpoint
from pipeline.models.preprocessing import Preprocessing
from pipeline.models.registry import load_classifier, load_embedder

pytestmark = [pytest.mark.hub, pytest.mark.timeout(1800)]


@pytest.fixture(autouse=True)
def _online(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)


def spaghetti(file: str) -> NDArray[np.uint8]:
    from huggingface_hub import hf_hub_download

    path = hf_hub_download("hf-internal-testing/spaghetti-video", file, repo_type="dataset")
    frames: NDArray[np.uint8] = np.load(path, allow_pickle=False)
    return frames


@pytest.mark.parametrize(
    ("name", "num_labels", "first"),
    [
        ("MCG-NJU/videomae-base-finetuned-kinetics", 400, [0.3669, -0.0688, -0.2421]),
        ("MCG-NJU/videomae-large-finetuned-kinetics", 400, [0.0771, 0.0011, -0.3625]),
        ("MCG-NJU/videomae-base-finetuned-ssv2", 174, [0.1961, -0.8337, -0.6389]),
    ],
)
def test_videomae(name: str, num_labels: int, first: list[float]) -> None:
    from transformers.models.videomae.image_processing_pil_videomae import VideoMAEImageProcessorPil

    classifier = load_classifier(find_checkpoint(name, "--classifier"), "fp32")
    half = VideoMAEImageProcessorPil(image_mean=[0.5, 0.5, 0.5], image_std=[0.5, 0.5, 0.5])
    pixels = half(list(spaghetti("eating_spaghetti.npy")), return_tensors="pt")["pixel_values"]
    with torch.inference_mode():
        logits = classifier._model(pixels.to(classifier.device)).logits[0].cpu()  # type: ignore[attr-defined]
    assert logits.shape == (num_labels,)
    assert logits[:3].tolist() == pytest.approx(first, abs=1e-4)


def test_xclip() -> None:
    from transformers import AutoProcessor

    checkpoint = find_checkpoint("microsoft/xclip-base-patch32", "--embedder")
    embedder = load_embedder(checkpoint, "fp32")
    processor = AutoProcessor.from_pretrained(checkpoint.folder)
    inputs = processor(
        text=["playing sports", "eating spaghetti", "go shopping"],
        videos=list(spaghetti("eating_spaghetti_8_frames.npy")),
        return_tensors="pt",
        padding=True,
    ).to(embedder.device)
    with torch.inference_mode():
        logits = embedder._model(**inputs).logits_per_video[0].cpu()  # type: ignore[attr-defined]
    assert logits.tolist() == pytest.approx([14.0181, 20.2771, 14.4776], abs=1e-3)


def test_the_published_preprocessing_is_understood() -> None:
    """Both defaults show their models the same pictures, so that ingest makes one pixel tensor for both."""
    from pipeline.models.preprocessing import read_preprocessing

    videomae, xclip = (
        read_preprocessing(find_checkpoint(name, "--model"), "--model")
        for name in ("MCG-NJU/videomae-base-finetuned-kinetics", "microsoft/xclip-base-patch32")
    )
    assert isinstance(videomae, Preprocessing)
    assert xclip.input.subset_step(videomae.input) == 2
    assert (xclip.gain, xclip.shift) == (videomae.gain, videomae.shift)
