"""Run both models over clips. The frames end here."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch

from pipeline.models.base import Classifier, EmbeddedClips, Embedder, RerankEmbedder, VideoModel
from pipeline.models.pixels import Sender, normalise
from schemas.models import ModelInput
from schemas.options import FeatureKind
from schemas.records import Clip, ClipRow
from schemas.rerank_features import ClipFeatures, FeatureLayout


class Annotator:
    """Both models on one device; where they are shown the same, they share one pixel tensor.

    Several threads may call it: one's batch is computed while another's frames are gathered and sent to the GPU.
    """

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
            inputs: what `Clip.frames` holds, in order (`pipeline.sampling.distinct_inputs`).
            top_labels: labels kept per clip.
            num_threads: threads that PyTorch may use on a CPU, in this whole process; None leaves that to PyTorch.
            features: how to keep what exact scores need; anything but ``none`` takes an `RerankEmbedder`.
        """
        if num_threads is not None:
            torch.set_num_threads(num_threads)
        self._classifier = classifier
        self._embedder = embedder
        self._sources: dict[VideoModel, tuple[int, int]] = {
            model: _source_for(model, inputs) for model in (classifier, embedder)
        }
        self._top_labels = top_labels
        self._kind = features
        self._sender = Sender(classifier.device)
        self._turn = threading.Lock()

    def annotate(self, clips: Sequence[Clip]) -> list[ClipRow]:
        """One row per clip, in order. Any number of clips is one batch; one clip is a batch of one."""
        if not clips:
            return []
        sent = {
            source: self._sender.send([clip.frames[source] for clip in clips])
            for source in {source for source, _ in self._sources.values()}
        }
        with self._turn:
            made: dict[tuple[object, ...], torch.Tensor] = {}
            labels = self._classifier.classify(self._pixels(self._classifier, sent, made), self._top_labels)
            described = self._describe(self._pixels(self._embedder, sent, made))
        return [
            ClipRow(clip.clip_id, clip.video_id, clip.span, *of_clip)
            for clip, *of_clip in zip(clips, labels, described.embeddings, self._packed(described), strict=True)
        ]

    def _describe(self, pixels: torch.Tensor) -> EmbeddedClips:
        """Embeddings, and features where they are kept."""
        if self._kind == "none":
            embeddings = self._embedder.embed_clips(pixels)
            return EmbeddedClips(embeddings, np.empty((len(embeddings), 0, self._embedder.dim), np.float32))
        assert isinstance(self._embedder, RerankEmbedder), "the ingest has seen to this"
        return self._embedder.embed_clips_with_features(pixels)

    def _packed(self, described: EmbeddedClips) -> Sequence[ClipFeatures | None]:
        """Each clip's features, packed at once: as fp32 they are four times as large."""
        if self._kind == "none":
            return [None] * len(described.embeddings)
        layout = FeatureLayout(self._kind, *described.features.shape[1:])
        return [ClipFeatures(layout, record.tobytes()) for record in layout.encode(*described)]

    def _pixels(
        self, model: VideoModel, sent: Mapping[int, Callable[[], torch.Tensor]], made: dict[tuple[object, ...], torch.Tensor]
    ) -> torch.Tensor:
        """[batch, num_frames, 3, height, width] for ``model``, cut from a tensor already in ``made`` where one fits."""
        (source, step), wanted = self._sources[model], model.preprocessing
        key = (source, wanted.gain, wanted.shift, model.dtype)
        if key not in made:
            made[key] = normalise(sent[source](), wanted, model.dtype)
        return made[key][:, ::step]


def _source_for(model: VideoModel, inputs: Sequence[ModelInput]) -> tuple[int, int]:
    """Which of the inputs holds a model's frames, and how many steps apart."""
    wanted = model.preprocessing.input
    for source, step in ((number, wanted.subset_step(other)) for number, other in enumerate(inputs)):
        if step:
            return source, step
    raise AssertionError(f"clips hold no frames for {wanted}")
