"""Any video-classification checkpoint that transformers can load, as a `Classifier`."""

from __future__ import annotations

from typing import Any

import torch
from transformers import AutoModelForVideoClassification

from pipeline.models.classifiers.best_labels import best_labels
from pipeline.models.families import classifier_family
from pipeline.models.loading import load_pretrained, move_unregistered_tensors
from pipeline.models.longer_clips import stretch
from pipeline.models.pixels import choose_dtype
from pipeline.models.preprocessing import read_preprocessing
from pipeline.models.runtimes.choose import choose_runtime
from pipeline.models.runtimes.cuda_graphs import Forward
from pipeline.models.runtimes.onnx import onnx_runtime
from pipeline.models.runtimes.openvino import OpenVinoForward
from schemas.models import Checkpoint, Label
from schemas.options import Precision

_CPU = torch.device("cpu")


class HuggingFaceClassifier:
    """VideoMAE, TimeSformer, ViViT, V-JEPA 2 and others that give logits over ``config.id2label``.

    Attributes:
        output: what the model gives of each label.
    """

    output = "logits"

    def __init__(self, checkpoint: Checkpoint, precision: Precision = "auto", device: torch.device | None = None) -> None:
        """Load the checkpoint, onto the best device where none is given; see `pipeline.models.registry.load_classifier`."""
        self.preprocessing = read_preprocessing(checkpoint, "classifier")
        self._model, self.device, self.dtype = load_pretrained(
            AutoModelForVideoClassification, checkpoint, precision, "classifier", device=device
        )
        if checkpoint.num_frames is not None:
            stretch(self._model, checkpoint.num_frames)
            move_unregistered_tensors(self._model, self.device)
        self._run: Forward = choose_runtime(
            lambda pixels: self.forward(self._model, pixels),
            self.device,
            self._model.config,
            cuda_graphs=classifier_family(checkpoint.model_type).cuda_graphs,
        )
        self.labels = tuple(self._model.config.id2label[i] for i in range(self._model.config.num_labels))

    @torch.inference_mode()
    def classify(self, pixels: torch.Tensor, top: int) -> list[tuple[Label, ...]]:
        """See `pipeline.models.base.Classifier.classify`."""
        (logits,) = self._run(pixels.to(self.device))
        return best_labels(logits.float().softmax(-1), self.labels, top)

    def module(self) -> torch.nn.Module:
        """Its forward pass for other engines: float32 [batch, num_frames, 3, height, width] -> logits [batch, labels]."""
        return Logits(self._model)

    @staticmethod
    def forward(model: Any, pixels: torch.Tensor) -> tuple[torch.Tensor]:
        """Logits [batch, labels] by ``model``, from pixels [batch, num_frames, 3, height, width] on its device."""
        return (model(**{model.main_input_name: pixels}).logits,)


class OpenVinoClassifier(HuggingFaceClassifier):
    """A `HuggingFaceClassifier` whose logits OpenVINO computes."""

    def __init__(self, checkpoint: Checkpoint, precision: Precision = "auto") -> None:
        """Load the checkpoint; see `pipeline.models.registry.load_classifier`."""
        super().__init__(checkpoint, "fp32", _CPU)
        self.dtype = choose_dtype(precision, _CPU)
        self._run = OpenVinoForward(checkpoint, f"logits{checkpoint.num_frames or ''}", self.module(), self.dtype)


class OnnxClassifier(HuggingFaceClassifier):
    """A `HuggingFaceClassifier` whose logits ONNX Runtime computes, in fp32."""

    def __init__(self, checkpoint: Checkpoint, precision: Precision = "auto") -> None:
        """Load the checkpoint; see `pipeline.models.registry.load_classifier`. There is one precision."""
        super().__init__(checkpoint, "fp32", _CPU)
        self._run = onnx_runtime(checkpoint, "logits", self.module(), self._model.config)


class Logits(torch.nn.Module):
    """[batch, num_frames, 3, height, width] -> logits [batch, labels]."""

    def __init__(self, model: Any) -> None:
        """Take a transformers model."""
        super().__init__()
        self.model = model

    def forward(self, pixels: torch.Tensor) -> Any:
        """The logits."""
        return HuggingFaceClassifier.forward(self.model, pixels)[0]
