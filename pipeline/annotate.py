"""Runs annotators over clips. The frames end here."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.annotators import LoadedAnnotator, Values
from pipeline.models.base import Classifier, EmbeddedClips, Embedder, HearingClassifier, RerankEmbedder, VideoModel
from pipeline.models.mean_labels import mean_labels
from pipeline.models.pixels import Sender, normalise
from schemas.models import ModelInput
from schemas.options import FeatureKind
from schemas.records import Clip, ClipRow
from schemas.rerank_features import ClipFeatures, FeatureLayout

_ALL_LABELS = 1 << 30


class Annotators:
    """All annotators of a library, with their models on one device; models that are shown the same share a pixel tensor.

    Several threads may call it: one's batch is computed while another's frames are gathered and sent to the GPU.

    Attributes:
        inputs: what `Clip.frames` holds, in order.
        device: where the models compute, as ``cpu`` or ``cuda``.
        precision: the arithmetic they compute in, ``bf16`` or ``fp32``.
        num_samples: samples of sound that `Clip.sound` holds for those that hear; 0 where none does.
    """

    def __init__(
        self, loaded: Sequence[LoadedAnnotator], *, inputs: Sequence[ModelInput], num_threads: int | None = None
    ) -> None:
        """Take the annotators in the order that they run in.

        Args:
            loaded: the annotators; each table's columns must come from exactly one of them.
            inputs: what `Clip.frames` holds, in order (`pipeline.annotators.inputs_of`).
            num_threads: threads that PyTorch may use on a CPU, in this whole process; None leaves that to PyTorch.
        """
        if num_threads is not None:
            torch.set_num_threads(num_threads)
        self.inputs = tuple(inputs)
        self._loaded = loaded
        models = [annotator.model for annotator in loaded if annotator.model is not None]
        self.num_samples = max((model.num_samples for model in models if isinstance(model, HearingClassifier)), default=0)
        device = models[0].device if models else torch.device("cpu")
        self.device = device.type
        self.precision = "bf16" if models and models[0].dtype == torch.bfloat16 else "fp32"
        self._sources = {_source_of(model.preprocessing.input, self.inputs)[0] for model in models}
        self._sender = Sender(device)
        self._turn = threading.Lock()

    def annotate(self, clips: Sequence[Clip]) -> list[ClipRow]:
        """One row per clip, in order. Clips whose frames have one shape are one batch, however many they are."""
        rows: dict[int, ClipRow] = {}
        for positions in _of_one_shape(clips):
            rows |= zip(positions, self._annotate([clips[position] for position in positions]), strict=True)
        return [rows[position] for position in range(len(clips))]

    def _annotate(self, clips: Sequence[Clip]) -> list[ClipRow]:
        sent = {source: self._sender.send([clip.frames[source] for clip in clips]) for source in self._sources}
        with self._turn:
            batch = Batch(clips, self.inputs, sent)
            of_annotators = [annotator.annotate(batch) for annotator in self._loaded]
        return [_row(clip, of_clip) for clip, *of_clip in zip(clips, *of_annotators, strict=True)]


class Batch:
    """The clips that annotators see in one call. What several of them are shown is made once.

    Attributes:
        clips: the clips, with their times.
    """

    def __init__(
        self, clips: Sequence[Clip], inputs: Sequence[ModelInput], sent: Mapping[int, Callable[[], torch.Tensor]]
    ) -> None:
        """``sent`` gives the frames on the models' device, for those of ``inputs`` that models read, by position."""
        self.clips = clips
        self._inputs, self._sent = inputs, sent
        self._pixels: dict[tuple[object, ...], torch.Tensor] = {}

    def frames(self, shown: ModelInput) -> list[NDArray[np.uint8]]:
        """The frames of each clip, uint8 [num_frames, height, width, 3]; views follow one another."""
        source, step = _source_of(shown, self._inputs)
        return [clip.frames[source][::step] for clip in self.clips]

    def sound(self, num_samples: int) -> NDArray[np.float32]:
        """The sound of each clip, float32 [batch, num_samples], the middle of what the clips hold; silence where none is."""
        heard = np.zeros((len(self.clips), num_samples), np.float32)
        for row, clip in zip(heard, self.clips, strict=True):
            if clip.sound is not None:
                spare = (len(clip.sound) - num_samples) // 2
                row[:] = clip.sound[spare : spare + num_samples]
        return heard

    def pixels(self, model: VideoModel) -> torch.Tensor:
        """[batch, num_frames, 3, height, width] for ``model``, on its device; views follow one another."""
        preprocessing = model.preprocessing
        source, step = _source_of(preprocessing.input, self._inputs)
        key = (source, preprocessing.gain, preprocessing.shift, model.dtype)
        if key not in self._pixels:
            self._pixels[key] = normalise(self._sent[source](), preprocessing, model.dtype)
        return self._pixels[key][:, ::step]


