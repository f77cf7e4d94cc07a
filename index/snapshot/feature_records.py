"""The records that rerank scores need of each clip, memory-mapped: a hundred are fetched in milliseconds.

A file of records is never changed, and belongs to no segment: a merge of segments writes new places, not new records.
Records of the same content, such as those of copies of a video, are written once.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from index.storage.working_copies import local_files
from schemas.errors import LibraryError
from schemas.rerank_features import FeatureLayout, digests_of
from schemas.tables import FEATURES

# The bits of a place that number the record within its file; those above number the file.
_FILE_BITS = 32
_RECORD = (1 << _FILE_BITS) - 1

# Records read from Parquet at a time; 7 MB of X-CLIP base.
_BATCH = 256

# Records are written anew when they are in so many files, or when a smaller share of those in the files is in use.
_MAX_FILES = 32
_MIN_IN_USE = 0.75

SEVERAL_LAYOUTS = "its features are laid out in several ways, expected one; ingest into a new folder"


class SegmentFeatures:
    """The features of a segment's clips, opened for reading."""

    def __init__(self, places: Path | NDArray[np.int64], records: Path, info: dict[str, Any]) -> None:
        """Open the features.

        Args:
            places: features.npy or its content, int64 [clips]: file number << 32 | number of the record in it; -1 for a
                clip without any.
            records: the folder of the files of records.
            info: ``layout`` and ``files``, from segment.json.

        Raises:
            LibraryError: a file is missing or damaged.
        """
        try:
            self.layout = FeatureLayout(**info["layout"])
            self.files: list[str] = info["files"]
            if odd := [name for name in self.files if Path(name).name != name]:
                raise ValueError(f"it names {odd[0]!r}, expected files in the folder records")
            self.places = np.load(places, mmap_mode="r", allow_pickle=False) if isinstance(places, Path) else places
            self._records = [_map(records / name, self.layout.record_bytes) for name in self.files]
            lengths = np.array([len(of_file) for of_file in self._records], np.int64)
            places_there = self.places[self.places >= 0]
            if (places_there & _RECORD >= lengths[places_there >> _FILE_BITS]).any():
                raise ValueError("its files of records are shorter than they were")
        except (OSError, EOFError, ValueError, LookupError, TypeError, SyntaxError) as exc:
            raise LibraryError(
                f"the features in {str(records.parent)!r} cannot be read ({exc}); run the ingest again"
            ) from exc

    def __len__(self) -> int:
        """Clips with features."""
        return len(self.places)

    def records_at(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Records uint8 [n, record_bytes] of the clips in these rows, which have some."""
        places = self.places[rows]
        records = np.empty((len(rows), self.layout.record_bytes), np.uint8)
        for number in np.unique(places >> _FILE_BITS):
            in_file = places >> _FILE_BITS == number
            records[in_file] = self._records[number][places[in_file] & _RECORD]
        return records


class RecordFile:
    """A new file of records, and beside it, as NAME.npy, the digests of its records in their order."""

    def __init__(self, folder: Path) -> None:
        """``folder`` is that of the library's files of records; it is made where it is not there."""
        folder.mkdir(exist_ok=True)
        self._folder, self._aside = folder, folder / f".writing-{os.getpid()}"
        self._stream = self._aside.open("wb")
        self._hash = hashlib.sha256()
        self._digests: list[int] = []

    def add(self, digest: int, record: Any) -> int:
        """Append a record, a buffer of bytes, and return its number."""
        self._stream.write(record)
        self._hash.update(record)
        self._digests.append(digest)
        return len(self._digests) - 1

    def finish(self) -> str | None:
        """Give the file the name that goes with its content, and return that; None where nothing was added."""
        self._stream.flush()
        os.fsync(self._stream.fileno())
        self._stream.close()
        if not self._digests:
            self._aside.unlink()
            return None
        name = f"{self._hash.hexdigest()[:16]}.bin"
        np.save(self._folder / digests_file(name), np.array(self._digests, np.int64))
        self._aside.replace(self._folder / name)
        return name


def digests_file(name: str) -> str:
    """The name of the file of the digests that go with a file of records."""
    return f"{Path(name).stem}.npy"


def write_records(
    folder: Path, files: Sequence[str], clip_ids: NDArray[np.int64], known: Sequence[str]
) -> tuple[NDArray[np.int64], list[str], FeatureLayout | None]:
    """Write the records of some clips, but those that are in a file already.

    Args:
        folder: that of the library's files of records.
        files: Parquet files of the features table that have them, and may have others; the likely ones first.
        clip_ids: int64 [n], the clips.
        known: names of files of records that are there.

    Returns:
        Places int64 [n] (-1 for a clip without a record), the files that they refer to, and the records' layout.

    Raises:
        LibraryError: a file cannot be read, or records are not laid out alike.
    """
    order = np.argsort(clip_ids)
    ids, found = clip_ids[order], np.full(len(clip_ids), -1, np.int64)
    files, digests = _files_with(files, ids)
    places = _known_places(folder, known, digests)
    layout: FeatureLayout | None = None
    new = RecordFile(folder)
    for file, batch in _batches(files, ids):
        layout = _checked_layout(file, batch, layout)
        at = np.searchsorted(ids, batch["clip_id"].to_numpy())
        for place, digest, record in zip(at, batch["digest"].to_pylist(), batch["record"], strict=True):
            if found[place] < 0:
                if digest not in places:
                    places[digest] = (len(known) << _FILE_BITS) | new.add(digest, record.as_buffer())
                found[place] = places[digest]
    name = new.finish()
    of_clips = np.empty_like(found)
    of_clips[order] = found
    of_clips, names = join_places([(of_clips, [*known, *([] if name is None else [name])])])
    return of_clips, names, layout


def _files_with(files: Sequence[str], ids: NDArray[np.int64]) -> tuple[list[str], NDArray[np.int64]]:
    """The files that have records of clips among ``ids`` (ascending), and these records' digests.

    The files behind the one with which all clips have a record are not looked into.
    """
    has_record, found, digests = np.zeros(len(ids), np.bool_), list[str](), [np.empty(0, np.int64)]
    for file in files:
        if has_record.all():
            break
        for batch in read_features(file, ["clip_id", "digest"]):
            kept = np.isin(batch["clip_id"].to_numpy(), ids)
            if kept.any():
                has_record[np.searchsorted(ids, batch["clip_id"].to_numpy()[kept])] = True
                digests.append(batch["digest"].to_numpy()[kept])
                found.append(file)
    return list(dict.fromkeys(found)), np.concatenate(digests)


def _known_places(folder: Path, known: Sequence[str], wanted: NDArray[np.int64]) -> dict[int, int]:
    """The place of each record with a digest among ``wanted`` that is in one of the files ``known``, by digest."""
    places: dict[int, int] = {}
    if not len(wanted := np.unique(wanted)):
        return places
    for number, name in enumerate(known):
        try:
            digests = np.load(folder / digests_file(name), allow_pickle=False)
        except (OSError, ValueError, EOFError, SyntaxError):
            continue  # its records are written once more
        at = np.minimum(np.searchsorted(wanted, digests), len(wanted) - 1)
        records = np.flatnonzero(wanted[at] == digests)
        places.update(zip(digests[records].tolist(), ((number << _FILE_BITS) | records).tolist(), strict=True))
    return places


def _batches(files: Sequence[str], ids: NDArray[np.int64]) -> Iterator[tuple[str, pa.RecordBatch]]:
    """The rows of ``files`` whose clip is among ``ids``, each batch with its file."""
    for file in files:
        for batch in read_features(file, FEATURES.names):
            rows = batch.filter(pa.array(np.isin(batch["clip_id"].to_numpy(), ids)))
            if len(rows):
                yield file, rows


def _checked_layout(file: str, rows: pa.RecordBatch, expected: FeatureLayout | None) -> FeatureLayout:
    """The layout of records that are all laid out alike, as ``expected`` where that is known."""
    layouts = set(zip(*(rows[name].to_pylist() for name in ("kind", "tokens", "dim")), strict=True))
    layout = expected or FeatureLayout(*next(iter(layouts)))
    if layouts != {(layout.kind, layout.tokens, layout.dim)}:
        raise LibraryError(SEVERAL_LAYOUTS)
    for record in rows["record"]:
        if len(record.as_buffer()) != layout.record_bytes:
            raise LibraryError(
                f"a record of features in {file!r} has {len(record.as_buffer())} bytes, expected "
                f"{layout.record_bytes}; see what vidsift verify says of the library"
            )
    return layout


def join_places(parts: Sequence[tuple[NDArray[np.int64], Sequence[str]]]) -> tuple[NDArray[np.int64], list[str]]:
    """Places in several lists of files, one behind the other, as places in one list of the files that they refer to."""
    used = [[names[number] for number in np.unique(places[places >= 0] >> _FILE_BITS)] for places, names in parts]
    files = list(dict.fromkeys(name for names in used for name in names))
    joined = [np.empty(0, np.int64)]
    for places, names in parts:
        numbers = np.array([files.index(name) if name in files else -1 for name in names], np.int64)
        there = places >= 0
        moved = np.full(len(places), -1, np.int64)
        moved[there] = (numbers[places[there] >> _FILE_BITS] << _FILE_BITS) | (places[there] & _RECORD)
        joined.append(moved)
    return np.concatenate(joined), files


def is_worth_rewriting(folder: Path, places: NDArray[np.int64], files: Sequence[str], record_bytes: int) -> bool:
    """Whether so few of the records in ``files`` are in use, or there are so many files, that one new file is better."""
    stored = sum((folder / name).stat().st_size // record_bytes for name in files)
    return len(files) > _MAX_FILES or len(np.unique(places[places >= 0])) < _MIN_IN_USE * stored


def rewrite_records(
    folder: Path, places: NDArray[np.int64], files: Sequence[str], layout: FeatureLayout
) -> tuple[NDArray[np.int64], list[str]]:
    """Copy the records in use to one new file, and give their places there."""
    features = SegmentFeatures(places, folder, features_info(layout, files))
    distinct = np.unique(places[places >= 0])
    rows = np.searchsorted(places, distinct, sorter=(order := np.argsort(places)))
    new = RecordFile(folder)
    for row in order[rows]:
        record = features.records_at(np.array([row]))[0].tobytes()
        new.add(int(digests_of([record])[0]), record)
    name = new.finish()
    moved = np.where(places >= 0, np.searchsorted(distinct, places), -1)
    return moved, [] if name is None else [name]


def features_info(layout: FeatureLayout, files: Sequence[str]) -> dict[str, Any]:
    """What segment.json says of features."""
    return {"layout": asdict(layout), "files": list(files)}


def read_features(file: str, columns: list[str]) -> Iterator[pa.RecordBatch]:
    """Columns of a Parquet file of the features table, a few rows at a time.

    Raises:
        LibraryError: it is missing or damaged.
    """
    schema = pa.schema([FEATURES.field(name) for name in columns])  # Delta Lake writes other kinds of strings than Arrow
    try:
        with open(local_files([file])[0], "rb") as stream, pq.ParquetFile(stream) as parquet:
            for batch in parquet.iter_batches(_BATCH, columns=columns):
                table = pa.table(batch).select(columns).cast(schema)
                table.validate(full=True)  # a damaged file may hold text that is not UTF-8
                yield from table.combine_chunks().to_batches()
    except (OSError, pa.ArrowException) as exc:
        raise LibraryError(f"a table's file cannot be read: {str(exc).splitlines()[0]}; restore it") from exc


def _map(path: Path, record_bytes: int) -> NDArray[np.uint8]:
    """A file of records as uint8 [n, record_bytes], without reading it."""
    return np.memmap(path, np.uint8, "r").reshape(-1, record_bytes)
