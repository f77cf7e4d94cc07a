"""Annotators, which describe every clip: a list whose first two are the classifier and the embedder.

To add one, write a class that is an `Annotator` and another that is a `LoadedAnnotator`, and give it to
`jobs.ingest.ingest.ingest` in ``annotators``. Nothing else needs to know of it: decoding serves what all of them read in one
pass, and each table of its own is written and committed with the clips.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import pyarrow as pa

from pipeline.sampling import distinct_inputs
from schemas.models import Checkpoint, ModelInput
from schemas.options import FeatureKind, IngestOptions
from schemas.tables import CLASSIFIER_COLUMNS, EMBEDDER_COLUMNS, FEATURE_COLUMNS

if TYPE_CHECKING:  # decode workers import this module, and should not pay for torch
    from pipeline.annotate import Batch
    from pipeline.models.base import VideoModel

# For each table, the values of a clip by column.
Values = Mapping[str, Mapping[str, Any]]


class Annotator(Protocol):
    """The frames that an annotator reads and the columns that it fills. It travels to workers, so it must be small."""

    @property
    def name(self) -> str:
        """Its key in library.json: small letters and underscores."""

    @property
    def reads(self) -> ModelInput | None:
        """The frames that it is shown of each clip; None for nothing but the clip's times."""

    @property
    def fills(self) -> Mapping[str, pa.Schema]:
        """The columns that it fills, by table. A table of its own gets clip_id and video_id too, and a row for each clip."""

    @property
    def checkpoint(self) -> Checkpoint | None:
        """The model behind it, if any."""

    def load(self, options: IngestOptions) -> LoadedAnnotator:
        """Load what it computes with.

        Raises:
            ModelError: its model cannot be loaded.
        """


@runtime_checkable
class HearingAnnotator(Annotator, Protocol):
    """An annotator that reads the sound of clips too. Optional."""

    @property
    def num_samples(self) -> int:
        """Samples of each clip's sound that it is given, 16,000 a second; 0 for none."""


class LoadedAnnotator(Protocol):
    """An annotator that is ready to run."""

    @property
    def model(self) -> VideoModel | None:
        """The model whose pixels it asks the batch for, so that they can be sent in advance; None if it asks for none."""

    def annotate(self, batch: Batch) -> Iterable[Values]:
        """The values of each clip, in order.

        One call runs at a time. What a returned iterator does when it is read runs beside the next call.
        """


@dataclass(frozen=True, slots=True)
class ClassifierAnnotator:
    """Names the action in each clip: fills ``labels`` of ``clips``. It hears ``num_samples`` of each clip's sound."""

    checkpoint: Checkpoint
    reads: ModelInput
    name: str = "classifier"
    num_samples: int = 0

    @property
    def fills(self) -> Mapping[str, pa.Schema]:
        """Columns of ``clips``."""
        return {"clips": CLASSIFIER_COLUMNS}

    def load(self, options: IngestOptions) -> LoadedAnnotator:
        """Load the classifier.

        Raises:
            ModelError: it cannot be loaded.
        """
        from pipeline.annotate import LoadedClassifier
        from pipeline.models.registry import load_classifier

        return LoadedClassifier(load_classifier(self.checkpoint, options.precision, options.engine), options.top_labels)


@dataclass(frozen=True, slots=True)
class EmbedderAnnotator:
    """Places each clip among texts: fills ``embedding`` of ``clips``, and ``features`` where the library keeps them."""

    checkpoint: Checkpoint
    reads: ModelInput
    features: FeatureKind = "none"
    name: str = "embedder"

    @property
    def fills(self) -> Mapping[str, pa.Schema]:
        """Columns of ``clips`` and ``features``."""
        return {"clips": EMBEDDER_COLUMNS} | ({} if self.features == "none" else {"features": FEATURE_COLUMNS})

    def load(self, options: IngestOptions) -> LoadedAnnotator:
        """Load the embedder.

        Raises:
            ModelError: it cannot be loaded.
        """
        from pipeline.annotate import LoadedEmbedder
        from pipeline.models.registry import load_embedder

        return LoadedEmbedder(load_embedder(self.checkpoint, options.precision, options.engine), self.features)


def inputs_of(annotators: Sequence[Annotator]) -> tuple[ModelInput, ...]:
    """The distinct inputs that clips have to hold for all annotators.

    Of one that sees views, the frames of whole clips are among them too: those that the others take theirs of are the same
    with views and without.
    """
    read = [annotator.reads for annotator in annotators if annotator.reads is not None]
    return distinct_inputs([*read, *(replace(shown, views=None) for shown in read if shown.views)])


def samples_of(annotators: Sequence[Annotator]) -> int:
    """The samples of sound that clips have to hold for all annotators: as many as the one that hears most; 0 for none."""
    return max((one.num_samples for one in annotators if isinstance(one, HearingAnnotator)), default=0)


def own_tables(annotators: Sequence[Annotator]) -> dict[str, pa.Schema]:
    """The columns of the tables that annotators have for themselves, by table: all but ``clips`` and ``features``."""
    return {
        table: columns
        for annotator in annotators
        for table, columns in annotator.fills.items()
        if table not in ("clips", "features")
    }
