"""Models that need no PyTorch, for ingests on Ray: its import takes each process that annotates seconds of CPU time."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import ray.cloudpickle

from jobs.ingest.steps import Job
from pipeline.annotators import EmbedderAnnotator
from schemas.models import Label
from schemas.options import FeatureKind
from schemas.records import Clip, ClipRow, JobFailed
from schemas.rerank_features import ClipFeatures, FeatureLayout

ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers do not see the tests' folder


class MadeUpModels:
    """Labels, embeddings and features that follow from a clip's pixels."""

    device, precision = "cpu", "fp32"

    def __init__(self, dim: int, features: FeatureKind) -> None:
        self.dim, self.features = dim, features

    def __call__(self, clips: Sequence[Clip]) -> list[ClipRow | JobFailed]:
        return [self.row(clip) for clip in clips]

    def row(self, clip: Clip) -> ClipRow:
        picture = clip.frames[0].mean(axis=0).astype(np.float32)
        vector = np.resize(picture.ravel(), self.dim) + 1
        vector /= np.linalg.norm(vector)
        features = None
        if self.features != "none":
            layout = FeatureLayout(self.features, 1, self.dim)
            features = ClipFeatures(layout, layout.encode(vector[None], vector[None, None]).tobytes())
        label = Label("bright", float(picture.mean()) / 255)
        return ClipRow(clip.clip_id, clip.video_id, clip.span, (label,), vector, features)


class MadeUpModelsJob(Job):
    """A job whose annotators are `MadeUpModels`; planning, decoding and writing are the real ones."""

    def load_annotators(self, num_threads: int | None = None) -> Any:
        (embedder,) = (annotator for annotator in self.annotators if isinstance(annotator, EmbedderAnnotator))
        assert embedder.checkpoint.embedding_dim
        return MadeUpModels(embedder.checkpoint.embedding_dim, embedder.features)
