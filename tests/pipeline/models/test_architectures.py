"""What vidsift says with torchvision's and pytorchvideo's networks equals what these libraries give on the same frames."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

from jobs.evaluate.model import evaluate_model
from jobs.evaluate.model_inputs import EvaluateOptions
from jobs.evaluate.model_results import ClassifierResults
from jobs.train.finetune import finetune
from jobs.train.options import TrainOptions
from pipeline.annotate import Annotators, LoadedClassifier, LoadedEmbedder
from pipeline.decoders.registry import load_decoder
from pipeline.models.architectures import ARCHITECTURES, Architecture
from pipeline.models.build import build, weight_problems
from pipeline.models.checkpoint import find_checkpoint
from pipeline.models.families import FAMILIES
from pipeline.models.known import KNOWN, TORCHVISION
from pipeline.models.onnx_files import export_onnx
from pipeline.models.preprocessing import read_preprocessing
from pipeline.models.registry import check_classifier, load_classifier, load_embedder
from pipeline.process import annotate_video
from pipeline.sampling import distinct_inputs
from schemas.errors import ModelError
from schemas.models import Checkpoint
from schemas.options import Engine, Sampling, Scaling
from schemas.records import ClipRow, VideoFile
from tests.helpers.videos import decode_all

pytest.importorskip("torchvision", reason="torchvision is not installed")
pytest.importorskip("pytorchvideo", reason="pytorchvideo is not installed")

from torch.utils.flop_counter import FlopCounterMode
from torchvision.models import get_model_weights
from torchvision.transforms._presets import VideoClassification

from tests.helpers.small_architectures import (
    LABELS,
    NAMES,
    SIDE,
    known,
    make_small,
    num_frames_of,
    random_model,
    write_small,
)

# Millions of weights with 400 classes: by pytorchvideo's model zoo, and C3D's as MMAction2 counts them, which are 78.4 with
# the 101 classes of UCF-101: 299 more have 4,097 weights each. UniFormer's paper (arXiv 2201.04676) says 21.4 and 49.8.
_MILLIONS = {
    **{"slowfast_r50": 34.57, "x3d_xs": 3.79, "x3d_s": 3.79, "x3d_m": 3.79, "i3d_r50": 28.04, "c3d": 79.63},
    **{"uniformer_s": 21.4, "uniformer_b": 49.81},
}


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    make_small(monkeypatch)


_decoded = cache(decode_all)


def checkpoint_of(folder: Path) -> Checkpoint:
    return find_checkpoint(str(folder), "classifier")


def rows_of(path: Path, classifier: Path, embedder: Path, scaling: Scaling) -> list[ClipRow]:
    """A film's clips as an ingest would store them."""
    models = (load_classifier(checkpoint_of(classifier), "fp32"), load_embedder(checkpoint_of(embedder), "fp32"))
    annotators = Annotators(
        [LoadedClassifier(models[0]), LoadedEmbedder(models[1])],
        inputs=distinct_inputs([model.preprocessing.input for model in models]),
    )
    outcomes = annotate_video(VideoFile(str(path), 1, 1), Sampling(), annotators, load_decoder("pyav"), scaling=scaling)
    return [outcome for outcome in outcomes if isinstance(outcome, ClipRow)]


def frames_of(path: Path, row: ClipRow, num_frames: int) -> NDArray[np.uint8]:
    """Full-size frames [num_frames, height, width, 3]: those on screen at the middles of equal parts."""
    times, frames = _decoded(path)
    length_s = row.span.end_s - row.span.start_s
    middles = [row.span.start_s + (j + 0.5) * length_s / num_frames for j in range(num_frames)]
    return np.stack(
        [frames[max(i for i, time in enumerate(times) if time <= middle + 1e-6 or i == 0)] for middle in middles]
    )


def plain_pixels(architecture: Architecture, frames: NDArray[np.uint8]) -> torch.Tensor:
    """[1, 3, num_frames, 32, 32] by torchvision's own transform with small sizes; pytorchvideo's examples do the same."""
    settings = architecture.processor.defaults
    transform = VideoClassification(
        crop_size=(SIDE, SIDE),
        resize_size=(37,) if "shortest_edge" in settings["size"] else (37, 46),
        mean=tuple(settings["image_mean"]),
        std=tuple(settings["image_std"]),
    )
    pixels: torch.Tensor = transform(torch.from_numpy(frames).permute(0, 3, 1, 2))
    return pixels[None]


