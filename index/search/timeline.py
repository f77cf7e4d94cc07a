"""Clips of a snapshot as arrays in the order of time: all of them, or those that may answer a question."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from index.snapshot.clips import SnapshotClips
from schemas.times import SAME_MOMENT_S


@dataclass(frozen=True, eq=False)
class ClipTimeline:
    """Clips by video, and within a video by start: all clips of a library, or some of its clips and their neighbours.

    The stages of a search know a clip by its position in these arrays.

    Attributes:
        ids: int64 [n], clip ids.
        rows: int64 [n], the row of each clip in the snapshot.
        video: int64 [n], the snapshot's number of each clip's video, ascending.
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


def timeline_of(clips: SnapshotClips, rows: NDArray[np.int64]) -> ClipTimeline:
    """The clips in these rows of a snapshot."""
    gathered = clips.timeline_at(rows)
    if (np.diff(gathered["video"]) < 0).any():  # rows of several segments
        order = np.argsort(gathered["video"], kind="stable")
        gathered, rows = gathered[order], rows[order]
    return ClipTimeline(
        gathered["clip_id"].copy(),
        rows,
        gathered["video"].astype(np.int64),
        gathered["start_s"].copy(),
        gathered["end_s"].copy(),
    )
