"""Reads snapshots of format 1, which hold all clips themselves; the next ingest writes one of today's format.

catalog.duckdb, clips.faiss, features.json, features-NAME.bin
features.npy          int64 [3, clips], ascending by the first row: clip id, digest of its record, file << 32 | place
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from index.snapshot.catalog_build import PATHS
from index.snapshot.clips import SnapshotClips
from index.snapshot.feature_records import SegmentFeatures
from index.snapshot.flat_vectors import FlatVectors
from index.snapshot.sample import sample_of
from index.snapshot.segment import LABELS, TIMELINE, Segment, SegmentInfo
from index.sql.catalog import Catalog
from schemas.errors import LibraryError


class Format1Segment(Segment):
    """A snapshot of format 1 as one segment; its vectors are read into memory."""

    def __init__(self, folder: Path, catalog: Catalog, *, features: bool) -> None:
        """Read the snapshot in ``folder``, given its catalog, and whether it has features.

        Raises:
            LibraryError: a file is missing or damaged.
        """
        self.folder, self.name = folder, "format-1"
        clips = catalog.sql(
            "select clip_id, video_id, start_s, end_s, label, label_score from clips order by video_id, start_s, end_s"
        )
        try:
            index: Any = faiss.read_index(str(folder / "clips.faiss"), faiss.IO_FLAG_MMAP_IFC)
        except RuntimeError as exc:
            raise _damaged(folder, "clips.faiss") from exc
        ids = np.asarray(faiss.vector_to_array(index.id_map), np.int64)
        flat: Any = faiss.downcast_index(index.index)
        stored = np.array(faiss.rev_swig_ptr(flat.get_xb(), index.ntotal * index.d)).reshape(index.ntotal, index.d)
        places = _find(ids, clips["clip_id"].to_numpy())
        clips, places = clips.filter(pa.array(places >= 0)), places[places >= 0]
        self.vectors = FlatVectors.of(stored[places])
        names = clips["video_id"].combine_chunks().dictionary_encode()
        self.timeline = np.empty(len(clips), TIMELINE)
        for name in ("clip_id", "start_s", "end_s"):
            self.timeline[name] = clips[name].to_numpy()
        self.timeline["video"] = names.indices.to_numpy()
        labels = clips["label"].combine_chunks().dictionary_encode()
        self.labels = np.empty(len(clips), LABELS)
        self.labels["label"] = labels.indices.fill_null(-1).to_numpy(zero_copy_only=False)
        self.labels["score"] = clips["label_score"].fill_null(0).to_numpy()
        self.label_names = labels.dictionary.to_pylist()
        self.sample = sample_of(self.timeline["clip_id"])
        counts = np.bincount(self.timeline["video"], minlength=len(names.dictionary))
        self.videos = pa.table({"video_id": names.dictionary, "clips": counts.astype(np.int32)})
        self.features = _features(folder, self.timeline["clip_id"]) if features else None
        self.info = SegmentInfo(1, len(clips), len(counts), {}, None)


def format_1_clips(folder: Path, catalog: Catalog, *, features: bool) -> SnapshotClips:
    """The clips of the snapshot of format 1 in ``folder``.

    Raises:
        LibraryError: a file is missing or damaged.
    """
    segment = Format1Segment(folder, catalog, features=features)
    paths = catalog.sql("select video_id, path from videos")
    at = pc.index_in(segment.videos["video_id"], value_set=paths["video_id"].combine_chunks())
    numbers = np.arange(len(at), dtype=np.int32)
    of_videos = pa.table([np.zeros_like(numbers), numbers, paths["path"].take(at).combine_chunks()], schema=PATHS)
    return SnapshotClips([segment], [np.empty(0, np.int64)], segment.vectors.dim, of_videos)


def _features(folder: Path, clip_ids: NDArray[np.int64]) -> SegmentFeatures:
    try:
        content = json.loads((folder / "features.json").read_text(encoding="utf-8"))
        index = np.load(folder / "features.npy", allow_pickle=False)
        places = _find(index[0], clip_ids)
        info = {"layout": content["layout"], "files": content["segments"]}
    except (OSError, EOFError, ValueError, LookupError, TypeError, SyntaxError) as exc:
        raise _damaged(folder, "features") from exc
    return SegmentFeatures(np.where(places >= 0, index[2][places], -1), folder, info)


def _find(ids: NDArray[np.int64], wanted: NDArray[np.int64]) -> NDArray[np.int64]:
    """int64 [wanted]: the position of each in ``ids``; -1 for one that is not there."""
    if not len(ids):
        return np.full(len(wanted), -1)
    order = np.argsort(ids)
    places = order[np.minimum(np.searchsorted(ids, wanted, sorter=order), len(ids) - 1)]
    return np.where(ids[places] == wanted, places, -1)


def _damaged(folder: Path, what: str) -> LibraryError:
    return LibraryError(f"{what} of the snapshot {str(folder)!r} cannot be read; run the ingest again")
