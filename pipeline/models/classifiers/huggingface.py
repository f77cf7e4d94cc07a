"""Any video-classification checkpoint that transformers knows, as a `Classifier`."""

from __future__ import annotations

import torch
from transformers import AutoModelForVideoClassification

from pipeline.models.loading import load_pretrained
from pipeline.models.preprocessing import read_preprocessing
from pipeline.models.runtimes.cuda_graphs import RECORDABLE, CudaGraphed, Forward
from pipeline.models.runtimes.micro_batches import MicroBatched
from schemas.models import Checkpoint, Label
from schemas.options import Precision


class HuggingFaceClassifier:
    """VideoMAE, TimeSformer, ViViT, V-JEPA 2 and their kin: logits over ``config.id2label``."""

    def __init__(self, checkpoint: Checkpoint, precision: Precision = "auto", device: torch.device | None = None) -> None:
        """Load the checkpoint, onto the best device where none is given; see `pipeline.models.load_classifier`."""
        self.preprocessing = read_preprocessing(checkpoint, "--classifier")
        self._model, self.device, self.dtype = load_pretrained(
            AutoModelForVideoClassification, checkpoint, precision, "--classifier", device=device
        )
        self._run: Forward = self._forward
        if self.device.type == "cpu":
            self._run = MicroBatched(self._forward, self._model.config)
        elif checkpoint.model_type in RECORDABLE:
            self._run = CudaGraphed(self._forward)
        self._labels = [self._model.config.id2label[i] for i in range(self._model.config.num_labels)]

    @torch.inference_mode()
    def classify(self, pixels: torch.Tensor, top: int) -> list[tuple[Label, ...]]:
        """See `pipeline.models.Classifier.classify`."""
        (logits,) = self._run(pixels.to(self.device))
        best = logits.float().softmax(-1).topk(min(top, len(self._labels)), -1)
        return [
            tuple(Label(self._labels[i], p) for p, i in zip(row, indices, strict=True))
            for row, indices in zip(best.values.tolist(), best.indices.tolist(), strict=True)
        ]

    def _forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor]:
        """Logits [batch, labels]."""
        return (self._model(**{self._model.main_input_name: pixels}).logits,)
