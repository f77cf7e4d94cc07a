"""Learning from frames without labels: the loss, and the watch over a collapse."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from transformers import AutoImageProcessor, AutoModel, ResNetConfig

from demo.films import Film, render
from jobs.train.base_model import find_base
from jobs.train.frame_base import find_frame_base, load_frame_base
from jobs.train.frame_views import frame_view
from jobs.train.options import Augmentation, TrainOptions
from jobs.train.pretrain_frames import pretrain_frames
from jobs.train.report import TrainReport, full_spread, training_text
from jobs.train.simsiam import SimSiamModule, check_collapse, output_directions, output_spread
from jobs.train.trainer import TrainingResult
from pipeline.models.preprocessing import Preprocessing
from schemas.errors import JobError, ModelError, UsageError
from schemas.models import Geometry, ModelInput

PIXELS = Preprocessing(ModelInput(1, Geometry(8, (8, 8))), (1 / 64,) * 3, (-2.0,) * 3)


class Small(nn.Module):
    """A linear encoder of pictures of 8 x 8."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(192, 16)

    def forward(self, pixels: torch.Tensor) -> SimpleNamespace:
        return SimpleNamespace(pooler_output=self.layer(pixels.flatten(1))[..., None, None])


def watched(*, stop_gradient: bool) -> tuple[list[dict[str, float]], int]:
    """What is watched at each of 120 steps on new pictures of 8 factors, in views with noise; the outputs' dimension."""
    torch.manual_seed(0)
    module = SimSiamModule(Small(), PIXELS, width=16)
    module.stop_gradient = stop_gradient
    optimiser = torch.optim.AdamW(module.parameters(), 3e-2)
    factors = 20 * torch.randn(8, 192)
    rows = []
    for step in range(120):
        pictures = 128 + (torch.randn(64, 8) @ factors).view(64, 1, 8, 8, 3)
        views = (pictures + 100 * torch.randn(64, 2, 8, 8, 3)).clamp(0, 255).to(torch.uint8)
        outputs = module(views)
        optimiser.zero_grad()
        outputs["loss"].backward()
        optimiser.step()
        rows.append({"epoch": float(step)} | {name: value.mean().item() for name, value in outputs.items()})
    return rows, module.output_dim


def result(rows: list[dict[str, float]]) -> TrainingResult:
    return TrainingResult((), {}, {}, 1.0, "fp32", tuple(rows), "last")


def test_the_spread_is_that_of_the_paper() -> None:
    outputs = torch.randn(4096, 64, generator=torch.Generator().manual_seed(0))
    assert output_spread(outputs).item() == pytest.approx(1 / math.sqrt(64), rel=0.01)
    assert output_spread(outputs * torch.rand(4096, 1)).item() == pytest.approx(1 / 8, rel=0.01)  # lengths do not count
    assert output_spread(torch.ones(8, 64)).item() == pytest.approx(0, abs=1e-6)
    assert full_spread(2048) == pytest.approx(0.0221, abs=1e-4)


def test_directions_are_counted() -> None:
    corners = torch.tensor([[1.0, 0, 0, 0], [-1, 0, 0, 0], [0, 1, 0, 0], [0, -1, 0, 0]])
    assert output_directions(corners).item() == pytest.approx(2.0)
    line = corners[[0, 1, 0, 1]]
    assert output_directions(line).item() == pytest.approx(1.0)
    assert output_spread(line[:, :1]).item() == pytest.approx(1.0)  # and yet its spread is full
    assert output_directions(torch.ones(4, 4)).item() == pytest.approx(0.0, abs=1e-3)


def test_the_gradient_is_stopped_at_the_target() -> None:
    """The loss of one view against the other moves the predicted side alone."""
    small = Small()
    module = SimSiamModule(small, PIXELS, width=16)
    frames = torch.randint(0, 256, (6, 2, 8, 8, 3), dtype=torch.uint8)
    gradients = {}
    for stop in (True, False):
        module.stop_gradient = stop
        module.zero_grad()
        outputs = module(frames)
        assert -1 <= outputs["loss"].item() <= 1
        outputs["loss"].backward()
        assert small.layer.weight.grad is not None
        gradients[stop] = small.layer.weight.grad.clone()
    assert not torch.allclose(gradients[True], gradients[False])


def test_with_the_stopped_gradient_nothing_collapses() -> None:
    rows, dim = watched(stop_gradient=True)
    assert rows[-1]["loss"] < -0.7
    assert rows[-1]["spread"] > 0.9 * full_spread(dim)
    assert rows[-1]["directions"] > 2.5
    check_collapse(result(rows), dim)


def test_without_the_stopped_gradient_it_collapses_and_the_watch_says_so() -> None:
    """As in the paper's figure 2. On the way, outputs are near a line and still more than half spread."""
    rows, dim = watched(stop_gradient=False)
    assert rows[-1]["loss"] < -0.99
    assert rows[-1]["spread"] < 0.1 * full_spread(dim)
    assert any(row["spread"] > 0.5 * full_spread(dim) and row["directions"] < 2 for row in rows)
    with pytest.raises(JobError, match=r"the training collapsed: .* expected 0\.0125 \(0\.1250 is full\) and 1\.5 or more"):
        check_collapse(result(rows), dim)


def test_outputs_on_a_line_are_a_collapse_however_far_they_spread() -> None:
    line = {"epoch": 1.0, "loss": -1.0, "spread": 0.125, "directions": 1.2}
    with pytest.raises(JobError, match="the training collapsed"):
        check_collapse(result([line]), 64)
    check_collapse(result([line] * 9 + [line | {"directions": 2.0}]), 64)  # the last tenth counts


