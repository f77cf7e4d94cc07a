"""A Transformer over the features of frames: trained, and a classifier like any other."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import ResNetConfig, ResNetModel

from demo.films import Film, render
from jobs.datasets.reader import read_dataset
from jobs.train.clip_cache import cache_clips, cached_input
from jobs.train.clip_dataset import ClipDataset
from jobs.train.finetune import finetune
from jobs.train.frame_features import FrameFeatures, FrameTransformerModule
from jobs.train.options import Augmentation, TrainOptions
from jobs.train.report import TrainReport
from pipeline.models.checkpoint import find_checkpoint
from pipeline.models.classifiers.frame_transformer import (
    FrameTransformerConfig,
    FrameTransformerForVideoClassification,
)
from pipeline.models.preprocessing import Preprocessing
from pipeline.models.registry import check_classifier, load_classifier
from schemas.errors import ModelError, UsageError
from schemas.models import Geometry, ModelInput

OPTIONS = TrainOptions(epochs=2, batch_size=4, learning_rate=2e-3, threads=1)
PIXELS = Preprocessing(ModelInput(6, Geometry(8, (8, 8))), (1.0,) * 3, (0.0,) * 3)


def write_encoder(folder: Path) -> Path:
    """A small frame encoder with random weights, as `vidsift pretrain --method simsiam` leaves one."""
    torch.manual_seed(0)
    ResNetModel(ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic")).save_pretrained(
        folder
    )
    pixels = {"crop_size": {"height": 32, "width": 32}, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    settings = {"image_processor_type": "BitImageProcessor", "size": {"shortest_edge": 32}, **pixels}
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    return folder


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_encoder(tmp_path_factory.mktemp("encoder"))


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Discs that go to the left and to the right."""
    folder = tmp_path_factory.mktemp("films")
    for motion in ("left", "right"):
        (folder / motion).mkdir()
        for number, colour in enumerate(("red", "green", "blue", "red")):
            render(Film(f"{number}.mp4", colour, "disc", motion, 1.0, "libx264"), folder / motion)
    return folder


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def trained(films: Path, encoder: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainReport:
    said: list[str] = []
    output = tmp_path_factory.mktemp("trained") / "model"
    report = finetune(films, output, base=str(encoder), options=OPTIONS, cache=cache, say=said.append)
    assert "the frozen encoder sees each frame once; all epochs read its features" in said
    return report


def test_order_is_learnt_from_features_alone() -> None:
    """Features that rise and features that fall: the same ones in another order."""
    torch.manual_seed(0)
    encoder = {"embedding_size": 4, "hidden_sizes": [4], "depths": [1], "layer_type": "basic"}
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = FrameTransformerConfig(encoder=encoder, num_frames=6, **sizes, num_labels=2)
    module = FrameTransformerModule(FrameTransformerForVideoClassification(config), PIXELS)
    optimiser = torch.optim.AdamW([one for one in module.parameters() if one.requires_grad], 1e-2)
    frames, labels = made_up_features(64)
    for _ in range(60):
        optimiser.zero_grad()
        module(frames, labels)["loss"].backward()
        optimiser.step()
    module.eval()
    assert module(*made_up_features(64))["right"].mean() > 0.95


def made_up_features(num_clips: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Features [num_clips, 6, 4] along a random line with noise, and whether they rise."""
    labels = torch.randint(0, 2, (num_clips,))
    ramp = torch.linspace(-1, 1, 6)[None, :, None] * (2 * labels - 1)[:, None, None]
    return ramp * torch.tensor([2.0, -1.0, 0.5, 0.0]) + 0.3 * torch.randn(num_clips, 6, 4), labels


def test_the_encoder_is_left_as_it_was(trained: TrainReport, encoder: Path) -> None:
    before, after = load_file(encoder / "model.safetensors"), load_file(trained.output / "model.safetensors")
    for name, tensor in before.items():
        assert tensor.equal(after[f"encoder.{name}"]), name


def test_the_folder_is_a_classifier_like_any_other(trained: TrainReport) -> None:
    names = ["README.md", "config.json", "model.safetensors", "preprocessor_config.json"]
    assert sorted(path.name for path in trained.output.iterdir()) == names
    checkpoint = find_checkpoint(str(trained.output), "classifier")
    check_classifier(checkpoint)
    classifier = load_classifier(checkpoint, "fp32")
    assert classifier.preprocessing.input.num_frames == 16
    pixels = torch.randn(2, 16, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    first = classifier.classify(pixels, 5)
    assert [sorted(label.label for label in clip) for clip in first] == [["left", "right"]] * 2
    turned = dict(classifier.classify(pixels.flip(1), 5)[0])
    assert dict(first[0])["left"] != pytest.approx(turned["left"], abs=1e-4)  # the order of frames counts


def test_kept_features_are_those_of_the_frames(trained: TrainReport) -> None:
    model = FrameTransformerForVideoClassification.from_pretrained(trained.output).eval()
    pixels = torch.randn(2, 16, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        features = model.frame_features(pixels)
        assert features.shape == (2, 16, 16)
        assert torch.allclose(model(pixels).logits, model(features=features).logits)
    model.train()  # batch statistics stay, so a frame's features do not depend on those beside it
    assert torch.allclose(model.frame_features(pixels[:1]), features[:1], atol=1e-5)


def test_features_of_a_clip_are_those_of_its_view(films: Path, cache: Path, tmp_path: Path) -> None:
    """Whole clips are encoded as they are shown; with a random window, the same frames are chosen of all that are kept."""
    examples = read_dataset(films, want="labels").examples[:2]
    model_input = ModelInput(6, Geometry(32, (32, 32)))
    pixels = Preprocessing(model_input, (1.0,) * 3, (0.0,) * 3)
    clips, _ = cache_clips(examples, cached_input(model_input), cache, window_s=4.0, max_clips=1, cpus=1)
    for augmentation in (None, Augmentation(window=0.5)):
        views = ClipDataset(clips, pixels, augmentation, 3)
        means = FrameFeatures(clips, pixels, augmentation, 3, encode=lambda frames: frames.mean((3, 4)), folder=tmp_path)
        for index in range(len(views)):
            expected = views[index]["frames"].float().mean((1, 2))
            assert torch.allclose(means[index]["frames"], expected, atol=1e-3)


def test_training_goes_on_from_it_with_other_classes_and_changed_pictures(
    trained: TrainReport, films: Path, cache: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data.csv"
    rows = [f"{path},{path.parent.name} side" for path in sorted(films.rglob("*.mp4"))]
    data.write_text("\n".join(["path,label", *rows]))
    said: list[str] = []
    options = TrainOptions(epochs=1, batch_size=6, threads=1, augmentation=Augmentation(crop=0.8))
    report = finetune(
        data, tmp_path / "m", base=str(trained.output), options=options, cache=cache, say=said.append
    )  # fmt: skip
    assert "the frozen encoder sees all frames in every epoch, since crops, light or mirroring change them" in said
    before, after = (load_file(one.output / "model.safetensors") for one in (trained, report))
    assert before["encoder.embedder.embedder.convolution.weight"].equal(
        after["encoder.embedder.embedder.convolution.weight"]
    )
    assert np.corrcoef(before["projection.weight"].flatten(), after["projection.weight"].flatten())[0, 1] > 0.9
    config = json.loads((report.output / "config.json").read_text())
    assert config["id2label"] == {"0": "left side", "1": "right side"}
    assert "transformers_version" not in config["encoder"]


def test_an_encoder_alone_is_no_classifier(encoder: Path) -> None:
    with pytest.raises(ModelError, match="got ResNetModel, expected a model for video classification"):
        check_classifier(find_checkpoint(str(encoder), "classifier"))


def test_it_can_be_shown_any_number_of_frames(films: Path, encoder: Path, tmp_path: Path) -> None:
    options = TrainOptions(epochs=1, batch_size=6, threads=1)
    report = finetune(films, tmp_path / "m", base=str(encoder), frames=6, options=options)
    classifier = load_classifier(find_checkpoint(str(report.output), "classifier"), "fp32")
    assert classifier.preprocessing.input.num_frames == 6
    assert len(classifier.classify(torch.zeros(1, 6, 3, 32, 32), 5)[0]) == 2
    with pytest.raises(UsageError, match=r"^frames: got 300, expected 1 to 256$"):
        finetune(films, tmp_path / "n", base=str(encoder), frames=300, options=options)
    with pytest.raises(UsageError, match=r"^frames: got 8, but models of type 'frame_transformer' take only the number"):
        finetune(films, tmp_path / "n", base=str(report.output), frames=8, options=options)
    assert not (tmp_path / "n").exists()
