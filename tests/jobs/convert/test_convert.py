"""A published file becomes a model with the same logits; a tampered one is refused with what is wrong."""

from __future__ import annotations

import argparse
import json
import os
import zipfile
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file

from cli import main
from jobs.convert.convert import convert, read_labels
from pipeline.models.build import build, fill, forward
from pipeline.models.checkpoint import find_checkpoint
from pipeline.models.preprocessing import read_preprocessing
from pipeline.models.registry import check_classifier, load_classifier
from schemas.errors import UsageError

pytest.importorskip("torchvision", reason="torchvision is not installed")
pytest.importorskip("pytorchvideo", reason="pytorchvideo is not installed")

from tests.helpers.plain_videomae_v2 import plain_videomae_v2, random_videomae_v2
from tests.helpers.small_architectures import LABELS, SIDE, known, make_small, num_frames_of, random_model


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    make_small(monkeypatch)


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    (tmp_path / "labels.txt").write_text("\n".join(LABELS), encoding="utf-8")
    return tmp_path / "labels.txt"


def _wrapped(name: str, tensors: dict[str, torch.Tensor]) -> dict[str, Any]:
    """As the family's authors publish it."""
    wrapped: dict[str, dict[str, Any]] = {
        "mc3_18": tensors,
        "mvit_v2_s": {"state_dict": {f"module.{key}": value for key, value in tensors.items()}, "epoch": 3},
        "x3d_m": {"model_state": tensors, "cfg": "a text", "args": argparse.Namespace(lr=0.1)},
        "slowfast_r50": {"model_state": tensors},
        "c3d": tensors,
        "uniformer_s": {"model_state": tensors},
    }
    return wrapped[name]


@pytest.mark.parametrize("name", ["mc3_18", "mvit_v2_s", "x3d_m", "slowfast_r50", "c3d", "uniformer_s"])
def test_a_converted_network_gives_the_same_logits(tmp_path: Path, labels: Path, name: str) -> None:
    model = random_model(name)
    torch.save(_wrapped(name, model.state_dict()), tmp_path / "published.pth")
    done = convert(tmp_path / "published.pth", name, tmp_path / "made", labels=labels, license_name="BSD-3-Clause")
    assert (done.family, done.labels, done.license) == (name, 7, "BSD-3-Clause")

    checkpoint = find_checkpoint(str(tmp_path / "made"), "classifier")
    check_classifier(checkpoint)
    preprocessing = read_preprocessing(checkpoint, "classifier")
    processor = known(name).processor.defaults
    assert preprocessing.input.num_frames == known(name).num_frames
    assert preprocessing.input.geometry.crop == tuple(processor["crop_size"].values())
    assert preprocessing.gain == pytest.approx([1 / 255 / std for std in processor["image_std"]])

    loaded = build(known(name), 7)
    fill(loaded, load_file(tmp_path / "made" / "model.safetensors"))
    pixels = torch.rand(2, num_frames_of(name), 3, SIDE, SIDE)
    assert torch.equal(forward(known(name), loaded, pixels), forward(known(name), model, pixels))

    card = (tmp_path / "made" / "README.md").read_text(encoding="utf-8")
    assert 'license: "BSD-3-Clause"' in card
    assert f'"published.pth", SHA-256 {sha256((tmp_path / "published.pth").read_bytes()).hexdigest()}' in card
    assert sorted(file.name for file in tmp_path.iterdir()) == ["labels.txt", "made", "published.pth"]


@pytest.mark.parametrize("wrapper", ["module", "model"])
def test_videomae_v2_gives_the_same_logits(tmp_path: Path, labels: Path, wrapper: str) -> None:
    """Against its formula, written down in the helper with the published names."""
    tensors = random_videomae_v2(len(LABELS))
    torch.save({wrapper: tensors}, tmp_path / "vit_s_k710_dl_from_giant.pth")
    convert(tmp_path / "vit_s_k710_dl_from_giant.pth", "videomae_v2", tmp_path / "made", labels=labels)
    checkpoint = find_checkpoint(str(tmp_path / "made"), "classifier")
    check_classifier(checkpoint)
    classifier = load_classifier(checkpoint, "fp32")
    assert classifier.preprocessing.gain == pytest.approx([1 / 255 / std for std in (0.229, 0.224, 0.225)])
    pixels = torch.rand(1, 16, 3, 224, 224)
    (found,) = classifier.classify(pixels, 7)
    expected = plain_videomae_v2(tensors, pixels, num_heads=6).softmax(-1)[0]
    assert expected.max() - expected.min() > 0.05
    assert {label.label: label.score for label in found} == pytest.approx(
        dict(zip(LABELS, expected.tolist(), strict=True)), abs=1e-5
    )


def test_without_labels_they_are_those_of_kinetics(tmp_path: Path) -> None:
    torch.save(random_model("mvit_v1_b", 400).state_dict(), tmp_path / "a.pth")
    done = CliRunner().invoke(
        main, ["convert", str(tmp_path / "a.pth"), "--family", "mvit_v1_b", "--output", str(tmp_path / "made"), "--json"]
    )
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["license"] == "unknown"
    assert "Licence: unknown: none was given" in (tmp_path / "made" / "README.md").read_text()
    names = json.loads((tmp_path / "made" / "config.json").read_text())["id2label"]
    assert (len(names), names["0"], names["399"]) == (400, "abseiling", "zumba")


class _Code:
    """What a pickle of it would run leaves a file behind."""

    def __init__(self, left: Path) -> None:
        self.left = left

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, (str(self.left),)


