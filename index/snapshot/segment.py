"""Segments: the immutable parts of snapshots. A segment holds everything that readers need of some videos' clips.

    segments/NAME/           NAME: the first 16 hex digits of the SHA-256 of segment.json
        segment.json         `SegmentInfo`: counts, the kind of vectors, the SHA-256 of every other file
        videos.parquet       one row per video: `VIDEO_KEYS`
        timeline.npy         one row per clip: `TIMELINE`
        sample.npy           int64, ascending: rows of its sample (`index.snapshot.sample`)
        labels.npy           each clip's best label: `LABELS`
        labels.json          the names of these labels
        clips.duckdb         what SQL sees of the clips
        vectors.*, codes.*   the vectors (`index.snapshot.segment_vectors`)
        features.npy         where each clip's record for rerank scores is, if the library keeps them
    records/NAME.bin         such records; several segments may refer to one file

The clips of a segment are ordered by video id, start and end, and known by their row in this order, from 0, in every file.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from index.snapshot.feature_records import SegmentFeatures
from index.snapshot.segment_vectors import SegmentVectors, open_vectors
from index.storage.atomic_file import fsync_folder
from schemas.errors import LibraryError

FORMAT = 2
"""The format of snapshots and segments that this version writes; format 1 had no segments."""

TIMELINE = np.dtype([("clip_id", "<i8"), ("start_s", "<f8"), ("end_s", "<f8"), ("video", "<i4")])
"""A row of timeline.npy; ``video`` numbers the segment's videos by video id, from 0."""

LABELS = np.dtype([("label", "<i4"), ("score", "<f4")])
"""A row of labels.npy; ``label`` numbers the names in labels.json, -1 for a clip without labels."""

# A row of videos.parquet, and how many clips and labels the video has.
VIDEO_KEYS = pa.schema(
    [
        ("video_id", pa.string()),
        ("ingested_at", pa.timestamp("us", tz="UTC")),  # with video_id, names one state of the video's clips
        ("clips", pa.int32()),
        ("labels", pa.int32()),
    ]
)


@dataclass(frozen=True, slots=True)
class SegmentInfo:
    """segment.json.

    Attributes:
        format: `FORMAT`.
        clips: number of clips, dead ones included.
        videos: number of videos.
        vectors: the kind and the parameters of the vectors, as `index.snapshot.segment_vectors.write_vectors` gave them.
        features: the layout of the features' records and the names of their files; None where the library keeps none.
        sha256: of each file beside segment.json.
    """

    format: int
    clips: int
    videos: int
    vectors: dict[str, Any]
    features: dict[str, Any] | None
    sha256: dict[str, str] = field(default_factory=dict)


