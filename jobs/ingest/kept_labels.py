"""Labels that another library has for the same clips, so that a new embedder need not wait for the classifier again.

A clip's id is made of the hash of its file and of its seconds (`schemas.records.clip_id_of`), so clips with the same id show
the same thing.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from index.object_store import library_folder
from index.storage.paths import Library
from index.storage.tables import read_clip_labels
from pipeline.annotators import ClassifierAnnotator, LoadedAnnotator, Values
from schemas.errors import LibraryError
from schemas.models import Checkpoint, Label, ModelInput
from schemas.options import IngestOptions

if TYPE_CHECKING:
    from pipeline.annotate import Batch
    from pipeline.models.base import VideoModel

_LABEL = np.dtype([("name", np.int32), ("score", np.float32)])
_Values = TypeVar("_Values", bound=np.generic)


@dataclass(frozen=True, slots=True)
class KeptLabels:
    """Fills ``labels`` of ``clips`` as the classifier does, which is run for clips alone that the other library lacks.

    Attributes:
        classifier: the annotator that it stands in for.
        library: the other library's folder, or its address in an object store.
    """

    classifier: ClassifierAnnotator
    library: str

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
    """The labels of all clips of a library, in files without a name that are mapped into memory.

    They take 20 bytes a clip and 8 a label on disk, and no memory that is not given back when others need it. While they are
    read it takes some 45 bytes a clip.
    """

    def __init__(self, location: str | Path) -> None:
        """Read them.

        Args:
            location: the library's folder, or its address in an object store, of which the labels alone are read.

        Raises:
            LibraryError: the library cannot be read, or there is no room for them.
        """
        library = Library(library_folder(location))
        self._names: list[str] = []
        try:
            self._read(read_clip_labels(library))
        except OSError as exc:
            raise LibraryError(
                f"cannot keep its labels in {tempfile.gettempdir()!r}: {exc}; make room for 60 MB a million clips, or name "
                "another folder in the environment variable TMPDIR"
            ) from exc

    def _read(self, chunks: Iterable[pa.Table]) -> None:
        """Clips by ascending id, and where the labels of each are among all labels."""
        numbers: dict[str, int] = {}
        ids, counts = [np.empty(0, np.int64)], [np.empty(0, np.int32)]
        with tempfile.TemporaryFile() as file:
            for chunk in chunks:
                lists = chunk["labels"].combine_chunks()
                ids.append(chunk["clip_id"].to_numpy())
                counts.append(pc.fill_null(pc.list_value_length(lists), 0).to_numpy())
                _numbered(lists.flatten(), numbers).tofile(file)
            self._labels = _mapped(file, _LABEL)
        self._names = list(numbers)
        clip_ids, num_labels = np.concatenate(ids), np.concatenate(counts)
        order = np.argsort(clip_ids, kind="stable")
        self._clip_ids = _in_a_file(clip_ids[order])
        self._starts = _in_a_file((np.cumsum(num_labels, dtype=np.int64) - num_labels)[order])
        self._counts = _in_a_file(num_labels[order])

    def of(self, clip_ids: Sequence[int]) -> list[tuple[Label, ...] | None]:
        """The labels of each clip, best first; None where the library lacks it."""
        wanted = np.array(clip_ids, np.int64)
        places = np.searchsorted(self._clip_ids, wanted)
        return [
            self._labels_at(place) if place < len(self._clip_ids) and self._clip_ids[place] == clip_id else None
            for place, clip_id in zip(places, wanted, strict=True)
        ]

    def _labels_at(self, place: int) -> tuple[Label, ...]:
        start = self._starts[place]
        labels = self._labels[start : start + self._counts[place]].tolist()
        return tuple(Label(self._names[name], score) for name, score in labels)


def _numbered(labels: pa.StructArray, numbers: dict[str, int]) -> NDArray[np.void]:
    """Labels with numbers for their names; adds new ones to ``numbers``."""
    names = pc.dictionary_encode(labels.field("label"))
    number_of = np.array([numbers.setdefault(name, len(numbers)) for name in names.dictionary.to_pylist()], np.int32)
    rows = np.empty(len(labels), _LABEL)
    rows["name"], rows["score"] = number_of[names.indices.to_numpy()], labels.field("score").to_numpy()
    return rows


def _in_a_file(values: NDArray[_Values]) -> NDArray[_Values]:
    with tempfile.TemporaryFile() as file:
        values.tofile(file)
        return _mapped(file, values.dtype)


def _mapped(file: IO[bytes], dtype: np.dtype[_Values]) -> NDArray[_Values]:
    """What was written into a file; one without a name goes with the array."""
    file.flush()
    size = os.fstat(file.fileno()).st_size
    return np.asarray(np.memmap(file, dtype, "r")) if size else np.empty(0, dtype)
