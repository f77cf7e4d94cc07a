"""Every family of video classifiers that transformers knows works by its config alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    TimesformerConfig,
    TimesformerForVideoClassification,
    VideoMAEConfig,
    VideoMAEForVideoClassification,
    VivitConfig,
    VivitForVideoClassification,
    VJEPA2Config,
    VJEPA2ForVideoClassification,
)

from pipeline.models.checkpoint import find_checkpoint
from pipeline.models.classifiers.frame_transformer import (
    FrameTransformerConfig,
    FrameTransformerForVideoClassification,
)
from pipeline.models.pixels import make_pixels
from pipeline.models.registry import check_classifier, load_classifier
from schemas.models import Label

_SMALL = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 32}
_LABELS: dict[str, Any] = {"id2label": {i: f"action {i}" for i in range(7)}}


def _videomae() -> Any:
    return VideoMAEForVideoClassification(VideoMAEConfig(**_SMALL, **_LABELS, patch_size=16, num_frames=16))


def _timesformer() -> Any:
    return TimesformerForVideoClassification(TimesformerConfig(**_SMALL, **_LABELS, patch_size=16, num_frames=8))


def _vivit() -> Any:
    return VivitForVideoClassification(VivitConfig(**_SMALL, **_LABELS, tubelet_size=[2, 16, 16], num_frames=8))


def _vjepa2() -> Any:
    config = VJEPA2Config(
        **_LABELS,
        crop_size=32,
        patch_size=16,
        frames_per_clip=8,
        hidden_size=32,
        num_attention_heads=2,
        num_hidden_layers=2,
        num_pooler_layers=1,
        pred_hidden_size=32,
        pred_num_attention_heads=2,
        pred_num_hidden_layers=1,
    )
    return VJEPA2ForVideoClassification(config)


def _frame_transformer() -> Any:
    encoder = {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "layer_type": "basic"}
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = FrameTransformerConfig(encoder=encoder, num_frames=6, image_size=32, **sizes, **_LABELS)
    return FrameTransformerForVideoClassification(config)


_HALVES = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
FAMILIES = {
    "frame_transformer": (_frame_transformer, 6),
    "videomae": (_videomae, 16),
    "timesformer": (_timesformer, 8),
    "vivit": (_vivit, 8),
    "vjepa2": (_vjepa2, 8),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_a_checkpoint_of_each_family_classifies(tmp_path: Path, family: str) -> None:
    make, num_frames = FAMILIES[family]
    torch.manual_seed(0)
    model = make().eval()
    model.save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(
        json.dumps({"size": {"shortest_edge": 32}, "crop_size": 32, **_HALVES})
    )
    checkpoint = find_checkpoint(str(tmp_path), "--classifier")
    check_classifier(checkpoint)
    assert checkpoint.model_type == family

    classifier = load_classifier(checkpoint, "fp32")
    assert classifier.preprocessing.input.num_frames == num_frames
    frames = np.random.default_rng(0).integers(0, 256, (3, num_frames, 32, 32, 3), dtype=np.uint8)
    pixels = make_pixels(frames, classifier.preprocessing, classifier.device, classifier.dtype)
    classified = classifier.classify(pixels, top=3)

    with torch.inference_mode():
        probabilities = model(pixels.cpu()).logits.softmax(-1)
    for labels, row in zip(classified, probabilities, strict=True):
        best = row.topk(3)
        assert [label.label for label in labels] == [f"action {i}" for i in best.indices.tolist()]
        assert [label.score for label in labels] == pytest.approx(best.values.tolist(), abs=1e-5)


def test_more_labels_than_a_model_has_gives_all(tmp_path: Path) -> None:
    _videomae().save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text('{"size": 32, "crop_size": 32}')
    classifier = load_classifier(find_checkpoint(str(tmp_path), "--classifier"), "fp32")
    (labels,) = classifier.classify(torch.zeros(1, 16, 3, 32, 32), top=50)
    assert len(labels) == 7
    assert sum(label.score for label in labels) == pytest.approx(1.0, abs=1e-5)
    assert labels == tuple(sorted(labels, key=lambda label: -label.score))
    assert isinstance(labels[0], Label)
