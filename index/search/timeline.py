"""All clips of a snapshot as arrays in the order of time, for arithmetic over the whole library at once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from index.snapshot.vectors import VectorIndex
from index.sql.catalog import Catalog
from schemas.times import SAME_MOMENT_S


@dataclass(frozen=True, eq=False)
class ClipTimeline:
    """Clips by video, and within a video by start: all clips of a library, or all clips of some of its videos.

    The stages of a search know a clip by its position in these arrays.

    Attributes:
        ids: int64 [n], clip ids.
        rows: int64 [n], the row of each clip in the vector index.
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
        """Number of clips."""
        return len(self.ids)

    def of_video(self, position: int) -> slice:
        """Positions of all clips of the video that the clip at ``position`` is from."""
        number = self.video[position]
        return slice(int(np.searchsorted(self.video, number)), int(np.searchsorted(self.video, number, "right")))

    def overlapping(self, position: int, start_s: float, end_s: float) -> NDArray[np.int64]:
        """Positions of the clips that show some of [start_s, end_s) of the video that the clip at ``position`` is from."""
        video = self.of_video(position)
        overlaps = (self.start_s[video] < end_s - SAME_MOMENT_S) & (self.end_s[video] > start_s + SAME_MOMENT_S)
        return np.asarray(video.start + np.flatnonzero(overlaps), np.int64)

    def among(self, clip_ids: NDArray[np.int64]) -> NDArray[np.bool_]:
        """For each clip, bool [n], whether it has one of these ids."""
        is_among = np.zeros(len(self), np.bool_)
        if len(self):
            places = np.searchsorted(self.ids, clip_ids, sorter=self._by_id)
            places = self._by_id[places.clip(max=len(self) - 1)]
            is_among[places[self.ids[places] == clip_ids]] = True
        return is_among

    def in_videos_of(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """int64 [m], ascending: positions of all clips of the videos that have a clip in one of these ``rows``."""
        return np.flatnonzero(np.isin(self.video, self.video[np.isin(self.rows, rows)]))

    def at(self, positions: NDArray[np.int64]) -> ClipTimeline:
        """The clips at ``positions`` (ascending) alone."""
        return ClipTimeline(
            self.ids[positions],
            self.rows[positions],
            self.video[positions],
            self.start_s[positions],
            self.end_s[positions],
        )

    @cached_property
    def _by_id(self) -> NDArray[np.int64]:
        return np.argsort(self.ids)


def read_timeline(catalog: Catalog, vectors: VectorIndex) -> ClipTimeline:
    """The clips that both the catalog and the vector index hold."""
    clips = catalog.sql("select clip_id, video_id, start_s, end_s from clips order by video_id, start_s, end_s")
    ids = np.asarray(clips["clip_id"].to_numpy(), np.int64)
    rows = vectors.rows_of(ids)
    indexed = rows >= 0
    video = clips["video_id"].combine_chunks().dictionary_encode().indices.to_numpy(zero_copy_only=False)
    return ClipTimeline(
        ids[indexed],
        rows[indexed],
        np.asarray(video, np.int64)[indexed],
        np.asarray(clips["start_s"].to_numpy(), np.float64)[indexed],
        np.asarray(clips["end_s"].to_numpy(), np.float64)[indexed],
    )
