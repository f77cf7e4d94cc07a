"""The features that rerank scores need of each clip, as memory-mapped records: a hundred are fetched in milliseconds.

    features.json         the layout, and the names of the segments
    features-NAME.bin     a segment: records, one behind the other
    features.npy          int64 [3, clips], ascending by the first row: clip id, digest of its record, segment << 32 | place

A segment is never changed. The next snapshot links to it and adds a segment of the new records, so that publishing takes
time for what changed alone, and three snapshots hardly take more room than one. When many records are no longer in use, the
next snapshot writes those that are into one new segment.
"""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from tokenize import TokenError

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from schemas.errors import LibraryError
from schemas.rerank_features import FeatureLayout
from schemas.tables import FEATURES

# Errors of reading damaged files: NumPy parses its headers as Python.
_DAMAGE = (
    OSError, EOFError, ValueError, LookupError, TypeError, ArithmeticError, RecursionError, MemoryError, SyntaxError,
    TokenError,
)  # fmt: skip

# Segments are written anew when there are as many, or when a smaller share of their records is in use.
_MAX_SEGMENTS = 32
_MIN_IN_USE = 0.75

# The bits of a place that number the record within its segment; those above number the segment.
_PLACE = 0xFFFFFFFF

# Records read from Parquet at a time; 7 MB of X-CLIP base.
_BATCH = 256


