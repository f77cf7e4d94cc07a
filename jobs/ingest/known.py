"""What a library knows of its videos, in columns, for the comparison with a listing."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from jobs.ingest.listing import Listing
from schemas.records import video_id_of

_BATCH = 65_536
_MOST_TRACKS = 2**31 - 1  # that the column ``tracks`` can hold


class KnownRows:
    """One row per path. Each column ends with one more value, for row -1: that of a file which is not known.

    Attributes:
        paths: string [n], without that value.
        sizes: int64 [n + 1], in bytes.
        is_indexed: bool [n + 1], whether it was indexed whole.
        of_track: bool [n + 1], whether an ingest of this track takes the track that the row is of.
    """

    def __init__(self, known: pa.Table, track: int | None) -> None:
        """Take `index.storage.tables.Tables.known_videos`, the latest last, for an ingest of ``track``."""
        if pc.count_distinct(known["path"]).as_py() < len(known):
            last = {path: row for row, path in enumerate(known["path"].to_pylist())}
            known = known.take(list(last.values()))
        known = known.combine_chunks()
        self.paths: pa.ChunkedArray = known["path"]
        self._content_hashes, self._video_ids = known["content_hash"], known["video_id"]
        self._versions = known["version"]
        self.sizes: NDArray[np.int64] = np.append(known["size_bytes"].to_numpy(), -1)
        self._modified_ns = np.append(known["modified_ns"].to_numpy(), -1)
        self.is_indexed = _mask(pc.equal(known["status"], "indexed"))
        self._is_failed = _mask(pc.equal(known["status"], "failed"))
        self._could_not_be_opened = _mask(pc.equal(known["error_stage"], "find"))
        self.of_track = np.ones(len(self.sizes), bool)
        if track is not None:
            track = min(track, _MOST_TRACKS)
            is_track = _mask(pc.equal(known["track"], track)) & _mask(pc.is_valid(known["tracks"]))
            self.of_track = is_track | _mask(pc.less(known["tracks"], track))

    def __len__(self) -> int:
        return len(self.paths)

    def rows_of(self, found: Listing) -> NDArray[np.int32]:
        """The row of each file of a listing, by its path; -1 where there is none."""
        rows = pc.index_in(found.paths, value_set=self.paths)
        return np.asarray(pc.fill_null(rows, -1).to_numpy(), np.int32)

    def is_settled(self, rows: NDArray[np.int32], found: Listing, *, retry_failed: bool) -> NDArray[np.bool_]:
        """Whether reading a file again would tell nothing new, for each file of a listing with its row."""
        has_error = np.zeros(len(found), bool)
        has_error[list(found.errors)] = True
        settled: NDArray[np.bool_] = (found.sizes == self.sizes[rows]) & self._is_stamp(rows, found) & (rows >= 0)
        can_be_opened_now = self._could_not_be_opened[rows] & ~has_error
        right_track = has_error | (self._is_failed | self.of_track)[rows]
        settled &= ~can_be_opened_now & right_track & (self.is_indexed[rows] | (not retry_failed))
        return settled

    def _is_stamp(self, rows: NDArray[np.int32], found: Listing) -> NDArray[np.bool_]:
        """Whether the files have the versions that the rows have; where one has none, the modification times."""
        is_time: NDArray[np.bool_] = found.modified_ns == self._modified_ns[rows]
        if not len(found) or found.versions.null_count == len(found):
            return is_time
        known = self._versions.take(pa.array(rows, mask=rows < 0))
        is_version = pc.equal(found.versions, known).combine_chunks()
        return np.asarray(pc.coalesce(is_version, pa.array(is_time)).to_numpy(zero_copy_only=False))

    def content_hash(self, row: int) -> str | None:
        """The hash of a row's content; None where it is not known."""
        digest: str | None = self._content_hashes[row].as_py()
        return digest

    def video_id(self, row: int) -> str:
        """The id of a row's video."""
        return str(self._video_ids[row])

    def moved_before(self) -> Iterator[str]:
        """Ids of videos that have another path than the one which gave them their id."""
        for start in range(0, len(self), _BATCH):
            columns = (
                column.slice(start, _BATCH).to_pylist() for column in (self._video_ids, self._content_hashes, self.paths)
            )
            for video_id, digest, path in zip(*columns, strict=True):
                if video_id != video_id_of(digest, path):
                    yield video_id


def _mask(column: pa.ChunkedArray) -> NDArray[np.bool_]:
    return np.append(pc.fill_null(column, False).to_numpy(), False)
