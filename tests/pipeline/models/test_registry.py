"""What the registry says of each family is true of its models, and another family is one file and one line."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from pkgutil import resolve_name
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from transformers import PretrainedConfig, PreTrainedModel

import pipeline.models.classifiers
import pipeline.models.embedders
from index.search.text_encoder import find_embedder
from index.storage.config import LibraryConfig
from index.storage.paths import Library
from jobs.ingest.library_config import choose_library_config
from jobs.ingest.make_job import make_job
from pipeline.models import families
from pipeline.models.base import LimitedEmbedder, RerankEmbedder
from pipeline.models.checkpoint import TOKENIZER_FILES, find_checkpoint
from pipeline.models.families import FAMILIES, ModelFamily, classifier_family, embedder_family
from pipeline.models.preprocessing import read_preprocessing
from pipeline.models.processors import CLIP
from pipeline.models.registry import (
    check_classifier,
    check_embedder,
    check_engine,
    import_text_embedder,
    load_classifier,
    load_embedder,
    load_text_embedder,
)
from schemas.errors import ModelError, UsageError
from schemas.models import Checkpoint
from schemas.options import IngestOptions, Sampling
from schemas.records import Clip, ClipRow, Span

ROOT = Path(__file__).parents[3]
NUM_FRAMES, SIDE, DIM, LABELS = 4, 32, 8, ("waving", "bowing", "falling")


def test_each_model_type_has_one_family() -> None:
    model_types = [family.model_type for family in FAMILIES]
    assert len(set(model_types)) == len(model_types)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.model_type)
def test_every_loader_of_a_family_is_there(family: ModelFamily) -> None:
    paths = [family.loader, *family.engines.values()]
    methods = {
        "classifier": ["classify"],
        "embedder": ["embed_clips", "embed_texts"] + ["embed_clips_with_features", "rerank_scores"] * family.rerank,
    }
    for path in paths:
        loaded = resolve_name(path)
        assert all(callable(getattr(loaded, method)) for method in methods[family.role]), path
        assert family.rerank == hasattr(loaded, "rerank_scores")


def test_families_are_known_without_torch() -> None:
    program = (
        "import sys, pipeline.models.registry, pipeline.models.preprocessing, pipeline.models.cut_texts\n"
        "print(sorted({'torch', 'transformers', 'openvino', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_no_module_of_the_models_but_the_registry_loads_by_family() -> None:
    """Loaders are named by strings, which import-linter does not see: a circle could hide there."""
    for path in (ROOT / "pipeline" / "models").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert path.name == "registry.py" or "resolve_name" not in text, path
        assert "import_module" not in text, path


# A classifier and an embedder of other kinds, as small as can be.


class MyClassifierConfig(PretrainedConfig):  # type: ignore[misc]
    model_type = "my_classifier"


class MyClassifierModel(PreTrainedModel):  # type: ignore[misc]
    """Logits from the mean of each channel."""

    config_class = MyClassifierConfig

    def __init__(self, config: MyClassifierConfig) -> None:
        super().__init__(config)
        self.head = torch.nn.Linear(3, config.num_labels)
        self.post_init()

    def forward(self, pixels: torch.Tensor) -> SimpleNamespace:
        return SimpleNamespace(logits=self.head(pixels.mean((1, 3, 4))))


class MyEmbedderConfig(PretrainedConfig):  # type: ignore[misc]
    model_type = "my_embedder"


class MyEmbedderModel(PreTrainedModel):  # type: ignore[misc]
    """Embeds the mean of each channel, and the mean of a text's tokens."""

    config_class = MyEmbedderConfig

    def __init__(self, config: MyEmbedderConfig) -> None:
        super().__init__(config)
        self.video = torch.nn.Linear(3, DIM)
        self.text = torch.nn.Embedding(512, DIM)
        self.post_init()

    def get_video_features(self, pixels: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = self.video(pixels.mean((1, 3, 4)))
        return features

    def get_text_features(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        kept = attention_mask[..., None]
        mean: torch.Tensor = (self.text(input_ids) * kept).sum(1) / kept.sum(1)
        return mean


def documented(beginning: str) -> str:
    """The one block of Python in the documentation that has ``beginning`` in it."""
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    text = "".join(page.read_text(encoding="utf-8") for page in pages)
    (block,) = (block for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if beginning in block)
    return str(block)


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[ModelFamily]:
    """The files and lines of the documentation, added to vidsift."""
    package = ModuleType("my_package")
    package.MyClassifierModel = MyClassifierModel  # type: ignore[attr-defined]
    package.MyEmbedderModel = MyEmbedderModel  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "my_package", package)
    for folder, name in ((pipeline.models.classifiers, "MyClassifier"), (pipeline.models.embedders, "MyEmbedder")):
        written = tmp_path / name
        written.mkdir()
        (written / "mine.py").write_text(documented(f"class {name}:"), encoding="utf-8")
        monkeypatch.setattr(folder, "__path__", [*folder.__path__, str(written)])
        monkeypatch.delitem(sys.modules, f"{folder.__name__}.mine", raising=False)
    namespace: dict[str, Any] = {"ModelFamily": ModelFamily}
    added: list[ModelFamily]
    exec(documented('ModelFamily("my_classifier"'), namespace)
    known, *added = namespace["FAMILIES"]
    assert known is ...
    monkeypatch.setattr(families, "FAMILIES", (*FAMILIES, *added))
    return added


def write_settings(folder: Path, config: dict[str, Any]) -> None:
    saved = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(saved | config))
    pixels = {"size": SIDE, "crop_size": SIDE, "image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.3, 0.4]}
    (folder / "preprocessor_config.json").write_text(json.dumps(pixels))


@pytest.fixture
def my_classifier(tmp_path: Path) -> Checkpoint:
    torch.manual_seed(0)
    config = MyClassifierConfig(id2label=dict(enumerate(LABELS)), label2id={label: i for i, label in enumerate(LABELS)})
    MyClassifierModel(config).save_pretrained(tmp_path / "classifier")
    write_settings(tmp_path / "classifier", {"num_frames": NUM_FRAMES})
    return find_checkpoint(str(tmp_path / "classifier"), "--classifier")


@pytest.fixture
def my_embedder(tmp_path: Path, mine: list[ModelFamily], embedder_folder: Path) -> Checkpoint:
    torch.manual_seed(1)
    MyEmbedderModel(MyEmbedderConfig(projection_dim=DIM)).save_pretrained(tmp_path / "embedder")
    write_settings(tmp_path / "embedder", {"num_frames": NUM_FRAMES})
    for file in TOKENIZER_FILES:
        if (embedder_folder / file).exists():
            shutil.copy(embedder_folder / file, tmp_path / "embedder")
    return find_checkpoint(str(tmp_path / "embedder"), "--embedder")


def some_frames(clips: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.random.default_rng(0).integers(0, 256, (clips, NUM_FRAMES, SIDE, SIDE, 3), np.uint8)


def means(checkpoint: Checkpoint, frames: np.ndarray[Any, np.dtype[np.uint8]]) -> torch.Tensor:
    """The mean of each channel of each clip, normalised."""
    preprocessing = read_preprocessing(checkpoint, "MODEL")
    levels = torch.from_numpy(frames.astype(np.float64).mean((1, 2, 3))).float()
    return levels * torch.tensor(preprocessing.gain) + torch.tensor(preprocessing.shift)


def test_a_family_of_each_role_is_one_file_and_one_line(
    mine: list[ModelFamily], my_classifier: Checkpoint, my_embedder: Checkpoint, tmp_path: Path
) -> None:
    check_classifier(my_classifier)
    assert check_embedder(my_embedder) is mine[1]
    check_engine("torch", my_classifier, my_embedder)

    models: dict[str, Any] = {"classifier": my_classifier.folder, "embedder": my_embedder.folder}
    identity = choose_library_config(None, **models)
    assert (identity.classifier, identity.embedder) == (my_classifier, my_embedder)
    assert identity.features == "none", "it has no rerank score"
    with pytest.raises(UsageError, match=r"^features: got int8, expected none, since embedders of type 'my_embedder'"):
        choose_library_config(None, **models, features="int8")

    job = make_job(Library(tmp_path), identity, IngestOptions(precision="fp32", top_labels=2))
    frames = some_frames(3)
    rows = job.load_annotators()([Clip(n, "v", Span(0.0, 4.0), (clip,)) for n, clip in enumerate(frames)])

    with torch.inference_mode():
        model = MyClassifierModel.from_pretrained(my_classifier.folder)
        best = model.head(means(my_classifier, frames)).softmax(-1).topk(2)
        expected = torch.nn.functional.normalize(
            MyEmbedderModel.from_pretrained(my_embedder.folder).video(means(my_embedder, frames)), dim=-1
        )
    for n, row in enumerate(rows):
        assert isinstance(row, ClipRow)
        assert [label.label for label in row.labels] == [LABELS[i] for i in best.indices[n]]
        assert [label.score for label in row.labels] == pytest.approx(best.values[n].tolist(), abs=1e-4)
        assert row.embedding == pytest.approx(expected[n].numpy(), abs=1e-4)
        assert row.features is None


def test_texts_are_embedded_by_an_added_family(my_classifier: Checkpoint, my_embedder: Checkpoint) -> None:
    import_text_embedder("my_embedder")
    text_embedder, embedder = load_text_embedder(my_embedder, "fp32"), load_embedder(my_embedder, "fp32")
    searching = find_embedder(LibraryConfig(my_classifier, my_embedder, Sampling()))
    texts = ["a dog", "somebody waving"]
    vectors = text_embedder.embed_texts(texts)
    assert vectors.shape == (2, embedder.dim) == (2, DIM)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx([1, 1], abs=1e-6)
    assert not np.allclose(vectors[0], vectors[1])
    assert (embedder.embed_texts(texts) == vectors).all()
    assert (searching.embed_texts(texts) == vectors).all()
    assert not isinstance(embedder, RerankEmbedder)
    assert not isinstance(embedder, LimitedEmbedder)


def test_an_engine_that_a_family_does_not_name_is_refused(
    my_classifier: Checkpoint,
    my_embedder: Checkpoint,
    classifier_checkpoint: Checkpoint,
    embedder_checkpoint: Checkpoint,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("pipeline.models.registry.find_spec", lambda name: "there")
    check_engine("openvino", classifier_checkpoint, embedder_checkpoint)
    of_embedder = r"^engine openvino: got an embedder of type 'my_embedder', expected xclip; take torch$"
    of_classifier = r"^engine openvino: got a classifier of type 'my_classifier', expected videomae, timesformer"
    with pytest.raises(UsageError, match=of_embedder):
        check_engine("openvino", classifier_checkpoint, my_embedder)
    with pytest.raises(UsageError, match=of_classifier):
        check_engine("openvino", my_classifier, embedder_checkpoint)
    with pytest.raises(UsageError, match=of_embedder):
        load_embedder(my_embedder, "fp32", "openvino")
    with pytest.raises(UsageError, match=of_classifier):
        load_classifier(my_classifier, "fp32", "openvino")


def test_without_its_line_a_family_is_not_known(tmp_path: Path) -> None:
    assert embedder_family("my_embedder") is None
    assert classifier_family("my_classifier").architectures == "ForVideoClassification"
    assert embedder_family("videomae") is None
    assert classifier_family("xclip").model_type == "xclip"
    assert classifier_family("xclip").role == "classifier"
    with pytest.raises(ModelError, match=r"got a model of type 'my_embedder', expected xclip, clip, .* with"):
        check_embedder(Checkpoint("m", str(tmp_path), None, "my_embedder", "0" * 64, (), 8))


def test_what_a_checkpoint_leaves_out_is_its_familys_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    family = ModelFamily(
        "frames_only", "embedder", "nowhere:Nothing", architectures="Model", processor=CLIP, num_frames=6,
        embedding_dim=lambda config: config["vision_config"]["hidden_size"],
    )  # fmt: skip
    monkeypatch.setattr(families, "FAMILIES", (*FAMILIES, family))
    config = {"model_type": "frames_only", "architectures": ["FramesModel"], "vision_config": {"hidden_size": 24}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "preprocessor_config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"")
    checkpoint = find_checkpoint(str(tmp_path), "--embedder")
    assert checkpoint.embedding_dim == 24
    assert check_embedder(checkpoint) is family
    preprocessing = read_preprocessing(checkpoint, "--embedder")
    assert preprocessing.input.num_frames == 6
    assert preprocessing.input.geometry.interpolation == "bicubic"

    (tmp_path / "config.json").write_text(json.dumps(config | {"architectures": ["FramesForImageClassification"]}))
    with pytest.raises(ModelError, match=r"^embedder .*: got FramesForImageClassification, expected a model for"):
        check_embedder(find_checkpoint(str(tmp_path), "--embedder"))