class FeatureStore:
    """A snapshot's features, opened for reading."""

    def __init__(self, folder: Path) -> None:
        """Open the features in a snapshot's ``folder``.

        Raises:
            LibraryError: a file is missing or damaged.
        """
        try:
            content = json.loads((folder / "features.json").read_text(encoding="utf-8"))
            self.layout = FeatureLayout(**content["layout"])
            self.segments: list[str] = content["segments"]
            if odd := [name for name in self.segments if Path(name).name != name]:
                raise ValueError(f"it names {odd[0]!r}, expected files beside it")
            self._index = np.load(folder / "features.npy", mmap_mode="r", allow_pickle=False)
            self._records = [_map(folder / name, self.layout.record_bytes) for name in self.segments]
            lengths = np.array([len(records) for records in self._records])
            if (self._index[2] & _PLACE >= lengths[self._index[2] >> 32]).any():
                raise ValueError("its segments are shorter than its index says")
        except _DAMAGE as exc:
            raise LibraryError(
                f"--library: the features in {str(folder)!r} cannot be read ({exc}); run the ingest again"
            ) from exc

    def __len__(self) -> int:
        """Clips with features."""
        return int(self._index.shape[1])

    @property
    def num_stored(self) -> int:
        """Records in the segments, including those that no clip has any more."""
        return sum(map(len, self._records))

    def ids(self) -> NDArray[np.int64]:
        """int64 [len], ascending: the clips with features."""
        return np.asarray(self._index[0])

    def places(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Both int64 [len]: the digest of each clip's record, and where it is, as segment << 32 | place."""
        return np.asarray(self._index[1]), np.asarray(self._index[2])

    def get(self, clip_ids: Sequence[int]) -> NDArray[np.float32]:
        """Features float32 [len(clip_ids), tokens, dim], in the order of ``clip_ids``.

        Raises:
            LibraryError: a clip has none.
        """
        return self.layout.decode_features(self._fetch(clip_ids))

    def described(self, clip_ids: Sequence[int]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Embeddings float32 [len(clip_ids), dim], as the model gave them, and features as `get` gives them."""
        records = self._fetch(clip_ids)
        return self.layout.decode_embeddings(records), self.layout.decode_features(records)

    def _fetch(self, clip_ids: Sequence[int]) -> NDArray[np.uint8]:
        """Records uint8 [len(clip_ids), record_bytes]."""
        ids = np.asarray(clip_ids, np.int64)
        at = np.searchsorted(self._index[0], ids)
        at[at == len(self)] = 0
        lacking = ids[self._index[0][at] != ids] if len(self) else ids
        if len(lacking):
            raise LibraryError(
                f"--library: clip {lacking[0]} has no features in the snapshot; see what vidsift verify says of the library"
            )
        places = self._index[2][at]
        records = np.empty((len(ids), self.layout.record_bytes), np.uint8)
        for number in np.unique(places >> 32):
            in_segment = places >> 32 == number
            records[in_segment] = self._records[number][places[in_segment] & _PLACE]
        return records


def write_features(
    folder: Path, files: Sequence[str], visible: NDArray[np.int64], previous: Path | None = None
) -> tuple[int, list[str]]:
    """Write the features of the clips that a snapshot shows.

    Args:
        folder: the snapshot's.
        files: the Parquet files of the features table.
        visible: int64 [n], ids of the clips that the snapshot shows.
        previous: folder of a snapshot whose segments may be linked to.

    Returns:
        How many clips have features, and the names of the segments that were linked to.

    Raises:
        LibraryError: a file cannot be read, or its records are not laid out alike.
    """
    index, layout = _new_index(files, visible)
    if layout is None:
        return 0, []
    digests, places, linked = _reuse(folder, previous, layout, index[1])
    segments = list(linked)
    if len(fresh := np.setdiff1d(index[1], digests)):
        segments.append(f"features-{uuid.uuid4().hex[:8]}.bin")
        added = _write_segment(folder / segments[-1], files, fresh, layout)
        digests = np.concatenate([digests, added])
        places = np.concatenate([places, np.arange(len(added)) + (len(linked) << 32)])
    order = np.argsort(digests)
    index[2] = places[order][np.searchsorted(digests, index[1], sorter=order)]
    np.save(folder / "features.npy", index)
    content = {"layout": {"kind": layout.kind, "tokens": layout.tokens, "dim": layout.dim}, "segments": segments}
    (folder / "features.json").write_text(json.dumps(content) + "\n", encoding="utf-8")
    return index.shape[1], linked


def _new_index(files: Sequence[str], visible: NDArray[np.int64]) -> tuple[NDArray[np.int64], FeatureLayout | None]:
    """The index int64 [3, clips] with its last row still 0, and the layout of all records; None where there are none."""
    columns = ["clip_id", "digest", "kind", "tokens", "dim"]
    tables = [table for file in files for table in read_features(file, columns)]
    if not tables or not sum(table.num_rows for table in tables):
        return np.empty((3, 0), np.int64), None
    rows = pa.Table.from_batches(tables)
    layouts = rows.select(columns[2:]).group_by(columns[2:]).aggregate([]).to_pylist()
    if len(layouts) > 1:
        raise LibraryError(
            f"--library: its features are laid out in {len(layouts)} ways, expected one; ingest into a new folder"
        )
    ids, first = np.unique(rows["clip_id"].to_numpy(), return_index=True)
    shown = np.isin(ids, visible)
    digests = rows["digest"].to_numpy()[first][shown]
    index = np.stack([ids[shown], digests, np.zeros_like(digests)])
    return index, FeatureLayout(**layouts[0]) if index.size else None


def _reuse(
    folder: Path, previous: Path | None, layout: FeatureLayout, needed: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], list[str]]:
    """Link to the segments of ``previous`` where enough of their records are ``needed``, by digest.

    Returns:
        The digests of their records and where these are, both int64 [n], and the names of the segments.
    """
    nothing: tuple[NDArray[np.int64], NDArray[np.int64], list[str]] = np.empty(0, np.int64), np.empty(0, np.int64), []
    if previous is None:
        return nothing
    try:
        store = FeatureStore(previous)
    except LibraryError:
        return nothing  # it has no features, or is damaged
    digests, places = store.places()
    in_use = np.isin(digests, needed)
    few = len(np.unique(places[in_use])) < _MIN_IN_USE * store.num_stored
    if store.layout != layout or few or len(store.segments) >= _MAX_SEGMENTS:
        return nothing
    for name in store.segments:
        try:
            os.link(previous / name, folder / name)
        except OSError:  # a file system without links
            shutil.copyfile(previous / name, folder / name)
    return digests[in_use], places[in_use], store.segments


def _write_segment(path: Path, files: Sequence[str], fresh: NDArray[np.int64], layout: FeatureLayout) -> NDArray[np.int64]:
    """Write the records with the digests ``fresh``, each once, and return the digests in the order written."""
    remaining = set(fresh.tolist())
    written: list[int] = []
    with path.open("wb") as stream:
        for file in files:
            if not any(remaining.intersection(batch["digest"].to_pylist()) for batch in read_features(file, ["digest"])):
                continue
            for batch in read_features(file, ["digest", "record"]):
                for digest, record in zip(batch["digest"].to_pylist(), batch["record"], strict=True):
                    if digest not in remaining:
                        continue
                    if len(record.as_buffer()) != layout.record_bytes:
                        raise LibraryError(
                            f"--library: a record of features in {file!r} has {len(record.as_buffer())} bytes, expected "
                            f"{layout.record_bytes}; see what vidsift verify says of the library"
                        )
                    stream.write(record.as_buffer())
                    remaining.remove(digest)
                    written.append(digest)
    return np.array(written, np.int64)


def read_features(file: str, columns: list[str]) -> Iterator[pa.RecordBatch]:
    """Columns of a Parquet file of the features table, a few rows at a time.

    Raises:
        LibraryError: it is missing or damaged.
    """
    schema = pa.schema([FEATURES.field(name) for name in columns])  # Delta Lake writes other kinds of strings than Arrow
    try:
        with open(file, "rb") as stream, pq.ParquetFile(stream) as parquet:
            for batch in parquet.iter_batches(_BATCH, columns=columns):
                table = pa.table(batch).select(columns).cast(schema)
                table.validate(full=True)  # a damaged file may hold text that is not UTF-8
                yield from table.to_batches()
    except (OSError, pa.ArrowException) as exc:
        raise LibraryError(f"--library: a table's file cannot be read: {str(exc).splitlines()[0]}; restore it") from exc


def _map(path: Path, record_bytes: int) -> NDArray[np.uint8]:
    """A segment as uint8 [n, record_bytes], without reading it."""
    return np.memmap(path, np.uint8, "r").reshape(-1, record_bytes)
