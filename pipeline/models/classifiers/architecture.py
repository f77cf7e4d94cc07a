"""The networks of `pipeline.models.architectures`, as a `Classifier`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from pipeline.models.architectures import Architecture, architecture_of
from pipeline.models.build import build, fill, forward, weight_problems
from pipeline.models.checkpoint import read_config
from pipeline.models.classifiers.best_labels import best_labels
from pipeline.models.loading import use_exact_fp32
from pipeline.models.pixels import best_device, choose_dtype
from pipeline.models.preprocessing import read_preprocessing
from pipeline.models.runtimes.choose import choose_runtime
from pipeline.models.runtimes.onnx import onnx_runtime
from pipeline.models.runtimes.openvino import OpenVinoForward
from schemas.errors import ModelError
from schemas.models import Checkpoint, Label
from schemas.options import Precision

_CPU = torch.device("cpu")

# By the values of the first layers, which have 64 channels or so at half the picture's size: clips come one at a time.
FIRST_LAYERS = SimpleNamespace(patch_size=2, hidden_size=64)


class ArchitectureClassifier:
    """R3D, MC3, R(2+1)D, S3D, MViT, Video Swin, SlowFast, X3D, I3D, C3D and UniFormer, by the libraries that define them."""

    def __init__(self, checkpoint: Checkpoint, precision: Precision = "auto", device: torch.device | None = None) -> None:
        """Load the checkpoint, onto the best device where none is given; see `pipeline.models.registry.load_classifier`."""
        architecture = architecture_of(checkpoint.model_type)
        assert architecture is not None  # the registry chose this class by it
        self.preprocessing = read_preprocessing(checkpoint, "classifier")
        self.labels = tuple(_labels_of(checkpoint))
        self.device = device or best_device()
        self.dtype = choose_dtype(precision, self.device)
        if self.dtype == torch.float32:
            use_exact_fp32(self.device)
        self._model = _load(architecture, checkpoint, len(self.labels)).to(self.device, self.dtype)
        self._architecture = architecture
        self._run = choose_runtime(
            lambda pixels: (forward(architecture, self._model, pixels),), self.device, FIRST_LAYERS, cuda_graphs=False
        )

    def module(self) -> torch.nn.Module:
        """Its forward pass for other engines: float32 [batch, num_frames, 3, height, width] -> `output` [batch, labels]."""
        return _Scores(self._architecture, self._model)

    @property
    def output(self) -> str:
        """What the network gives of each label: logits, or probabilities."""
        return "probabilities" if self._architecture.gives_probabilities else "logits"

    @torch.inference_mode()
    def classify(self, pixels: torch.Tensor, top: int) -> list[tuple[Label, ...]]:
        """See `pipeline.models.base.Classifier.classify`."""
        (given,) = self._run(pixels.to(self.device))
        probabilities = given.float() if self._architecture.gives_probabilities else given.float().softmax(-1)
        return best_labels(probabilities, self.labels, top)


class OpenVinoArchitecture(ArchitectureClassifier):
    """An `ArchitectureClassifier` on OpenVINO."""

    def __init__(self, checkpoint: Checkpoint, precision: Precision = "auto") -> None:
        """Load the checkpoint; see `pipeline.models.registry.load_classifier`."""
        super().__init__(checkpoint, "fp32", _CPU)
        self.dtype = choose_dtype(precision, _CPU)
        self._run = OpenVinoForward(checkpoint, "scores", self.module(), self.dtype)


class OnnxArchitecture(ArchitectureClassifier):
    """An `ArchitectureClassifier` on ONNX Runtime, in fp32."""

    def __init__(self, checkpoint: Checkpoint, precision: Precision = "auto") -> None:
        """Load the checkpoint; see `pipeline.models.registry.load_classifier`. There is one precision."""
        super().__init__(checkpoint, "fp32", _CPU)
        self._run = onnx_runtime(checkpoint, "scores", self.module(), FIRST_LAYERS)


class _Scores(torch.nn.Module):
    """[batch, num_frames, 3, height, width] -> scores [batch, labels]."""

    def __init__(self, architecture: Architecture, model: Any) -> None:
        super().__init__()
        self._architecture, self.model = architecture, model

    def forward(self, pixels: torch.Tensor) -> Any:
        return forward(self._architecture, self.model, pixels)


def _labels_of(checkpoint: Checkpoint) -> list[str]:
    """The labels in config.json, in the order of the network's classes."""
    named = read_config(Path(checkpoint.folder), checkpoint.name, "classifier").get("id2label")
    if not isinstance(named, dict) or not named or {str(i) for i in range(len(named))} != set(named):
        raise ModelError(
            "config.json does not name its classes; give it an id2label with the numbers from 0 on and a name for each, "
            "or make the folder with vidsift convert",
            argument="classifier",
            value=checkpoint.name,
        )
    return [str(named[str(i)]) for i in range(len(named))]


def _load(architecture: Architecture, checkpoint: Checkpoint, num_classes: int) -> Any:
    """The network with the checkpoint's weights, in fp32 on the CPU."""
    refuse = partial(ModelError, argument="classifier", value=checkpoint.name)
    weights: dict[str, torch.Tensor] = {}
    for file in sorted(Path(checkpoint.folder).glob("*.safetensors")):
        try:
            weights |= load_file(file)
        except SafetensorError as exc:
            raise refuse(f"{file.name} is damaged: {exc}; copy it again") from exc
    model = build(architecture, num_classes)
    if problems := weight_problems(model.state_dict(), weights):
        raise refuse(
            f"its weights are not those of a {architecture.name} with {num_classes} classes: {'; '.join(problems)}; "
            "convert the published file again (vidsift convert)"
        )
    fill(model, weights)
    return model