def test_views_are_of_the_size_and_drawn_by_the_generator() -> None:
    frame = np.random.default_rng(0).integers(0, 256, (36, 48, 3), dtype=np.uint8)
    first, again, other = (
        frame_view(frame, (32, 32), Augmentation(crop=0.2, light=0.4), np.random.default_rng(seed)) for seed in (1, 1, 2)
    )
    assert first.shape == (32, 32, 3)
    assert first.dtype == torch.uint8
    assert first.equal(again)
    assert not first.equal(other)


def write_base(folder: Path) -> Path:
    """A ResNet's config.json and preprocessing, as small as can be."""
    folder.mkdir()
    ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic").save_pretrained(folder)
    pixels = {"crop_size": {"height": 32, "width": 32}, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    settings = {"image_processor_type": "BitImageProcessor", "size": {"shortest_edge": 32}, **pixels}
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    return folder


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("films")
    for number, colour in enumerate(("red", "green", "blue", "red", "green", "blue", "red")):
        render(Film(f"{number}.mp4", colour, "disc", ("left", "right")[number % 2], 1.0, "libx264"), folder)
    return folder


@pytest.fixture(scope="module")
def pretrained(films: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainReport:
    folder = tmp_path_factory.mktemp("pretrained")
    options = TrainOptions(epochs=3, batch_size=4, learning_rate=1e-3, threads=1)
    return pretrain_frames(films, folder / "frames", base=str(write_base(folder / "base")), options=options)


def test_pretraining_gives_an_encoder_in_the_hubs_layout(pretrained: TrainReport) -> None:
    names = ["README.md", "config.json", "model.safetensors", "preprocessor_config.json"]
    assert sorted(path.name for path in pretrained.output.iterdir()) == names
    model = AutoModel.from_pretrained(pretrained.output)
    assert type(model).__name__ == "ResNetModel"
    assert set(load_file(pretrained.output / "model.safetensors")) == set(model.state_dict())


def test_the_watch_is_printed_and_in_the_card(pretrained: TrainReport) -> None:
    rows = pretrained.trained.watched
    assert {"epoch", "loss", "spread", "directions"} == set(rows[0])
    assert all(0 < row["spread"] <= full_spread(64) + 1e-6 for row in rows)
    text = training_text(pretrained)
    assert "(0.125 is full, 0 is collapsed)" in text
    assert "the last)" in text
    card = (pretrained.output / "README.md").read_text(encoding="utf-8")
    assert "An encoder of single frames after SimSiam pre-training" in card
    assert f"| 3.0 | {rows[-1]['loss']:.3f} | {rows[-1]['spread']:.4f} | {rows[-1]['directions']:.1f} |" in card


def test_a_collapsed_training_leaves_an_empty_folder(films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobs.train.simsiam.MIN_DIRECTIONS", 100.0)
    base = str(write_base(tmp_path / "base"))
    said: list[str] = []
    options = TrainOptions(epochs=2, batch_size=4, threads=1)
    with pytest.raises(JobError, match="the training collapsed"):
        pretrain_frames(films, tmp_path / "out", base=base, options=options, say=said.append)
    assert list((tmp_path / "out").iterdir()) == []
    assert len([sentence for sentence in said if sentence.startswith("the outputs may have collapsed (spread 0.")]) == 1


def test_a_named_resnet_starts_from_random_weights_at_the_given_size(tmp_path: Path) -> None:
    base = find_frame_base("resnet18", 64)
    assert load_frame_base(base).config.hidden_sizes == [64, 128, 256, 512]
    assert not base.has_weights
    load_frame_base(base).save_pretrained(tmp_path)
    for name, text in base.files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    again = find_base(str(tmp_path), "classifier", num_frames=1).preprocessing
    assert again.input == base.preprocessing.input
    assert again.gain == pytest.approx(base.preprocessing.gain)
    assert again.shift == pytest.approx(base.preprocessing.shift)
    made = AutoImageProcessor.from_pretrained(tmp_path)
    assert type(made).__name__.startswith("BitImageProcessor")


def test_bases_and_sizes_that_cannot_be_used(films: Path, tmp_path: Path, classifier_folder: Path) -> None:
    options = TrainOptions(batch_size=4)
    with pytest.raises(ModelError, match="got a model of type 'videomae', expected resnet"):
        pretrain_frames(films, tmp_path / "o", base=str(classifier_folder), options=options)
    with pytest.raises(UsageError, match="image_size: got 16, expected 32 to 1024"):
        pretrain_frames(films, tmp_path / "o", base="resnet18", image_size=16, options=options)
    with pytest.raises(UsageError, match="`base` says its size itself"):
        pretrain_frames(films, tmp_path / "o", base=str(classifier_folder), image_size=64, options=options)
    with pytest.raises(UsageError, match="batch_size: got 1, expected 4 or more"):
        pretrain_frames(films, tmp_path / "o", base="resnet18", options=TrainOptions(batch_size=1))
    shorter = TrainOptions(batch_size=4, augmentation=Augmentation(window=0.5))
    with pytest.raises(UsageError, match=r"window: got 0\.5, but simsiam takes single frames of whole clips; leave it out"):
        pretrain_frames(films, tmp_path / "o", base="resnet18", options=shorter)
    assert not (tmp_path / "o").exists()
