"""All clips of a snapshot as arrays in the order of time, for arithmetic over the whole library at once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from index.snapshot.vectors import VectorIndex
from index.sql.catalog import Catalog

SAME_MOMENT_S = 1e-3
"""Times closer than this are one."""


@dataclass(frozen=True, eq=False)
class ClipTimeline:
    """The clips of a library, by video and within one by start.

    A window's position in these arrays is what `index.search.moments` and `index.search.sequence` know it by.

    Attributes:
        ids: int64 [n], clip ids.
        rows: int64 [n], where each is in the vector index.
        video: int64 [n], a number for each video, ascending.
        start_s: float64 [n].
        end_s: float64 [n].
    """

    ids: NDArray[np.int64]
    rows: NDArray[np.int64]
    video: NDArray[np.int64]
    start_s: NDArray[np.float64]
    end_s: NDArray[np.float64]

    def __len__(self) -> int:
        """How many there are."""
        return len(self.ids)

    def of_video(self, position: int) -> slice:
        """The positions of all windows of the video that this one is of."""
        number = self.video[position]
        return slice(int(np.searchsorted(self.video, number)), int(np.searchsorted(self.video, number, "right")))

    def overlapping(self, position: int, start_s: float, end_s: float) -> NDArray[np.int64]:
        """Positions of the windows of this one's video that show some of [start_s, end_s)."""
        here = self.of_video(position)
        shown = (self.start_s[here] < end_s - SAME_MOMENT_S) & (self.end_s[here] > start_s + SAME_MOMENT_S)
        return np.asarray(here.start + np.flatnonzero(shown), np.int64)

    def among(self, clip_ids: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which windows are among these clips: bool [n]."""
        found = np.zeros(len(self), np.bool_)
        if len(self):
            places = np.searchsorted(self.ids, clip_ids, sorter=self._by_id)
            places = self._by_id[places.clip(max=len(self) - 1)]
            found[places[self.ids[places] == clip_ids]] = True
        return found

    @cached_property
    def _by_id(self) -> NDArray[np.int64]:
        return np.argsort(self.ids)


def read_timeline(catalog: Catalog, vectors: VectorIndex) -> ClipTimeline:
    """The windows of the clips that both hold."""
    found = catalog.sql("select clip_id, video_id, start_s, end_s from clips order by video_id, start_s, end_s")
    ids = np.asarray(found["clip_id"].to_numpy(), np.int64)
    rows = vectors.rows_of(ids)
    known = rows >= 0
    video = found["video_id"].combine_chunks().dictionary_encode().indices.to_numpy(zero_copy_only=False)
    return ClipTimeline(
        ids[known],
        rows[known],
        np.asarray(video, np.int64)[known],
        np.asarray(found["start_s"].to_numpy(), np.float64)[known],
        np.asarray(found["end_s"].to_numpy(), np.float64)[known],
    )
