"""Exports checkpoints as ONNX files that say what they have to be given, and are checked against PyTorch."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from pipeline.models.checkpoint import find_checkpoint
from pipeline.models.classifiers.architecture import ArchitectureClassifier
from pipeline.models.classifiers.huggingface import HuggingFaceClassifier
from pipeline.models.classifiers.log_mel import RATE
from pipeline.models.classifiers.sound import SoundVideoClassifier
from pipeline.models.embedders.onnx import ClipEmbeddings, TextEmbeddings
from pipeline.models.embedders.tokens import TextTokenizer
from pipeline.models.embedders.two_towers import TwoTowers
from pipeline.models.families import FAMILIES, Role, classifier_family, embedder_family
from pipeline.models.loading import first_line
from pipeline.models.preprocessing import Preprocessing
from pipeline.models.registry import check_classifier, check_embedder, load_classifier, load_embedder
from pipeline.models.runtimes.onnx import DATA_ENDING, open_session, run_session, write_graph
from schemas.errors import ModelError, UsageError, check_utf8
from schemas.models import Checkpoint

_CHECKED_BATCHES = (1, 2, 3)
_TEXTS = ("a dog", "people baking a cake", "somebody throws a ball to somebody else in a park")


@dataclass(frozen=True, slots=True)
class ExportedFile:
    """A file that was written.

    Attributes:
        path: the file.
        what: what it computes, in words.
        difference: the largest absolute difference from PyTorch's outputs.
        data: the file beside it that holds its weights; None where they are in it.
        num_bytes: of both.
    """

    path: Path
    what: str
    difference: float
    data: Path | None
    num_bytes: int


@dataclass(frozen=True, slots=True)
class _Graph:
    """What is to be written as a file.

    Attributes:
        module: computes it.
        inputs: examples by name.
        output: the name of its output.
        what: it in words, for people.
        metadata: for programs.
        batches: inputs to check it with.
        expect: what PyTorch gives for such inputs.
    """

    module: torch.nn.Module
    inputs: Mapping[str, torch.Tensor]
    output: str
    what: str
    metadata: Mapping[str, str]
    batches: Sequence[Mapping[str, torch.Tensor]]
    expect: Callable[[Mapping[str, torch.Tensor]], torch.Tensor]


def export_onnx(model: str, output: Path, *, kind: Role | None = None, tolerance: float = 1e-3) -> list[ExportedFile]:
    """Write a model as ONNX, of the opset `pipeline.models.runtimes.onnx.OPSET`, for batches of any size.

    A classifier is one file: pixels to logits. An embedder is two: ``output`` from pixels to the clips' embeddings, and
    beside it ``NAME.text.onnx`` from tokens to the texts' embeddings. Weights of more than 2 GB are in a file beside theirs.

    Args:
        model: hub id, folder or ``pocket``.
        output: the file to write; no file that is there is overwritten.
        kind: what the model is, and which ``pocket`` is meant; None asks its config.json.
        tolerance: the largest absolute difference from PyTorch that is accepted, of logits, or of embeddings of length 1.

    Raises:
        UsageError: packages are missing, or the files cannot be written there.
        ModelError: there is no such model, its family cannot be exported, or a file differs from PyTorch by more than
            ``tolerance``. No file is left.
    """
    if missing := [package for package in ("onnx", "onnxruntime") if find_spec(package) is None]:
        raise UsageError(f"ONNX needs {' and '.join(missing)}, not installed here; pip install 'vidsift[onnx]'")
    if not tolerance >= 0:
        raise UsageError(f"got {tolerance:g}, expected 0 or more", argument="tolerance")
    check_utf8("output", str(output))  # which PyTorch's exporter wants
    _check_free(output)
    checkpoint = find_checkpoint(model, "model", kind)
    kind = kind or ("embedder" if embedder_family(checkpoint.model_type) else "classifier")
    names = [output.name]
    if kind == "embedder":
        names.append(f"{output.stem}.text{output.suffix}")
        _check_free(output.with_name(names[1]))
    graphs = _classifier_graphs(checkpoint) if kind == "classifier" else _embedder_graphs(checkpoint)
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=output.parent, prefix=".export-") as scratch:
            written = [
                _write(graph, Path(scratch, str(number), name), checkpoint, tolerance)
                for number, (graph, name) in enumerate(zip(graphs, names, strict=True))
            ]
            return [_moved(file, output.parent) for file in written]
    except OSError as exc:
        message = f"cannot be written: {exc.strerror}; give another file"
        raise UsageError(message, argument="output", value=output) from exc


def _check_free(output: Path) -> None:
    for path in (output, output.with_name(output.name + DATA_ENDING) if output.name else output):
        if os.path.lexists(path):
            raise UsageError("is there, and nothing is overwritten; give another file", argument="output", value=path)


def _check_family(checkpoint: Checkpoint, role: Role) -> None:
    family = classifier_family(checkpoint.model_type) if role == "classifier" else check_embedder(checkpoint)
    if family.loader_for("onnx") is None:
        types = ", ".join(other.model_type for other in FAMILIES if other.role == role and "onnx" in other.engines)
        raise ModelError(
            f"models of type {checkpoint.model_type!r} cannot be exported, expected {types}",
            argument="model",
            value=checkpoint.name,
        )


def _classifier_graphs(checkpoint: Checkpoint) -> list[_Graph]:
    check_classifier(checkpoint)
    _check_family(checkpoint, "classifier")
    loaded = load_classifier(checkpoint, "fp32", "onnx")  # on the CPU
    classifier = cast("HuggingFaceClassifier | ArchitectureClassifier", loaded)
    module, batches = classifier.module(), _pixels(classifier.preprocessing)
    said = {"labels": json.dumps(classifier.labels, ensure_ascii=False)}
    takes = f"pixels {_shape(batches[0])}"
    hears = classifier if isinstance(classifier, SoundVideoClassifier) else None
    if hears:
        random = torch.Generator().manual_seed(1)
        for batch in batches:
            batch["sound"] = 0.1 * torch.randn(len(batch["pixels"]), hears.num_samples, generator=random)
        takes += f" and sound [batch, {hears.num_samples}]"
        said["sound"] = f"float32 [batch, {hears.num_samples}] from -1 to 1, mono, {RATE} a second, the clip's middle"

    def expect(inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
        expected: torch.Tensor = hears.logits(**inputs) if hears else module(inputs["pixels"])
        return expected

    return [
        _Graph(
            module,
            batches[0],
            classifier.output,
            f"{takes} -> {classifier.output} [batch, {len(classifier.labels)}]",
            _said_of(checkpoint, "classifier", classifier.preprocessing) | said,
            batches,
            expect,
        )
    ]


def _embedder_graphs(checkpoint: Checkpoint) -> list[_Graph]:
    _check_family(checkpoint, "embedder")
    embedder = cast("TwoTowers", load_embedder(checkpoint, "fp32", "onnx"))
    family = embedder_family(checkpoint.model_type)
    assert family is not None, "_check_family has seen it"
    clips = _pixels(embedder.preprocessing)
    tokenizer = TextTokenizer(
        Path(checkpoint.folder),
        checkpoint.name,
        "model",
        embedder.max_tokens,
        replace(family.texts, pad_to_max=True),
    )
    texts = [tokenizer(_TEXTS[:batch]) for batch in _CHECKED_BATCHES]
    said = {
        "tokens": f"of the checkpoint's own tokenizer, padded and cut to {embedder.max_tokens}",
        "max_tokens": str(embedder.max_tokens),
        "lower_case": json.dumps(family.texts.lower_case),
        "prefix": family.texts.prefix,
    }
    module, names = ClipEmbeddings(embedder), " and ".join(texts[0])
    return [
        _Graph(
            module,
            clips[0],
            "embeddings",
            f"pixels {_shape(clips[0])} -> embeddings [batch, {embedder.dim}], L2-normalised",
            _said_of(checkpoint, "embedder of clips", embedder.preprocessing),
            clips,
            lambda inputs: module(inputs["pixels"]),
        ),
        _Graph(
            TextEmbeddings(embedder),
            texts[0],
            "embeddings",
            f"{names} [batch, {embedder.max_tokens}] -> embeddings [batch, {embedder.dim}], L2-normalised",
            _said_of(checkpoint, "embedder of texts", None) | said,
            texts,
            lambda inputs: torch.from_numpy(embedder.embed_texts(_TEXTS[: len(inputs["input_ids"])])),
        ),
    ]


def _pixels(preprocessing: Preprocessing) -> list[dict[str, torch.Tensor]]:
    """Batches of random pixels, of the sizes that are checked."""
    num_frames, size = preprocessing.input.num_frames, preprocessing.input.geometry.size
    assert size is not None, "families of pictures of any shape have no graph"
    random = torch.Generator().manual_seed(0)
    return [{"pixels": torch.randn(batch, num_frames, 3, *size, generator=random)} for batch in _CHECKED_BATCHES]


def _shape(batch: Mapping[str, torch.Tensor]) -> str:
    return f"[batch, {', '.join(map(str, batch['pixels'].shape[1:]))}]"


def _said_of(checkpoint: Checkpoint, role: str, preprocessing: Preprocessing | None) -> dict[str, str]:
    """What a file says of its model and of how its pixels are made."""
    said = {
        "model": checkpoint.name,
        "model_sha256": checkpoint.sha256,
        "model_type": checkpoint.model_type,
        "role": role,
    }
    if preprocessing is None:
        return said
    shown, geometry = preprocessing.input, preprocessing.input.geometry
    # (value - mean) / std of values from 0 to 1, where vidsift computes byte * gain + shift.
    std = [1 / (255 * gain) for gain in preprocessing.gain]
    mean = [-shift * of_std for shift, of_std in zip(preprocessing.shift, std, strict=True)]
    antialiased = "antialiased" if geometry.transform == "pil" else "not antialiased, as torchvision's video transforms"
    return said | {
        "num_frames": str(shown.num_frames),
        "frames": "evenly spaced, earliest first: frame j of n is on screen at (j + 0.5) / n of the clip's time",
        "layout": "float32 [batch, frame, channel, row, column]; channels R, G, B; pixel = (value / 255 - mean) / std",
        "resize": json.dumps(geometry.resize),
        "resize_means": f"a number is the shorter edge's length, a pair height and width; null is none; {antialiased}",
        "interpolation": geometry.interpolation,
        "crop": json.dumps(geometry.crop),
        "crop_means": "height and width of a centre crop after resizing; null is none",
        "mean": json.dumps([round(value, 6) for value in mean]),
        "std": json.dumps([round(value, 6) for value in std]),
    }


def _write(graph: _Graph, path: Path, checkpoint: Checkpoint, tolerance: float) -> ExportedFile:
    """Write a graph and compare it with PyTorch.

    Raises:
        ModelError: it cannot be traced, or differs.
    """
    path.parent.mkdir()
    try:
        files = write_graph(graph.module.eval(), graph.inputs, [graph.output], path, graph.metadata)
    except (RuntimeError, TypeError, ValueError, AssertionError) as exc:  # what tracing raises
        message = f"PyTorch cannot write it as ONNX: {first_line(exc)}"
        raise ModelError(message, argument="model", value=checkpoint.name) from exc
    session = open_session(path)
    difference = max(_difference(session, graph, inputs) for inputs in graph.batches)
    if not difference <= tolerance:
        raise ModelError(
            f"its {graph.output} by ONNX Runtime differ from PyTorch's by {difference:.2g}, expected at most {tolerance:g} "
            "(`tolerance`); nothing was written",
            argument="model",
            value=checkpoint.name,
        )
    data = files[0] if len(files) > 1 else None
    return ExportedFile(path, graph.what, difference, data, sum(file.stat().st_size for file in files))


@torch.inference_mode()
def _difference(session: Any, graph: _Graph, inputs: Mapping[str, torch.Tensor]) -> float:
    (given,) = run_session(session, inputs)
    expected = graph.expect(inputs).numpy()
    if given.shape != expected.shape:
        return float("inf")
    return float(np.abs(given - expected).max())


def _moved(file: ExportedFile, folder: Path) -> ExportedFile:
    """The file in its place, after its weights, which it names."""
    data = None if file.data is None else folder / file.data.name
    if file.data is not None and data is not None:
        os.replace(file.data, data)
    os.replace(file.path, folder / file.path.name)
    return replace(file, path=folder / file.path.name, data=data)
