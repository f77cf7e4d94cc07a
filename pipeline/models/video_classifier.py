"""Any video-classification checkpoint that transformers knows, as a `Classifier`."""

from __future__ import annotations

import torch
from transformers import AutoModelForVideoClassification

from pipeline.models.loading import load_pretrained
from pipeline.models.preprocessing import read_preprocessing
from schemas.models import Checkpoint, Label
from schemas.options import Precision


class HuggingFaceClassifier:
    """VideoMAE, TimeSformer, ViViT, V-JEPA 2 and their kin: logits over ``config.id2label``."""

    def __init__(self, checkpoint: Checkpoint, precision: Precision = "auto") -> None:
        """Load the checkpoint; see `pipeline.models.load_classifier`."""
        self.preprocessing = read_preprocessing(checkpoint, "--classifier")
        self._model, self.device, self.dtype = load_pretrained(
            AutoModelForVideoClassification, checkpoint, precision, "--classifier"
        )
        self._labels = [self._model.config.id2label[i] for i in range(self._model.config.num_labels)]

    @torch.inference_mode()
    def classify(self, pixels: torch.Tensor, top: int) -> list[tuple[Label, ...]]:
        """See `pipeline.models.Classifier.classify`."""
        best = self._logits(pixels).float().softmax(-1).topk(min(top, len(self._labels)), -1)
        return [
            tuple(Label(self._labels[i], p) for p, i in zip(row, indices, strict=True))
            for row, indices in zip(best.values.tolist(), best.indices.tolist(), strict=True)
        ]

    def _logits(self, pixels: torch.Tensor) -> torch.Tensor:
        """[batch, labels]."""
        logits: torch.Tensor = self._model(**{self._model.main_input_name: pixels}).logits
        return logits
