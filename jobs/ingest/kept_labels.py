"""Labels that another library has for the same clips, so that a new embedder need not wait for the classifier again.

A clip's id is made of the hash of its file and of its seconds (`schemas.records.clip_id_of`), so clips with the same id show
the same thing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from index.storage.paths import Library
from index.storage.tables import Tables
from pipeline.annotators import ClassifierAnnotator, LoadedAnnotator, Values
from schemas.errors import LibraryError
from schemas.models import Checkpoint, Label, ModelInput
from schemas.options import IngestOptions

if TYPE_CHECKING:
    from pipeline.annotate import Batch
    from pipeline.models.base import VideoModel


@dataclass(frozen=True, slots=True)
class KeptLabels:
    """Fills ``labels`` of ``clips`` as the classifier does, which is run for clips alone that the other library lacks.

    Attributes:
        classifier: the annotator that it stands in for.
        library: the other library's folder.
    """

    classifier: ClassifierAnnotator
    library: Path

    @property
    def name(self) -> str:
        """That of the classifier."""
        return self.classifier.name

    @property
    def reads(self) -> ModelInput:
        """What the classifier reads, since it may have to."""
        return self.classifier.reads

    @property
    def fills(self) -> Mapping[str, pa.Schema]:
        """Columns of ``clips``."""
        return self.classifier.fills

    @property
    def checkpoint(self) -> Checkpoint:
        """The classifier's."""
        return self.classifier.checkpoint

    def load(self, options: IngestOptions) -> LoadedAnnotator:
        """Load the classifier, and the labels.

        Raises:
            ModelError: the classifier cannot be loaded.
            LibraryError: the other library cannot be read.
        """
        try:
            labels = LabelsByClip(self.library)
        except LibraryError as exc:
            raise LibraryError(exc.message, argument="labels_from", value=self.library) from exc
        return LoadedKeptLabels(self.classifier.load(options), labels, options.top_labels)


class LoadedKeptLabels:
    """`KeptLabels` ready to run."""

    def __init__(self, classifier: LoadedAnnotator, kept: LabelsByClip, top_labels: int) -> None:
        """Keep the ``top_labels`` best labels of each clip, or as many as the other library has."""
        self.classifier, self._kept, self._top_labels = classifier, kept, top_labels

    @property
    def model(self) -> VideoModel | None:
        """The classifier's model."""
        return self.classifier.model

    def annotate(self, batch: Batch) -> Iterable[Values]:
        """The labels of each clip; the classifier's for the whole batch where the other library lacks one of its clips."""
        kept = self._kept.of([clip.clip_id for clip in batch.clips])
        known = [labels[: self._top_labels] for labels in kept if labels is not None]
        if len(known) < len(kept):
            return self.classifier.annotate(batch)
        return [{"clips": {"labels": labels}} for labels in known]


class LabelsByClip:
    """The labels of all clips of a library, in memory: each name once, and numbers."""

    def __init__(self, folder: Path) -> None:
        """Read them.

        Raises:
            LibraryError: the library cannot be read.
        """
        tables = Tables(Library(folder))
        read = pq.ParquetDataset(tables.parquet_files()[1]).read(["clip_id", "labels"]).combine_chunks()
        clip_ids = read["clip_id"].to_numpy()
        self._order = np.argsort(clip_ids, kind="stable")
        self._clip_ids = clip_ids[self._order]
        lists = read["labels"].chunk(0) if read.num_rows else pa.array([], read.schema.field("labels").type)
        self._offsets = lists.offsets.to_numpy()
        self._names = pc.dictionary_encode(lists.values.field("label"))
        self._scores = lists.values.field("score").to_numpy()

    def of(self, clip_ids: list[int]) -> list[tuple[Label, ...] | None]:
        """The labels of each clip, best first; None where the library lacks it."""
        wanted = np.array(clip_ids, np.int64)
        places = np.minimum(np.searchsorted(self._clip_ids, wanted), max(0, len(self._clip_ids) - 1))
        return [
            self._labels(int(self._order[place])) if len(self._clip_ids) and self._clip_ids[place] == clip_id else None
            for place, clip_id in zip(places, wanted, strict=True)
        ]

    def _labels(self, row: int) -> tuple[Label, ...]:
        places = range(self._offsets[row], self._offsets[row + 1])
        return tuple(Label(self._names[place].as_py(), float(self._scores[place])) for place in places)
