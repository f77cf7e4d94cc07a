"""Classifiers that are shown another number of frames than they were trained with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from pipeline.models.longer_clips import stretch
from pipeline.models.preprocessing import read_preprocessing
from pipeline.models.registry import check_frames, load_classifier
from schemas.errors import UsageError
from tests.pipeline.models.test_families import FAMILIES
from tests.pipeline.models.test_onnx_files import random_pixels, write_small_classifier


def model_of(family: str) -> Any:
    torch.manual_seed(0)
    return FAMILIES[family][0]().eval()


def test_learnt_times_lie_between_those_of_the_frames() -> None:
    model = model_of("timesformer")
    learnt = model.timesformer.embeddings.time_embeddings
    with torch.no_grad():
        learnt.copy_(torch.arange(8.0)[None, :, None].expand_as(learnt))
    stretch(model, 16)
    times = model.timesformer.embeddings.time_embeddings[0, :, 5].tolist()
    assert times[:4] == pytest.approx([0, 0.25, 0.75, 1.25])
    assert times[-2:] == pytest.approx([6.75, 7])
    assert model.config.num_frames == 16


def test_a_videomaes_times_are_those_of_the_same_place_in_the_picture() -> None:
    model = model_of("videomae")
    before = model.videomae.embeddings.position_embeddings.clone()  # of 8 tubelets with 2 x 2 patches each
    stretch(model, 32)
    after = model.videomae.embeddings.position_embeddings
    assert after.shape == (1, 16 * 4, before.shape[-1])
    for place in range(4):
        expected = 0.75 * before[0, place] + 0.25 * before[0, 4 + place]  # the second of 16 is a quarter on from the first
        assert torch.allclose(after[0, 4 + place], expected, atol=1e-6)
        assert torch.equal(after[0, place], before[0, place])


@pytest.mark.parametrize(("family", "more"), [("videomae", 32), ("videomae", 64), ("videomae", 8), ("timesformer", 32)])
def test_a_classifier_is_shown_as_many_frames_as_it_is_asked_for(tmp_path: Path, family: str, more: int) -> None:
    own = write_small_classifier(tmp_path / "model", family)
    checkpoint = replace(own, num_frames=more)
    check_frames(checkpoint, more)
    assert read_preprocessing(checkpoint, "classifier").input.num_frames == more
    classifier = load_classifier(checkpoint, "fp32")
    pixels = random_pixels(2, more, 32)
    (labels, _) = classifier.classify(pixels, 7)
    assert sum(label.score for label in labels) == pytest.approx(1)
    if family == "videomae":  # a new TimeSformer has learnt no times
        other_order = classifier.classify(pixels.flip(1), 7)[0]
        assert dict(labels) != pytest.approx(dict(other_order), abs=1e-6), "it does not know the frames' times"


def test_its_own_number_of_frames_changes_nothing(tmp_path: Path) -> None:
    own = write_small_classifier(tmp_path / "model", "videomae")
    pixels = random_pixels(2, 16, 32)
    same = load_classifier(replace(own, num_frames=16), "fp32").classify(pixels, 7)
    assert same == load_classifier(own, "fp32").classify(pixels, 7)


@pytest.mark.parametrize(
    ("family", "frames", "message"),
    [
        ("videomae", 15, "got 15, expected 2 to 256 in multiples of 2"),
        ("videomae", 0, "got 0, expected 2 to 256 in multiples of 2"),
        ("timesformer", 257, "got 257, expected 1 to 256"),
        (
            "vivit",
            64,
            "got 64, but models of type 'vivit' take only the number that they were trained with; leave the option out, or "
            "take a classifier of type videomae or timesformer",
        ),
    ],
)
def test_what_a_classifier_cannot_be_shown_is_said(tmp_path: Path, family: str, frames: int, message: str) -> None:
    with pytest.raises(UsageError) as error:
        check_frames(write_small_classifier(tmp_path / "model", family), frames)
    assert str(error.value) == f"frames: {message}"
