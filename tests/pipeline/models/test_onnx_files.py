"""ONNX files give what vidsift's own models give, and say what they have to be given."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from numpy.typing import NDArray

from cli import main
from pipeline.models import onnx_files
from pipeline.models.checkpoint import find_checkpoint
from pipeline.models.onnx_files import export_onnx
from pipeline.models.registry import load_classifier, load_embedder
from pipeline.models.runtimes import onnx
from schemas.errors import ModelError, UsageError
from schemas.models import Checkpoint
from tests.helpers.small_embedders import write_small_embedder
from tests.pipeline.models.test_families import FAMILIES as CLASSIFIERS

pytestmark = pytest.mark.skipif(
    find_spec("onnx") is None or find_spec("onnxruntime") is None, reason="the extra onnx is not installed"
)

EMBEDDERS = ("xclip", "clip", "metaclip_2", "altclip", "chinese_clip", "align", "siglip", "videoprism")
TEXTS = ["a dog", "two people who bake a cake"]


def run(path: Path, **inputs: NDArray[Any]) -> tuple[NDArray[np.float32], dict[str, str]]:
    """A file's only output, and its metadata."""
    session = onnx.open_session(path, 1)
    (output,) = session.run(None, inputs)
    return output, session.get_modelmeta().custom_metadata_map


def random_pixels(batch: int, num_frames: int, side: int) -> torch.Tensor:
    return torch.randn(batch, num_frames, 3, side, side, generator=torch.Generator().manual_seed(7))


def write_small_classifier(folder: Path, family: str) -> Checkpoint:
    torch.manual_seed(0)
    CLASSIFIERS[family][0]().save_pretrained(folder)
    pixels = {"size": {"shortest_edge": 32}, "crop_size": 32, "image_mean": [0.5] * 3, "image_std": [0.25] * 3}
    (folder / "preprocessor_config.json").write_text(json.dumps(pixels))
    return find_checkpoint(str(folder), "--classifier")


@pytest.mark.parametrize("family", CLASSIFIERS)
def test_a_classifier_of_each_family_gives_the_labels_of_pytorch(tmp_path: Path, family: str) -> None:
    checkpoint = write_small_classifier(tmp_path / "model", family)
    (written,) = export_onnx(checkpoint.name, tmp_path / "model.onnx")
    assert written.difference < 1e-4
    classifier = load_classifier(checkpoint, "fp32")
    for batch in (1, 4):
        pixels = random_pixels(batch, CLASSIFIERS[family][1], 32)
        logits, said = run(tmp_path / "model.onnx", pixels=pixels.numpy())
        names, probabilities = json.loads(said["labels"]), torch.from_numpy(logits).softmax(-1)
        for labels, row in zip(classifier.classify(pixels, 7), probabilities, strict=True):
            assert {label.label: label.score for label in labels} == pytest.approx(
                dict(zip(names, row.tolist(), strict=True)), abs=1e-4
            )


@pytest.mark.parametrize("family", EMBEDDERS)
def test_an_embedder_of_each_family_gives_the_vectors_of_pytorch(tmp_path: Path, family: str) -> None:
    write_small_embedder(tmp_path / "model", family)
    of_clips, of_texts = export_onnx(str(tmp_path / "model"), tmp_path / "model.onnx")
    assert (of_clips.path, of_texts.path) == (tmp_path / "model.onnx", tmp_path / "model.text.onnx")
    assert max(of_clips.difference, of_texts.difference) < 1e-4
    embedder: Any = load_embedder(find_checkpoint(str(tmp_path / "model"), "--embedder"), "fp32")
    shown = embedder.preprocessing.input
    for batch in (1, 4):
        pixels = random_pixels(batch, shown.num_frames, shown.geometry.size[0])
        assert run(of_clips.path, pixels=pixels.numpy())[0] == pytest.approx(embedder.embed_clips(pixels), abs=1e-4)