def refused(tmp_path: Path, labels: Path | None, family: str = "mvit_v1_b") -> str:
    with pytest.raises(UsageError) as error:
        convert(tmp_path / "a.pth", family, tmp_path / "made", labels=labels)
    assert not (tmp_path / "made").exists()
    assert not [file for file in tmp_path.iterdir() if file.name.startswith(".")]
    return str(error.value)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_file_that_names_code_is_refused_and_runs_none(tmp_path: Path, labels: Path, zipped: bool) -> None:
    content = {"state_dict": random_model("mvit_v1_b").state_dict(), "more": _Code(tmp_path / "ran")}
    torch.save(content, tmp_path / "a.pth", _use_new_zipfile_serialization=zipped)
    assert "names code to run (posix.mkdir), which vidsift never does" in refused(tmp_path, labels)
    assert not (tmp_path / "ran").exists()


def test_tensors_that_are_not_the_networks_are_refused(tmp_path: Path, labels: Path) -> None:
    tensors = random_model("mvit_v1_b").state_dict()
    torch.save({**tensors, "head.1.bias": torch.zeros(9)}, tmp_path / "a.pth")
    assert "1 tensors have another shape (head.1.bias is [9] instead of [7])" in refused(tmp_path, labels)
    torch.save({**tensors, "head.2.bias": torch.zeros(9)}, tmp_path / "a.pth")
    assert "1 tensors are unexpected (head.2.bias)" in refused(tmp_path, labels)
    torch.save({name: value for name, value in tensors.items() if name != "head.1.bias"}, tmp_path / "a.pth")
    assert "1 tensors are missing (head.1.bias)" in refused(tmp_path, labels)
    torch.save({**tensors, "head.1.bias": torch.tensor([0, 1, 2, 3, 4, 5, torch.nan])}, tmp_path / "a.pth")
    assert "1 tensors hold values that are no numbers (head.1.bias)" in refused(tmp_path, labels)
    torch.save(tensors, tmp_path / "a.pth")
    said = "head.1.bias is [7] instead of [400]); give `labels` if its classes are not those of Kinetics-400"
    assert said in refused(tmp_path, None)


def test_videomae_v2_that_is_none_is_refused(tmp_path: Path, labels: Path) -> None:
    tensors = random_videomae_v2(len(LABELS))
    torch.save({name: value for name, value in tensors.items() if name != "blocks.0.attn.q_bias"}, tmp_path / "a.pth")
    assert "1 tensors are missing (blocks.0.attn.q_bias)" in refused(tmp_path, labels, "videomae_v2")
    torch.save({**tensors, "decoder.more": torch.zeros(1)}, tmp_path / "a.pth")
    assert "1 tensors are unexpected (decoder.more)" in refused(tmp_path, labels, "videomae_v2")
    torch.save({"weight": torch.zeros(1)}, tmp_path / "a.pth")
    assert "not those of a VideoMAE v2 with a head: expected patch_embed" in refused(tmp_path, labels, "videomae_v2")


def test_what_is_no_checkpoint_is_refused(tmp_path: Path, labels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a.pth"
    assert "is not a file; give a checkpoint" in refused(tmp_path, labels)
    file.write_text("no checkpoint\n")
    assert "cannot be read as a checkpoint of PyTorch" in refused(tmp_path, labels)
    torch.save([torch.zeros(1)], file)
    assert "holds a list, expected tensors by name" in refused(tmp_path, labels)
    torch.save({"epoch": 3, "weight": torch.zeros(1)}, file)
    assert "holds 1 values that are no plain tensors (epoch)" in refused(tmp_path, labels)
    torch.save({"weight": torch.zeros(1).expand(10**13)}, file)  # 40 TB, of one value in the file
    assert "holds 1 values that are no plain tensors (weight)" in refused(tmp_path, labels)
    file.write_bytes(b"x" * 100 + b"PK\5\6" + b"\xff" * 18)  # the end of a ZIP file that is none
    assert "another kind of file, or cut short; get it again" in refused(tmp_path, labels)
    torch.save({"weight": torch.zeros(1000)}, file)
    file.write_bytes(file.read_bytes()[:2000])
    assert "another kind of file, or cut short; get it again" in refused(tmp_path, labels)
    monkeypatch.setattr("jobs.convert.published.MAX_BYTES", 1_000_000)
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("data", b"\0" * 2_000_000)
    assert file.stat().st_size < 10_000
    assert "holds 0.0 GB, expected at most 0.001; give a file of weights alone" in refused(tmp_path, labels)


def test_lists_of_labels(tmp_path: Path) -> None:
    file = tmp_path / "labels.txt"
    file.write_bytes("waving\r\nça va\r\n".encode())
    assert read_labels(file) == ["waving", "ça va"]
    for content, message in (
        (b"", "is empty; give a class on each line"),
        (b"a\n\nb\n", "line 2 is empty; give each class a line of its own"),
        (b"a\nb\na\n", "line 3 'a' is there already, on line 1"),
        (b"\xff\xfe\xff", "is not a text in UTF-8"),
    ):
        file.write_bytes(content)
        with pytest.raises(UsageError, match=message):
            read_labels(file)
    with pytest.raises(UsageError, match="is not a text file"):
        read_labels(tmp_path)


def test_nothing_is_overwritten(tmp_path: Path, labels: Path) -> None:
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "kept").touch()
    with pytest.raises(UsageError, match="is not empty, and nothing is overwritten"):
        convert(tmp_path / "a.pth", "mvit_v1_b", tmp_path / "made", labels=labels)
    assert [file.name for file in (tmp_path / "made").iterdir()] == ["kept"]