def plain_probabilities(architecture: Architecture, model: Any, pixels: torch.Tensor) -> torch.Tensor:
    if architecture.slow_pathway_step:  # as in the examples of pytorchvideo, PackPathway
        num_frames = pixels.shape[2]
        slow = torch.index_select(pixels, 2, torch.linspace(0, num_frames - 1, num_frames // 4).long())
        return torch.softmax(model([slow, pixels]), -1)[0]
    given = model(pixels)[0]
    probabilities: torch.Tensor = given if architecture.gives_probabilities else torch.softmax(given, -1)
    return probabilities


@pytest.mark.parametrize("name", NAMES)
def test_labels_of_films(tmp_path: Path, films: list[Path], embedder_folder: Path, name: str) -> None:
    model = random_model(name)
    folder = write_small(tmp_path / name, name, model)
    check_classifier(checkpoint_of(folder))
    film = min(films, key=lambda film: film.stat().st_size)
    rows = rows_of(film, folder, embedder_folder, "fast")
    assert rows
    for row in rows:
        pixels = plain_pixels(known(name), frames_of(film, row, num_frames_of(name)))
        with torch.inference_mode():
            best = plain_probabilities(known(name), model, pixels).topk(5)
        assert best.values[0] - best.values[4] > 0.02, "not all alike"
        assert [label.label for label in row.labels] == [LABELS[i] for i in best.indices.tolist()]
        assert [label.score for label in row.labels] == pytest.approx(best.values.tolist(), abs=1e-2)


@pytest.mark.parametrize(
    ("name", "engine", "tolerance"),
    [
        ("s3d", "onnx", 1e-4),
        ("mvit_v2_s", "onnx", 1e-4),
        ("swin3d_t", "onnx", 1e-4),
        ("slowfast_r50", "onnx", 1e-4),
        ("x3d_s", "onnx", 1e-4),
        ("uniformer_s", "onnx", 1e-4),
        ("slowfast_r50", "openvino", 1e-3),
    ],
)
def test_other_engines_give_the_scores_of_the_network(
    tmp_path: Path, name: str, engine: Engine, tolerance: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    checkpoint = checkpoint_of(write_small(tmp_path / name, name, random_model(name)))
    pixels = torch.rand(2, num_frames_of(name), 3, SIDE, SIDE, generator=torch.Generator().manual_seed(3))
    expected = load_classifier(checkpoint, "fp32").classify(pixels, 3)
    for labels, others in zip(load_classifier(checkpoint, "fp32", engine).classify(pixels, 3), expected, strict=True):
        assert [label.label for label in labels] == [label.label for label in others]
        assert [label.score for label in labels] == pytest.approx([label.score for label in others], abs=tolerance)


@pytest.mark.parametrize("name", ["r3d_18", "x3d_s"])
def test_a_file_of_onnx_says_what_its_scores_are(tmp_path: Path, name: str) -> None:
    (written,) = export_onnx(str(write_small(tmp_path / name, name, random_model(name))), tmp_path / "model.onnx")
    assert written.difference < 1e-4
    output = "probabilities" if known(name).gives_probabilities else "logits"
    assert written.what == f"pixels [batch, 4, 3, 32, 32] -> {output} [batch, 7]"
    said = pytest.importorskip("onnxruntime").InferenceSession(str(written.path)).get_modelmeta().custom_metadata_map
    assert said["resize_means"].endswith("null is none; not antialiased, as torchvision's video transforms")


def test_every_family_of_classifiers_is_in_a_suite() -> None:
    others = ["videomae", "timesformer", "vivit", "vjepa2"]  # tests/pipeline/models/test_families.py
    trained_here = ["frame_transformer", "sound_video"]  # tests/jobs/train
    found = [family.model_type for family in FAMILIES if family.role == "classifier"]
    assert found == [*others, *NAMES, *trained_here]


@pytest.mark.parametrize("architecture", [a for a in ARCHITECTURES if a.library == "torchvision"], ids=lambda a: a.name)
def test_the_preprocessing_of_torchvision_is_the_published_one(tmp_path: Path, architecture: Architecture) -> None:
    """With no more in preprocessor_config.json than the family says by itself."""
    published = get_model_weights(architecture.name)["KINETICS400_V1"]
    transform = published.transforms()
    (tmp_path / "config.json").write_text(json.dumps({"model_type": architecture.name}))
    (tmp_path / "preprocessor_config.json").write_text("{}")
    save_file({"none": torch.zeros(1)}, tmp_path / "model.safetensors")
    read = read_preprocessing(checkpoint_of(tmp_path), "classifier")
    resize = read.input.geometry.resize
    assert ([resize] if isinstance(resize, int) else [*(resize or ())]) == transform.resize_size  # type: ignore[misc]
    assert [*(read.input.geometry.crop or ())] == transform.crop_size
    assert (read.input.geometry.transform, read.input.geometry.interpolation) == (
        "torchvision",
        transform.interpolation.value,
    )
    assert read.gain == pytest.approx([1 / 255 / std for std in transform.std])
    assert read.shift == pytest.approx([-mean / std for mean, std in zip(transform.mean, transform.std, strict=True)])
    assert f"clip_len={read.input.num_frames}`" in published.meta["_docs"]


def test_known_files_say_what_torchvision_says() -> None:
    files = {
        weights.url.rpartition("/")[2]: weights.meta["_metrics"]["Kinetics-400"]["acc@1"]
        for architecture in ARCHITECTURES
        if architecture.library == "torchvision"
        for weights in get_model_weights(architecture.name)
    }
    assert {known.name: known.figures["Kinetics-400"] for known in KNOWN if known.source == TORCHVISION} == files
    frames = {one.name: one.num_frames for one in ARCHITECTURES if one.library != "vidsift"}
    of_files = [known for known in KNOWN if known.model_type in frames]
    assert {known.model_type for known in of_files} == {*frames}
    assert all(known.num_frames == frames[known.model_type] for known in of_files)


@pytest.mark.parametrize("name", NAMES)
def test_networks_have_as_many_weights_as_published(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    with torch.device("meta"):
        weights = sum(weights.numel() for weights in build(known(name), 400).parameters())
    if known(name).library == "torchvision":
        assert weights == get_model_weights(name)["KINETICS400_V1"].meta["num_params"]
    else:
        assert weights / 1e6 == pytest.approx(_MILLIONS[name], abs=0.005)


def test_c3d_is_the_published_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its layers and their numbers of weights as C3D's port for Keras lists them, with the 487 classes of Sports-1M."""
    monkeypatch.undo()
    with torch.device("meta"):
        layers = {
            name: sum(weights.numel() for weights in layer.parameters())
            for name, layer in build(known("c3d"), 487).named_children()
        }
    assert layers == {
        "conv1": 5_248, "conv2": 221_312, "conv3a": 884_992, "conv3b": 1_769_728, "conv4a": 3_539_456, "conv4b": 7_078_400,
        "conv5a": 7_078_400, "conv5b": 7_078_400, "fc6": 33_558_528, "fc7": 16_781_312, "fc8": 1_995_239,
    }  # fmt: skip
    assert sum(layers.values()) - 386 * 4_097 == 78_409_573, "78.4 M with 101 classes"


def test_c3d_gives_what_its_definition_gives() -> None:
    """Written out by layers, on pictures in the order blue, green, red."""
    model = random_model("c3d")
    clips = torch.rand(2, 3, 16, SIDE, SIDE)
    layers = torch.nn.Sequential(
        model.conv1, torch.nn.ReLU(), torch.nn.MaxPool3d((1, 2, 2), (1, 2, 2)),
        model.conv2, torch.nn.ReLU(), torch.nn.MaxPool3d(2, 2),
        model.conv3a, torch.nn.ReLU(), model.conv3b, torch.nn.ReLU(), torch.nn.MaxPool3d(2, 2),
        model.conv4a, torch.nn.ReLU(), model.conv4b, torch.nn.ReLU(), torch.nn.MaxPool3d(2, 2),
        model.conv5a, torch.nn.ReLU(), model.conv5b, torch.nn.ReLU(), torch.nn.MaxPool3d(2, 2, padding=(0, 1, 1)),
        torch.nn.Flatten(), model.fc6, torch.nn.ReLU(), model.fc7, torch.nn.ReLU(), model.fc8,
    )  # fmt: skip
    assert torch.allclose(model(clips), layers(clips[:, [2, 1, 0]]), atol=1e-6)


@pytest.mark.parametrize(("name", "gflops_of_four_views"), [("uniformer_s", 167), ("uniformer_b", 387)])
def test_uniformer_computes_as_much_as_published(
    name: str, gflops_of_four_views: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the paper's table of Kinetics has it for 16 frames and four views, which counts a product and its sum as one."""
    monkeypatch.undo()
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        build(known(name), 400)(torch.empty(1, 3, 16, 224, 224))
    assert 4 * counter.get_total_flops() / 2e9 == pytest.approx(gflops_of_four_views, rel=0.005)


def test_uniformer_has_the_names_of_the_authors_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    with torch.device("meta"):
        weights = build(known("uniformer_b"), 400).state_dict()
    assert {name.rpartition(".")[0] for name in weights if name.startswith("blocks1.4.")} == {
        f"blocks1.4.{part}" for part in ("pos_embed", "norm1", "conv1", "conv2", "attn", "norm2", "mlp.fc1", "mlp.fc2")
    }
    assert {name.rpartition(".")[0] for name in weights if name.startswith("blocks3.19.")} == {
        f"blocks3.19.{part}" for part in ("pos_embed", "norm1", "attn.qkv", "attn.proj", "norm2", "mlp.fc1", "mlp.fc2")
    }
    others = {name.rpartition(".")[0] for name in weights if not name.startswith("blocks")}
    assert others == {"norm", "head"} | {f"patch_embed{n}.{part}" for n in (1, 2, 3, 4) for part in ("norm", "proj")}
    assert weights["patch_embed1.proj.weight"].shape == (64, 3, 3, 4, 4)
    assert weights["blocks2.7.attn.weight"].shape == (128, 1, 5, 5, 5)


@pytest.mark.parametrize("name", NAMES)
def test_bf16_is_near(tmp_path: Path, name: str) -> None:
    """Which processors that have it take by themselves."""
    checkpoint = checkpoint_of(write_small(tmp_path / name, name, random_model(name)))
    pixels = torch.rand(2, num_frames_of(name), 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    exact = load_classifier(checkpoint, "fp32").classify(pixels, len(LABELS))
    rounded = load_classifier(checkpoint, "bf16").classify(pixels.bfloat16(), len(LABELS))
    for clip, expected in zip(rounded, exact, strict=True):
        scores = {label.label: label.score for label in clip}
        assert [scores[label.label] for label in expected] == pytest.approx([label.score for label in expected], abs=0.05)


@pytest.fixture
def r3d(tmp_path: Path) -> Path:
    model = build(known("r3d_18"), len(LABELS))
    return write_small(tmp_path / "r3d_18", "r3d_18", model)


def test_a_checkpoint_of_other_weights_is_refused(r3d: Path) -> None:
    weights = load_file(r3d / "model.safetensors")
    weights["fc.more"] = weights.pop("stem.0.weight")
    weights["fc.bias"] = torch.zeros(9)
    save_file(weights, r3d / "model.safetensors")
    with pytest.raises(ModelError) as refused:
        load_classifier(checkpoint_of(r3d), "fp32")
    assert (
        "not those of a r3d_18 with 7 classes: 1 tensors are missing (stem.0.weight); 1 tensors are unexpected (fc.more); "
        "1 tensors have another shape (fc.bias is [9] instead of [7])"
    ) in str(refused.value)
    (r3d / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(ModelError, match=r"model\.safetensors is damaged: .*; copy it again"):
        load_classifier(checkpoint_of(r3d), "fp32")


@pytest.mark.parametrize("id2label", [None, {}, {"0": "a", "2": "b"}, ["a"]])
def test_classes_without_names_are_refused(r3d: Path, id2label: object) -> None:
    (r3d / "config.json").write_text(json.dumps({"model_type": "r3d_18", "id2label": id2label}))
    with pytest.raises(ModelError, match=r"^classifier .*: config.json does not name its classes; give it an id2label"):
        load_classifier(checkpoint_of(r3d), "fp32")


@pytest.mark.parametrize(("name", "package"), [("r3d_18", "torchvision"), ("x3d_m", "pytorchvideo")])
def test_what_to_install_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, package: str) -> None:
    monkeypatch.setattr("pipeline.models.registry.find_spec", lambda asked: None if asked == package else "there")
    said = rf"models of type '{name}' need {package}, not installed here; pip install 'vidsift\[classic\]'"
    with pytest.raises(ModelError, match=said):
        check_classifier(Checkpoint("m", str(tmp_path), None, name, "0" * 64))


def test_they_are_measured_like_others(r3d: Path, films: list[Path], tmp_path: Path) -> None:
    rows = [f"{film},{label},test" for film, label in zip(films[:2], LABELS, strict=False)]
    data = tmp_path / "data.csv"
    data.write_text("\n".join(["path,label,split", *rows]))
    results = evaluate_model(str(r3d), data, options=EvaluateOptions(split="all"))
    assert isinstance(results, ClassifierResults)
    assert (results.clips, results.left_out, results.unknown) == (2, (), {})


def test_they_are_no_base(r3d: Path, films: list[Path], tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text(f"path,label\n{films[0]},a\n{films[1]},b\n")
    with pytest.raises(ModelError, match="'r3d_18', which can be used but not trained further; give a VideoMAE"):
        finetune(tmp_path / "data.csv", tmp_path / "m", base=str(r3d), options=TrainOptions())
    assert not (tmp_path / "m").exists()


def test_counters_that_nothing_reads_may_be_missing() -> None:
    expected = {"norm.num_batches_tracked": torch.tensor(0), "norm.weight": torch.ones(2)}
    assert weight_problems(expected, {"norm.weight": torch.ones(2)}) == []
    assert weight_problems(expected, {"norm.weight": torch.ones(2, dtype=torch.int32)}) == [
        "1 tensors hold another kind of number (norm.weight holds int32)"
    ]
    assert weight_problems({str(i): torch.ones(1) for i in range(5)}, {}) == ["5 tensors are missing (0, 1, 2, ...)"]