def test_a_file_says_how_its_pixels_are_made(classifier_checkpoint: Checkpoint, tmp_path: Path) -> None:
    export_onnx(classifier_checkpoint.name, tmp_path / "model.onnx")
    said = onnx.open_session(tmp_path / "model.onnx").get_modelmeta().custom_metadata_map
    assert json.loads(said.pop("labels")) == [f"made-up action {i:02d}" for i in range(12)]
    assert said == {
        "model": classifier_checkpoint.name,
        "model_sha256": classifier_checkpoint.sha256,
        "model_type": "videomae",
        "role": "classifier",
        "num_frames": "16",
        "frames": "evenly spaced, earliest first: frame j of n is on screen at (j + 0.5) / n of the clip's time",
        "layout": "float32 [batch, frame, channel, row, column]; channels R, G, B; pixel = (value / 255 - mean) / std",
        "resize": "64",
        "resize_means": "a number is the shorter edge's length, a pair height and width; null is none; antialiased",
        "interpolation": "bilinear",
        "crop": "[64, 64]",
        "crop_means": "height and width of a centre crop after resizing; null is none",
        "mean": "[0.485, 0.456, 0.406]",
        "std": "[0.229, 0.224, 0.225]",
    }


def test_what_differs_from_pytorch_is_not_left(classifier_checkpoint: Checkpoint, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"its logits by ONNX Runtime differ from PyTorch's by .*, expected at most 1e-30 "):
        export_onnx(classifier_checkpoint.name, tmp_path / "below" / "model.onnx", tolerance=1e-30)
    assert list((tmp_path / "below").iterdir()) == []


def test_nothing_is_overwritten(embedder_checkpoint: Checkpoint, tmp_path: Path) -> None:
    for name in ("model.onnx", "model.text.onnx", "model.onnx.data"):
        (tmp_path / name).write_text("mine")
        with pytest.raises(UsageError, match=r"is there, and nothing is overwritten; give another file$") as error:
            export_onnx(embedder_checkpoint.name, tmp_path / "model.onnx")
        assert error.value.value == tmp_path / name
        assert [path.name for path in tmp_path.iterdir()] == [name]
        (tmp_path / name).unlink()


def test_large_weights_are_in_a_file_beside(
    classifier_checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx, "MOST_BYTES_IN_ONE_FILE", 1_000)
    (written,) = export_onnx(classifier_checkpoint.name, tmp_path / "model.onnx")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.onnx", "model.onnx.data"]
    assert written.data == tmp_path / "model.onnx.data"
    assert written.num_bytes == written.data.stat().st_size + written.path.stat().st_size
    assert written.data.stat().st_size > written.path.stat().st_size
    assert run(written.path, pixels=random_pixels(2, 16, 64).numpy())[0].shape == (2, 12)


@pytest.mark.parametrize("family", ["siglip2", "embedding_gemma2"])
def test_pictures_of_any_shape_have_no_graph(tmp_path: Path, family: str) -> None:
    write_small_embedder(tmp_path / "model", family)
    with pytest.raises(ModelError, match=rf"models of type '{family}' cannot be exported, expected xclip, clip, "):
        export_onnx(str(tmp_path / "model"), tmp_path / "model.onnx")
    assert not (tmp_path / "model.onnx").exists()


def test_packages_that_are_missing_are_named(
    classifier_checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_files, "find_spec", lambda name: None if name == "onnx" else name)
    with pytest.raises(UsageError, match=r"^ONNX needs onnx, not installed here; pip install 'vidsift\[onnx\]'$"):
        export_onnx(classifier_checkpoint.name, tmp_path / "model.onnx")


def test_the_command_says_what_it_wrote(classifier_checkpoint: Checkpoint, tmp_path: Path) -> None:
    arguments: Mapping[str, str] = {"--output": str(tmp_path / "model.onnx"), "--kind": "classifier"}
    done = CliRunner().invoke(main, ["export-model", classifier_checkpoint.folder, *sum(arguments.items(), ())])
    assert done.exit_code == 0, done.output
    first, shapes, difference = done.stdout.splitlines()
    size = (tmp_path / "model.onnx").stat().st_size
    assert first == f"{tmp_path / 'model.onnx'}: {size / 1e6:.1f} MB, opset 18"
    assert shapes == "  pixels [batch, 16, 3, 64, 64] -> logits [batch, 12]"
    assert difference.startswith("  largest difference from PyTorch: ")
