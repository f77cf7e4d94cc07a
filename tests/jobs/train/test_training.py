"""The three trainings, tiny: what comes out is what ingest takes, and an interruption changes nothing."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file
from transformers import AutoModel

from cli import main
from demo.films import Film, render
from jobs.train.align import align
from jobs.train.contrastive import image_text_scores
from jobs.train.finetune import finetune
from jobs.train.options import Augmentation, TrainOptions
from jobs.train.pretrain import pretrain
from jobs.train.report import TrainReport
from jobs.train.trainer import TrainProgress
from pipeline.models.base import RerankEmbedder
from pipeline.models.checkpoint import find_checkpoint
from pipeline.models.embedders.tokens import TextTokenizer
from pipeline.models.families import embedder_family
from pipeline.models.registry import load_classifier, load_embedder
from pipeline.models.views import check_views
from schemas.errors import ModelError, UsageError
from tests.helpers.small_embedders import write_small_embedder
from tests.pipeline.models.test_onnx_files import write_small_classifier

COLOURS = ("red", "green", "blue")
OPTIONS = TrainOptions(
    epochs=3, batch_size=4, learning_rate=1e-3, threads=1, augmentation=Augmentation(crop=0.8, light=0.1, window=0.8)
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two folders, left/ and right/, of six films each, and a file in each that is no video."""
    folder = tmp_path_factory.mktemp("data")
    for motion in ("left", "right"):
        (folder / motion).mkdir()
        for number in range(6):
            colour = COLOURS[number % 3]
            render(Film(f"{number}-{colour}.mp4", colour, "disc", motion, 2.0, "libx264"), folder / motion)
        (folder / motion / "damaged.mp4").write_bytes(b"\0\0\0\x20ftypisom" + bytes(500))
    return folder


@pytest.fixture(scope="module")
def captions(data: Path) -> Path:
    path = data.parent / f"{data.name}.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "caption", "facts"])
        for film in sorted(data.rglob("[0-9]-*.mp4")):
            colour, motion = film.stem.split("-")[1], film.parent.name
            writer.writerow([film, f"a {colour} disc", f"colour={colour}"])
            writer.writerow([film, f"a disc moving {motion}", f"motion={motion}"])
    return path


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def finetuned(data: Path, cache: Path, classifier_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainReport:
    output = tmp_path_factory.mktemp("finetuned") / "model"
    return finetune(data, output, base=str(classifier_folder), options=OPTIONS, cache=cache)


def weights(report: TrainReport) -> dict[str, torch.Tensor]:
    return load_file(report.output / "model.safetensors")


def test_finetuning_gives_what_ingest_takes(finetuned: TrainReport, data: Path) -> None:
    model = load_classifier(find_checkpoint(str(finetuned.output), "--classifier"), "fp32")
    labels = model.classify(torch.zeros(1, 16, 3, 64, 64), top=5)
    assert sorted(label.label for label in labels[0]) == ["left", "right"]
    assert sum(finetuned.clips.values()) == 12
    assert sorted(path.name for path in finetuned.output.iterdir()) == [
        "README.md", "config.json", "model.safetensors", "preprocessor_config.json",
    ]  # fmt: skip
    card = (finetuned.output / "README.md").read_text(encoding="utf-8")
    assert "Classes (2): left, right." in card
    assert "3 epochs in batches of 4" in card
    assert check_views(find_checkpoint(str(finetuned.output), "--classifier"), 2) == 4.0  # what it saw at once


def test_damaged_videos_are_left_out_and_named(finetuned: TrainReport, data: Path) -> None:
    assert [one.path for one in finetuned.left_out] == [str(data / "left/damaged.mp4"), str(data / "right/damaged.mp4")]
    assert all(one.reason for one in finetuned.left_out)


def test_only_the_head_is_new(finetuned: TrainReport, classifier_folder: Path) -> None:
    """Ten steps at a small rate leave the body near where it was; the head has other classes."""
    before, after = load_file(classifier_folder / "model.safetensors"), weights(finetuned)
    assert before["classifier.weight"].shape == (12, 64)
    assert after["classifier.weight"].shape == (2, 64)
    name = "videomae.encoder.layer.0.attention.attention.query.weight"
    name = name if name in before else next(key for key in before if "layer.0" in key and "query.weight" in key)
    assert torch.nn.functional.cosine_similarity(before[name].flatten(), after[name].flatten(), dim=0) > 0.95
    assert not before[name].equal(after[name])


class Stop(Exception):
    """Stands for Ctrl-C in the middle of a training."""


def test_an_interrupted_training_ends_as_an_uninterrupted_one(
    finetuned: TrainReport, data: Path, cache: Path, classifier_folder: Path, tmp_path: Path
) -> None:
    output = tmp_path / "model"

    def stop(progress: TrainProgress) -> None:
        if progress.epoch > 1.2:
            raise Stop

    with pytest.raises(Stop):
        finetune(data, output, base=str(classifier_folder), options=OPTIONS, cache=cache, on_progress=stop)
    assert not (output / "config.json").exists()
    said: list[str] = []
    seen: list[float] = []
    report = finetune(
        data, output, base=str(classifier_folder), options=OPTIONS, cache=cache, say=said.append,
        on_progress=lambda progress: seen.append(progress.epoch),
    )  # fmt: skip
    assert f"going on with the training in {output}" in said
    assert min(seen) > 1.0
    assert report.trained.curve == finetuned.trained.curve
    for name, tensor in weights(finetuned).items():
        assert tensor.equal(weights(report)[name]), name


def test_pretraining_then_finetuning(data: Path, cache: Path, classifier_folder: Path, tmp_path: Path) -> None:
    first = pretrain(
        data,
        tmp_path / "encoder",
        base=str(classifier_folder / "config.json"),
        options=OPTIONS,
        mask_ratio=0.75,
        cache=cache,
    )
    assert [entry["epoch"] for entry in first.trained.curve] == [1.0, 2.0, 3.0]
    assert set(first.trained.best) == {"loss", "epoch"}
    assert first.trained.curve[-1]["loss"] < first.trained.curve[0]["loss"]
    second = finetune(data, tmp_path / "model", base=str(first.output), options=OPTIONS, cache=cache)
    encoder, model = weights(first), weights(second)
    name = next(key for key in model if "layer.1" in key and "value.weight" in key)
    assert torch.nn.functional.cosine_similarity(encoder[name].flatten(), model[name].flatten(), dim=0) > 0.9


def test_aligning_gives_what_ingest_takes(captions: Path, cache: Path, embedder_folder: Path, tmp_path: Path) -> None:
    report = align(
        captions, tmp_path / "model", base=str(embedder_folder), options=OPTIONS, plain_weight=0.5, facts_weight=0.5,
        cache=cache,
    )  # fmt: skip
    assert set(report.trained.best) == {"loss", "accuracy", "plain_accuracy", "epoch"}
    assert not any(name.startswith("fact_heads") for name in weights(report))
    embedder = load_embedder(find_checkpoint(str(report.output), "--embedder"), "fp32")
    vectors = embedder.embed_texts(["a red disc", "a disc moving left"])
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)
    assert embedder.embed_clips(torch.zeros(1, 8, 3, 64, 64)).shape == (1, 64)


