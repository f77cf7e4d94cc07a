"""Run both models over clips. The frames end here."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.models import Classifier, Embedder, ExactEmbedder, VideoModel
from pipeline.models.pixels import make_pixels
from schemas.features import ClipFeatures, FeatureLayout
from schemas.models import ModelInput
from schemas.options import FeatureKind
from schemas.records import Clip, ClipRow


class Annotator:
    """Both models on one device; where they are shown the same, they share one pixel tensor."""

    def __init__(
        self,
        classifier: Classifier,
        embedder: Embedder,
        *,
        inputs: Sequence[ModelInput],
        top_labels: int = 5,
        num_threads: int | None = None,
        features: FeatureKind = "none",
    ) -> None:
        """Pair two models.

        Args:
            classifier: names actions.
            embedder: places clips among texts.
            inputs: what `Clip.frames` holds, in order (`pipeline.sample.distinct_inputs`).
            top_labels: labels kept per clip.
            num_threads: threads that PyTorch may use on a CPU, in this whole process; None leaves that to PyTorch.
            features: how to keep what exact scores need; anything but ``none`` takes an `ExactEmbedder`.
        """
        if num_threads is not None:
            torch.set_num_threads(num_threads)
        self._classifier = classifier
        self._embedder = embedder
        self._inputs = tuple(inputs)
        self._top_labels = top_labels
        self._kind = features

    def annotate(self, clips: Sequence[Clip]) -> list[ClipRow]:
        """One row per clip, in order. Any number of clips is one batch; one clip is a batch of one."""
        if not clips:
            return []
        made: dict[tuple[object, ...], torch.Tensor] = {}
        labels = self._classifier.classify(self._pixels(clips, self._classifier, made), self._top_labels)
        embeddings, features = self._embed(self._pixels(clips, self._embedder, made))
        return [
            ClipRow(clip.clip_id, clip.video_id, clip.span, *of_clip)
            for clip, *of_clip in zip(clips, labels, embeddings, features, strict=True)
        ]

    def _embed(self, pixels: torch.Tensor) -> tuple[NDArray[np.float32], Sequence[ClipFeatures | None]]:
        """Embeddings [batch, dim], and each clip's features, packed at once: as fp32 they are four times as large."""
        if self._kind == "none":
            return self._embedder.embed_clips(pixels), [None] * len(pixels)
        assert isinstance(self._embedder, ExactEmbedder), "the ingest has seen to this"
        described = self._embedder.describe_clips(pixels)
        layout = FeatureLayout(self._kind, *described.features.shape[1:])
        records = layout.encode(described.embeddings, described.features)
        return described.embeddings, [ClipFeatures(layout, record.tobytes()) for record in records]

    def _pixels(
        self, clips: Sequence[Clip], model: VideoModel, made: dict[tuple[object, ...], torch.Tensor]
    ) -> torch.Tensor:
        """[batch, num_frames, 3, height, width] for ``model``, cut from a tensor already in ``made`` where one fits."""
        wanted = model.preprocessing
        for source, step in ((i, wanted.input.subset_step(other)) for i, other in enumerate(self._inputs)):
            if step:
                key = (source, wanted.gain, wanted.shift, model.dtype)
                if key not in made:
                    frames = np.stack([clip.frames[source] for clip in clips])
                    made[key] = make_pixels(frames, wanted, model.device, model.dtype)
                return made[key][:, ::step]
        raise AssertionError(f"clips hold no frames for {wanted.input}")