class Segment:
    """A segment, opened for reading; its files are opened when they are first needed."""

    def __init__(self, folder: Path) -> None:
        """Open the segment in ``folder``.

        Raises:
            LibraryError: segment.json is missing, damaged, or of another format.
        """
        self.folder, self.name = folder, folder.name
        try:
            text = (folder / "segment.json").read_bytes()
            if name_of(text) != self.name:
                raise ValueError("it is not as it was written")
            self.info = SegmentInfo(**json.loads(text))
        except (OSError, ValueError, TypeError, RecursionError) as exc:
            raise _damaged(folder, exc) from exc
        if self.info.format != FORMAT:
            raise LibraryError(
                f"the segment {str(folder)!r} has format {self.info.format}, expected {FORMAT}; "
                "use the version of vidsift that wrote it"
            )

    def __len__(self) -> int:
        """Number of clips, dead ones included."""
        return self.info.clips

    @property
    def recall_at_10(self) -> float:
        """Share of the ten best that a search finds unless it is asked for more, as measured when it was written."""
        measured = [min(point["texts_at_10"], point["clips_at_10"]) for point in self.info.vectors.get("points", ())]
        return float(min(measured, default=1.0))

    @property
    def catalog(self) -> Path:
        """The file of the clips' catalog rows."""
        return self.folder / "clips.duckdb"

    @cached_property
    def timeline(self) -> NDArray[np.void]:
        """`TIMELINE` [clips], memory-mapped.

        Raises:
            LibraryError: the file is missing or damaged.
        """
        return self._per_clip("timeline.npy", TIMELINE)

    @cached_property
    def labels(self) -> NDArray[np.void]:
        """`LABELS` [clips], memory-mapped.

        Raises:
            LibraryError: the file is missing or damaged.
        """
        return self._per_clip("labels.npy", LABELS)

    def _per_clip(self, name: str, dtype: np.dtype[np.void]) -> NDArray[np.void]:
        """A file of one ``dtype`` per clip, memory-mapped."""
        try:
            values = np.load(self.folder / name, mmap_mode="r", allow_pickle=False)
            if values.dtype != dtype or values.shape != (self.info.clips,):
                raise ValueError(f"got {values.shape} of {values.dtype}")
            return np.asanyarray(values)
        except (OSError, ValueError, EOFError, TypeError, SyntaxError) as exc:
            raise _damaged(self.folder, exc) from exc

    @cached_property
    def label_names(self) -> list[str]:
        """The names of the labels, by number.

        Raises:
            LibraryError: the file is missing or damaged.
        """
        try:
            names = json.loads((self.folder / "labels.json").read_text(encoding="utf-8"))
            if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
                raise ValueError("labels.json is not a list of names")
            return names
        except (OSError, ValueError, RecursionError) as exc:
            raise _damaged(self.folder, exc) from exc

    @cached_property
    def sample(self) -> NDArray[np.int64]:
        """int64, ascending: the rows of the segment's sample.

        Raises:
            LibraryError: the file is missing or damaged.
        """
        try:
            sample = np.load(self.folder / "sample.npy", allow_pickle=False)
            if sample.dtype != np.int64 or sample.ndim != 1 or (sample >= self.info.clips).any():
                raise ValueError("it is not a list of rows")
            return np.asarray(sample)
        except (OSError, ValueError, EOFError, TypeError, SyntaxError) as exc:
            raise _damaged(self.folder, exc) from exc

    @cached_property
    def videos(self) -> pa.Table:
        """`VIDEO_KEYS` of the videos, in the order of their numbers.

        Raises:
            LibraryError: the file is missing or damaged.
        """
        try:
            with (self.folder / "videos.parquet").open("rb") as stream:
                table = pq.read_table(stream, schema=VIDEO_KEYS)
            table.validate(full=True)
        except (OSError, pa.ArrowException) as exc:
            raise _damaged(self.folder, exc) from exc
        if len(table) != self.info.videos:
            raise _damaged(self.folder, ValueError(f"{len(table)} videos, expected {self.info.videos}"))
        return table

    @cached_property
    def first_rows(self) -> NDArray[np.int64]:
        """int64 [videos + 1]: the row of each video's first clip, and the number of clips."""
        return np.concatenate([[0], np.cumsum(self.videos["clips"].to_numpy())]).astype(np.int64)

    @cached_property
    def vectors(self) -> SegmentVectors:
        """The clips' vectors.

        Raises:
            LibraryError: a file is missing or damaged.
        """
        return open_vectors(self.folder, self.info.vectors)

    @cached_property
    def features(self) -> SegmentFeatures | None:
        """The clips' features for rerank scores; None where the library keeps none.

        Raises:
            LibraryError: a file is missing or damaged.
        """
        if self.info.features is None:
            return None
        return SegmentFeatures(self.folder / "features.npy", self.folder.parent.parent / "records", self.info.features)

    def open_files(self) -> None:
        """Open every file but the catalog's.

        Raises:
            LibraryError: one is missing or damaged.
        """
        for _ in (self.timeline, self.labels, self.label_names, self.sample, self.videos, self.vectors, self.features):
            pass

    def changed_files(self) -> list[str]:
        """The names of the files that are not as they were written."""
        return [name for name, digest in self.info.sha256.items() if hash_or_none(self.folder / name) != digest]


def finish_segment(aside: Path, segments: Path, info: SegmentInfo) -> Segment:
    """Complete the segment whose files lie in ``aside``, and move it to its place in the folder ``segments``."""
    return Segment(finish_folder(aside, segments, "segment.json", asdict(info)))


def finish_folder(aside: Path, parent: Path, name: str, info: dict[str, Any]) -> Path:
    """Complete a folder that is named by its content, and move it to its place in ``parent``.

    ``info`` and the hashes of its files become the file ``name``, whose hash is the folder's name.
    """
    hashes = {path.name: file_hash(path) for path in sorted(aside.iterdir())}
    text = (json.dumps(info | {"sha256": hashes}, indent=1) + "\n").encode()
    (aside / name).write_bytes(text)
    for path in aside.iterdir():
        with path.open("rb") as stream:
            os.fsync(stream.fileno())
    target = parent / name_of(text)
    if target.exists():  # the same content; but what lies there may be damaged
        shutil.rmtree(target)
    aside.rename(target)
    fsync_folder(parent)
    return target


def name_of(content: bytes) -> str:
    """The name of the folder with this segment.json, or whatever file says what is in it."""
    return hashlib.sha256(content).hexdigest()[:16]


def file_hash(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def hash_or_none(path: Path) -> str | None:
    """A file's hash; None for a file that is gone."""
    try:
        return file_hash(path)
    except OSError:
        return None


def _damaged(folder: Path, why: Exception) -> LibraryError:
    return LibraryError(f"the segment {str(folder)!r} is damaged ({why}); run the ingest again")