@pytest.mark.parametrize("model_type", ["clip", "siglip", "align"])
def test_aligning_an_image_text_model(captions: Path, cache: Path, tmp_path: Path, model_type: str) -> None:
    """What it learns by are the scores that a search computes."""
    base = write_small_embedder(tmp_path / "base", model_type)
    report = align(captions, tmp_path / "model", base=str(base), options=OPTIONS, plain_weight=0.5, facts_weight=0.5)
    losses = [entry["loss"] for entry in report.trained.curve]
    assert len(losses) == 3
    embedder = load_embedder(find_checkpoint(str(report.output), "embedder"), "fp32")
    assert isinstance(embedder, RerankEmbedder)
    pixels = torch.randn(2, 8, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    texts = ["a red disc", "a disc moving left"]
    clips = embedder.embed_clips_with_features(pixels)
    model = AutoModel.from_pretrained(report.output).eval()
    family = embedder_family(model_type)
    assert family is not None
    tokens = TextTokenizer(report.output, "model", "base", family.texts.max_tokens or 77, family.texts)(texts)
    with torch.inference_mode():
        scores = image_text_scores(model, pixels, tokens)
    assert scores.rerank.T.numpy() == pytest.approx(embedder.rerank_scores(texts, *clips), abs=2e-3)
    plain = embedder.logit_scale * embedder.embed_texts(texts) @ clips.embeddings.T
    assert scores.plain.T.numpy() == pytest.approx(plain, abs=2e-3)


def test_half_stores_fp16(captions: Path, cache: Path, embedder_folder: Path, tmp_path: Path) -> None:
    options = TrainOptions(epochs=1, batch_size=4, threads=1, half=True)
    report = align(captions, tmp_path / "model", base=str(embedder_folder), options=options, cache=cache)
    assert {tensor.dtype for tensor in weights(report).values() if tensor.is_floating_point()} == {torch.float16}
    assert load_embedder(find_checkpoint(str(report.output), "--embedder"), "fp32").dim == 64


def test_an_output_in_use_is_left_alone(finetuned: TrainReport, data: Path, cache: Path, classifier_folder: Path) -> None:
    before = weights(finetuned)
    with pytest.raises(UsageError, match="is not empty, and nothing in it is overwritten; give another folder"):
        finetune(data, finetuned.output, base=str(classifier_folder), options=OPTIONS, cache=cache)
    assert all(tensor.equal(before[name]) for name, tensor in weights(finetuned).items())


def test_another_training_does_not_go_on_with_an_unfinished_one(
    data: Path, cache: Path, classifier_folder: Path, tmp_path: Path
) -> None:
    def stop(progress: TrainProgress) -> None:
        raise Stop

    with pytest.raises(Stop):
        finetune(data, tmp_path / "m", base=str(classifier_folder), options=OPTIONS, cache=cache, on_progress=stop)
    other = TrainOptions(epochs=4, batch_size=4)
    with pytest.raises(UsageError, match="holds an unfinished training of other data or options"):
        finetune(data, tmp_path / "m", base=str(classifier_folder), options=other, cache=cache)


def test_bases_of_another_kind_are_refused(data: Path, captions: Path, classifier_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(
        ModelError, match=r"base .*: got a model of type 'videomae', expected xclip, clip, .*align or siglip"
    ):
        align(captions, tmp_path / "a", base=str(classifier_folder), options=OPTIONS)
    (tmp_path / "pickled").mkdir()
    (tmp_path / "pickled/config.json").write_text((classifier_folder / "config.json").read_text(encoding="utf-8"))
    (tmp_path / "pickled/pytorch_model.bin").write_bytes(b"")
    with pytest.raises(ModelError, match=r"got pytorch_model.bin, expected model.safetensors only"):
        finetune(data, tmp_path / "b", base=str(tmp_path / "pickled"), options=OPTIONS)
    assert not (tmp_path / "a").exists()
    assert not (tmp_path / "b").exists()


def test_the_command_prints_what_came_of_it(data: Path, cache: Path, classifier_folder: Path, tmp_path: Path) -> None:
    arguments = ["finetune", str(data), "--base", str(classifier_folder), "--output", str(tmp_path / "m"), "--json"]
    options = ["--epochs", "1", "--batch-size", "4", "--cache", str(cache), "--threads", "1"]
    done = CliRunner().invoke(main, [*arguments, *options])
    assert done.exit_code == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["clips"] == {"train": 9, "val": 2, "test": 1}
    assert [Path(one["path"]).name for one in told["left_out"]] == ["damaged.mp4", "damaged.mp4"]
    assert set(told["best"]) == {"loss", "accuracy", "epoch"}
    assert "damaged: " in done.stderr


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--epochs", "0", "--epochs: got 0, expected 1 to 100000"),
        ("--crop", "1.5", "--crop: got 1.5, expected 0.05 to 1"),
        ("--learning-rate", "0", "--learning-rate: got 0, expected 1e-09 to 10"),
        ("--random-window", "0", "--random-window: got 0, expected 0.2 to 1"),
    ],
)
def test_options_out_of_range(option: str, value: str, message: str, tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["finetune", ".", "--base", "x", "--output", str(tmp_path / "m"), option, value])
    assert done.exit_code == 2
    assert done.stderr == f"vidsift: {message}\n"


def test_the_card_names_the_base_as_it_was_given(
    data: Path, cache: Path, classifier_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(classifier_folder.parent)
    options = TrainOptions(epochs=1, batch_size=8, threads=1)
    report = finetune(data, tmp_path / "m", base="classifier", options=options, cache=cache)
    card = (report.output / "README.md").read_text(encoding="utf-8")
    assert "trained with vidsift from `classifier`." in card
    assert str(classifier_folder) not in card


@pytest.mark.parametrize("family", ["videomae", "timesformer"])
def test_a_classifier_learns_from_more_frames(data: Path, cache: Path, tmp_path: Path, family: str) -> None:
    """The trained folder says how many it takes, and is a classifier like any other."""
    base = write_small_classifier(tmp_path / "base", family)
    report = finetune(data, tmp_path / "model", base=base.folder, frames=32, options=replace(OPTIONS, epochs=1), cache=cache)
    trained = find_checkpoint(str(report.output), "--classifier")
    assert trained.num_frames is None
    classifier = load_classifier(trained, "fp32")
    assert classifier.preprocessing.input.num_frames == 32
    (labels,) = classifier.classify(torch.zeros(1, 32, 3, 32, 32), top=5)
    assert sorted(label.label for label in labels) == ["left", "right"]
