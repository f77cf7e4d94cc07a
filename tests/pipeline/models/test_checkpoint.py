from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from pipeline.models.checkpoint import find_checkpoint
from pipeline.models.registry import check_classifier, check_embedder, load_classifier, load_embedder
from schemas.errors import ModelError
from schemas.models import Checkpoint


def test_a_folder_is_a_checkpoint(classifier_folder: Path, classifier_checkpoint: Checkpoint) -> None:
    assert classifier_checkpoint.folder == str(classifier_folder)
    assert (classifier_checkpoint.model_type, classifier_checkpoint.revision) == ("videomae", None)
    assert classifier_checkpoint.stamp == f"classifier@{classifier_checkpoint.sha256[:8]}"


@pytest.mark.parametrize(
    ("file", "change", "same"),
    [
        ("preprocessor_config.json", {"image_mean": [0.5, 0.5, 0.5]}, False),
        ("config.json", {"num_attention_heads": 2}, False),
        ("tokenizer_config.json", {"pad_token": "<eos>"}, False),
        ("config.json", {"transformers_version": "9.9"}, True),
    ],
)
def test_the_hash_is_of_all_that_decides_what_a_model_sees(
    embedder_folder: Path, tmp_path: Path, file: str, change: dict[str, object], same: bool
) -> None:
    copy = shutil.copytree(embedder_folder, tmp_path / "copy")
    before = find_checkpoint(str(copy), "embedder").sha256
    assert before == find_checkpoint(str(embedder_folder), "embedder").sha256
    saved = json.loads((copy / file).read_text())
    (copy / file).write_text(json.dumps(saved | change))
    assert (find_checkpoint(str(copy), "embedder").sha256 == before) == same


def test_a_hub_model_that_cannot_be_had_names_the_ways_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(ModelError) as error:
        find_checkpoint("some-org/some-model", "embedder")
    message = str(error.value)
    assert message.startswith("embedder some-org/some-model: the model hub has no such model or cannot be reached")
    for way in ("`embedder` DIR", "hf download some-org/some-model", "`classifier` pocket `embedder` pocket"):
        assert way in message
    assert "\n" not in message


@pytest.mark.parametrize("name", ["nowhere", "./no/such/folder", "a b/c", ""])
def test_what_is_neither_folder_nor_id_is_refused(name: str) -> None:
    with pytest.raises(ModelError, match="classifier: no such folder, and no hub id"):
        find_checkpoint(name, "classifier")


def test_only_safetensors_are_loaded(classifier_folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(classifier_folder, tmp_path / "copy")
    (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"got pytorch_model.bin, expected model.safetensors only"):
        find_checkpoint(str(copy), "classifier")


def test_a_checkpoint_that_brings_code_is_refused(classifier_folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(classifier_folder, tmp_path / "copy")
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | {"auto_map": {"AutoModel": "evil.Model"}}))
    with pytest.raises(ModelError, match="brings its own code to run"):
        find_checkpoint(str(copy), "classifier")


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "holds no config.json"), ("{", "is not valid JSON"), ("[]", "holds a list, expected an object")],
)
def test_a_damaged_configuration_is_refused(tmp_path: Path, content: str | None, message: str) -> None:
    if content is not None:
        (tmp_path / "config.json").write_text(content)
    with pytest.raises(ModelError, match=message):
        find_checkpoint(str(tmp_path), "classifier")


def test_models_in_each_others_place_are_refused(classifier_checkpoint: Checkpoint, embedder_checkpoint: Checkpoint) -> None:
    check_classifier(classifier_checkpoint)
    check_embedder(embedder_checkpoint)
    with pytest.raises(ModelError, match=r"got XCLIPModel, expected a model for video classification"):
        check_classifier(embedder_checkpoint)
    with pytest.raises(ModelError, match=r"got a model of type 'videomae', expected xclip"):
        check_embedder(classifier_checkpoint)
    with pytest.raises(ModelError, match=r"got a model of type 'videomae', expected xclip"):
        load_embedder(classifier_checkpoint)


def test_a_classifier_without_its_head_is_refused(tmp_path: Path) -> None:
    """A pre-trained VideoMAE would be given a random head, and label everything with confidence."""
    from transformers import VideoMAEConfig, VideoMAEModel

    config = VideoMAEConfig(image_size=32, hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2)
    VideoMAEModel(config).save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text('{"size": 32, "crop_size": 32}')
    with pytest.raises(ModelError, match=r"its weights lack \d+ tensors .*classifier"):
        load_classifier(find_checkpoint(str(tmp_path), "classifier"))


def test_weights_that_are_cut_off_are_an_error(classifier_folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(classifier_folder, tmp_path / "copy")
    weights = (copy / "model.safetensors").read_bytes()
    (copy / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    with pytest.raises(ModelError, match="transformers cannot load it as a model of type 'videomae'"):
        load_classifier(find_checkpoint(str(copy), "classifier"))
