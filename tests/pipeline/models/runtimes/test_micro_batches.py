"""Forward passes over micro-batches."""

from __future__ import annotations

import pytest
import torch
from transformers import TimesformerConfig, VideoMAEConfig, VivitConfig, VJEPA2Config, XCLIPVisionConfig

from pipeline.models.registry import load_classifier
from pipeline.models.runtimes.micro_batches import MicroBatched
from schemas.models import Checkpoint


def sizes_of(config: object, batch: int, num_frames: int, size: int) -> list[int]:
    """Clips of each pass."""
    sizes = []

    def forward(pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        sizes.append(len(pixels))
        return pixels[:, 0, 0, 0, 0], pixels[:, :, 0, 0, 0].flatten()

    pixels = torch.arange(float(batch)).view(batch, 1, 1, 1, 1).expand(batch, num_frames, 3, size, size)
    clips, frames = MicroBatched(forward, config)(pixels)
    assert clips.tolist() == list(range(batch))
    assert frames.tolist() == [clip for clip in range(batch) for _ in range(num_frames)]
    return sizes


@pytest.mark.parametrize(
    ("config", "num_frames", "size", "expected"),
    [
        (VideoMAEConfig(), 16, 224, [1, 1, 1, 1, 1]),
        (VideoMAEConfig(patch_size=[16, 16]), 16, 224, [1, 1, 1, 1, 1]),
        (XCLIPVisionConfig(), 8, 224, [4, 1]),
        (TimesformerConfig(), 8, 224, [1, 1, 1, 1, 1]),
        (VivitConfig(), 32, 224, [1, 1, 1, 1, 1]),
        (VJEPA2Config(), 64, 256, [1, 1, 1, 1, 1]),
        (VideoMAEConfig(image_size=64, hidden_size=128), 16, 64, [5]),
        (VideoMAEConfig(image_size=64, hidden_size=768), 16, 128, [3, 2]),
    ],
)
def test_a_pass_holds_what_caches_do(config: object, num_frames: int, size: int, expected: list[int]) -> None:
    assert sizes_of(config, 5, num_frames, size) == expected


def test_micro_batches_give_what_a_batch_gives(classifier_checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    classifier = load_classifier(classifier_checkpoint, "fp32")
    pixels = torch.randn(7, 16, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    whole = classifier.classify(pixels, 12)
    monkeypatch.setattr("pipeline.models.runtimes.micro_batches._MAX_HIDDEN_VALUES", 1)
    for labels, expected in zip(classifier.classify(pixels, 12), whole, strict=True):
        assert [label.label for label in labels] == [label.label for label in expected]
        assert [label.score for label in labels] == pytest.approx([label.score for label in expected], abs=1e-6)
