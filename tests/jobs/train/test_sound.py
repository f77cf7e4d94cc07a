"""Classifiers that hear: in a world where only sound tells two classes apart."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import VideoMAEConfig

from jobs.evaluate.model import evaluate_model
from jobs.evaluate.model_inputs import EvaluateOptions
from jobs.evaluate.model_results import ClassifierResults
from jobs.ingest.ingest import ingest
from jobs.train.finetune import finetune
from jobs.train.options import TrainOptions
from pipeline.models.base import HearingClassifier
from pipeline.models.checkpoint import find_checkpoint
from pipeline.models.onnx_files import export_onnx
from pipeline.models.registry import check_classifier, load_classifier
from schemas.errors import ModelError, UsageError
from schemas.options import IngestOptions
from tests.helpers.library_builder import sql
from tests.helpers.sounding import TONES, tone, write_sounding

OPTIONS = TrainOptions(epochs=6, batch_size=4, learning_rate=3e-3, window_s=1.0, threads=1)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For each picture two videos, one with a low tone and one with a high one; in train/ and in test/."""
    folder = tmp_path_factory.mktemp("world")
    rng = np.random.default_rng(0)
    for split, numbers in (("train", range(12)), ("test", range(12, 22))):
        for label, hertz in TONES.items():
            (folder / split / label).mkdir(parents=True)
            for number in numbers:
                path = folder / split / label / f"{number}.mp4"
                write_sounding(path, tone(hertz, 1.0, rng), seed=number)
    return folder


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A VideoMAE's config.json, as small as can be."""
    folder = tmp_path_factory.mktemp("base")
    sizes = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    VideoMAEConfig(**sizes, image_size=32, patch_size=16, num_frames=4).save_pretrained(folder)
    settings = {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    return folder


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def late(world: Path, base: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("late") / "model"
    finetune(world, output, base=str(base), options=OPTIONS, audio="late", cache=cache)
    return output


def top1(model: Path, world: Path, said: list[str] | None = None) -> float:
    options = EvaluateOptions(split="all", window_s=1.0)
    say = (said if said is not None else []).append
    results = evaluate_model(str(model), world, kind="classifier", options=options, say=say)
    assert isinstance(results, ClassifierResults)
    return results.top1


def test_late_fusion_hears_the_difference(late: Path, world: Path, tmp_path: Path) -> None:
    assert top1(late, world / "test") >= 0.9
    check_onnx(late, tmp_path)


def test_cross_attention_hears_the_difference(world: Path, base: Path, cache: Path, tmp_path: Path) -> None:
    finetune(world, tmp_path / "m", base=str(base), options=OPTIONS, audio="cross", cache=cache)
    assert top1(tmp_path / "m", world / "test") >= 0.9
    assert json.loads((tmp_path / "m/config.json").read_text())["fusion"] == "cross"
    check_onnx(tmp_path / "m", tmp_path)


def check_onnx(model: Path, folder: Path) -> None:
    """The model as an ONNX file, and on ONNX Runtime, hears what it hears in PyTorch."""
    pytest.importorskip("onnx")
    (written,) = export_onnx(str(model), folder / "model.onnx")
    assert written.difference < 1e-3
    assert written.what == "pixels [batch, 4, 3, 32, 32] and sound [batch, 16000] -> logits [batch, 2]"
    checkpoint, rng = find_checkpoint(str(model), "classifier"), np.random.default_rng(3)
    pixels = torch.from_numpy(rng.normal(size=(3, 4, 3, 32, 32)).astype(np.float32))
    sound = np.stack([np.zeros(16_000, np.float32), *(tone(hertz, 1.0, rng)[:16_000] for hertz in TONES.values())])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        answers = []
        for engine in ("torch", "onnx"):
            classifier = load_classifier(checkpoint, "fp32", engine)
            assert isinstance(classifier, HearingClassifier)
            answers.append(classifier.classify_with_sound(pixels, sound, 2))
    for labels, others in zip(*answers, strict=True):
        assert [label.label for label in labels] == [label.label for label in others]
        assert [label.score for label in labels] == pytest.approx([label.score for label in others], abs=1e-3)


def test_without_sound_it_is_a_guess(world: Path, base: Path, cache: Path, tmp_path: Path) -> None:
    """The pictures of both classes are the same, so each picture is right once."""
    finetune(world, tmp_path / "m", base=str(base), options=OPTIONS, cache=cache)
    assert top1(tmp_path / "m", world / "test") == 0.5


def test_the_folder_is_a_classifier_that_hears(late: Path) -> None:
    names = ["README.md", "config.json", "model.safetensors", "preprocessor_config.json"]
    assert sorted(path.name for path in late.iterdir()) == names
    checkpoint = find_checkpoint(str(late), "classifier")
    check_classifier(checkpoint)
    classifier = load_classifier(checkpoint, "fp32")
    assert isinstance(classifier, HearingClassifier)
    assert classifier.num_samples == 16_000
    rng = np.random.default_rng(7)
    sound = np.stack([tone(hertz, 1.0, rng) for hertz in TONES.values()])
    pixels = torch.zeros(2, 4, 3, 32, 32)
    assert [clip[0].label for clip in classifier.classify_with_sound(pixels, sound, 2)] == list(TONES)
    silence = classifier.classify_with_sound(pixels, np.zeros_like(sound), 2)
    assert classifier.classify(pixels, 2) == silence


@pytest.mark.usefixtures("inline_run")
def test_an_ingest_gives_the_classifier_the_sound(world: Path, late: Path, embedder_folder: Path, tmp_path: Path) -> None:
    """Labels of films whose pictures are the same, in clips of a second; one film has no sound."""
    films = tmp_path / "films"
    films.mkdir()
    rng = np.random.default_rng(5)
    for label, hertz in TONES.items():
        write_sounding(films / f"{label}.mp4", tone(hertz, 3.0, rng), seconds=3.0, seed=40)
    write_sounding(films / "silent.mp4", None, seconds=3.0, seed=40)
    report = ingest(
        [films], tmp_path / "library", classifier=str(late), embedder=str(embedder_folder), window_s=1.0, stride_s=1.0
    )
    assert (report.indexed, report.partial, report.failed) == (3, 0, 0)
    labels: dict[str, list[str]] = {}
    for row in sql(tmp_path / "library", "select path, label from clips"):
        labels.setdefault(Path(row["path"]).stem, []).append(row["label"])
    assert labels["high"] == ["high"] * 3
    assert labels["low"] == ["low"] * 3
    assert len(labels["silent"]) == 3


def test_a_video_without_sound_is_silent_and_counted(base: Path, tmp_path: Path, late: Path) -> None:
    for label in TONES:
        (tmp_path / "data" / label).mkdir(parents=True)
        for number in range(3):
            write_sounding(tmp_path / "data" / label / f"{number}.mp4", None, seed=number)
    said: list[str] = []
    options = TrainOptions(epochs=1, batch_size=4, window_s=1.0, threads=1)
    report = finetune(tmp_path / "data", tmp_path / "m", base=str(base), options=options, audio="late", say=said.append)
    assert report.extra == {"audio": "late", "silent_examples": 6}
    assert any(one.startswith("6 of 6 examples have no sound that can be read, and are taken for silent: ") for one in said)
    assert "silent examples: 6." in (report.output / "README.md").read_text(encoding="utf-8")
    said.clear()
    assert top1(late, tmp_path / "data", said) == 0.5
    assert "taken for silent: 6 of 6 examples, which have no sound that can be read" in said


def test_what_cannot_hear_is_refused(world: Path, late: Path, embedder_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="got a model of type 'xclip', expected videomae, timesformer, vivit with `audio`"):
        finetune(world, tmp_path / "m", base=str(embedder_folder), options=OPTIONS, audio="late")
    with pytest.raises(UsageError, match="got a classifier that hears, expected others"):
        evaluate_model(str(late), world, kind="classifier", options=EvaluateOptions(views="multi"))
    with pytest.raises(ModelError, match="'sound_video', which can be used but not trained further; give the video model"):
        finetune(world, tmp_path / "m", base=str(late), options=OPTIONS)
    options = IngestOptions(engine="openvino")
    with pytest.raises(UsageError, match=r"engine.*(not installed|got a classifier of type 'sound_video')"):
        ingest(world, tmp_path / "m", classifier=str(late), embedder=str(embedder_folder), options=options)
    assert not (tmp_path / "m").exists(), "also not a library that keeps the models of a refused ingest"