class LoadedClassifier:
    """A classifier as an annotator."""

    def __init__(self, model: Classifier, top_labels: int = 5) -> None:
        """Keep the ``top_labels`` best labels of each clip."""
        self.model = model
        self._top_labels = top_labels

    def annotate(self, batch: Batch) -> Iterable[Values]:
        """The labels of each clip."""
        pixels, num_frames = batch.pixels(self.model), self.model.preprocessing.input.num_frames
        num_views = pixels.shape[1] // num_frames
        if num_views > 1:
            one_by_one = pixels.reshape(-1, num_frames, *pixels.shape[2:])
            labels = mean_labels(self.model.classify(one_by_one, _ALL_LABELS), num_views, self._top_labels)
        elif isinstance(self.model, HearingClassifier):
            labels = self.model.classify_with_sound(pixels, batch.sound(self.model.num_samples), self._top_labels)
        else:
            labels = self.model.classify(pixels, self._top_labels)
        return [{"clips": {"labels": of_clip}} for of_clip in labels]


class LoadedEmbedder:
    """An embedder as an annotator."""

    def __init__(self, model: Embedder, features: FeatureKind = "none") -> None:
        """Keep what rerank scores need in the way of ``features``; anything but ``none`` needs a `RerankEmbedder`."""
        self.model = model
        self._kind = features

    def annotate(self, batch: Batch) -> Iterable[Values]:
        """The embedding of each clip, and its features where they are kept."""
        pixels = batch.pixels(self.model)
        if self._kind == "none":
            return [{"clips": {"embedding": embedding}} for embedding in self.model.embed_clips(pixels)]
        assert isinstance(self.model, RerankEmbedder), "library_config has checked this"
        return self._packed(self._kind, self.model.embed_clips_with_features(pixels))

    @staticmethod
    def _packed(kind: FeatureKind, described: EmbeddedClips) -> Iterator[Values]:
        """Each clip's embedding and features, which are packed at once: as fp32 they are four times as large."""
        layout = FeatureLayout(kind, *described.features.shape[1:])
        for embedding, record in zip(described.embeddings, layout.encode(*described), strict=True):
            yield {"clips": {"embedding": embedding}, "features": {"record": ClipFeatures(layout, record.tobytes())}}


def _row(clip: Clip, of_annotators: Sequence[Values]) -> ClipRow:
    """The row of a clip, of the values that all annotators have for it."""
    values: dict[str, dict[str, Any]] = defaultdict(dict)
    for tables in of_annotators:
        for table, columns in tables.items():
            values[table] |= columns
    clip_values, features = values.pop("clips"), values.pop("features", {})
    return ClipRow(
        clip.clip_id,
        clip.video_id,
        clip.span,
        clip_values["labels"],
        clip_values["embedding"],
        features.get("record"),
        dict(values),
    )


def _of_one_shape(clips: Sequence[Clip]) -> Iterable[list[int]]:
    """The positions of the clips whose frames can be stacked. Most models are shown one shape, some the video's own."""
    by_shape: dict[tuple[tuple[int, ...], ...], list[int]] = defaultdict(list)
    for position, clip in enumerate(clips):
        by_shape[tuple(frames.shape for frames in clip.frames)].append(position)
    return by_shape.values()


def _source_of(shown: ModelInput, inputs: Sequence[ModelInput]) -> tuple[int, int]:
    """Which of the inputs holds these frames, and how many steps apart."""
    for source, step in ((number, shown.subset_step(other)) for number, other in enumerate(inputs)):
        if step:
            return source, step
    raise AssertionError(f"clips hold no frames for {shown}")
