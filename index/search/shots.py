"""The shots that clips are in, where a library knows them: moments do not run across cuts, and black is no answer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from index.search.timeline import ClipTimeline
from index.snapshot.snapshot import Snapshot

# Seconds between videos on the axis that all shots lie on: more than the longest video that is indexed has.
_APART_S = 1e8


@dataclass(frozen=True, slots=True, eq=False)
class ShotsOfClips:
    """The shot that the middle of each clip is in.

    Attributes:
        number: int64 [n], equal for clips of one shot; -1 where it is not known.
        start_s: float64 [n], where the shot begins; minus infinity where it is not known.
        end_s: float64 [n], where it ends.
        is_black: bool [n], whether it shows nothing.
    """

    number: NDArray[np.int64]
    start_s: NDArray[np.float64]
    end_s: NDArray[np.float64]
    is_black: NDArray[np.bool_]


class SnapshotShots:
    """All shots of a snapshot."""

    def __init__(self, snapshot: Snapshot) -> None:
        """Read them; the snapshot has some (`has_shots`).

        Raises:
            LibraryError: a file of the snapshot is missing or damaged.
        """
        table = snapshot.catalog.sql("select video_id, start_s, end_s, picture = 'black' as is_black from shots")
        video_ids = snapshot.clips().video_ids
        video = pc.index_in(table["video_id"], value_set=video_ids)
        keep = pc.is_valid(video)  # a video without clips has none to be in a shot
        table, video = table.filter(keep), video.filter(keep).to_numpy()
        begin = video * _APART_S + table["start_s"].to_numpy()
        order = np.argsort(begin, kind="stable")
        self._video, self._begin = video[order], begin[order]
        self._start_s, self._end_s = (table[name].to_numpy()[order] for name in ("start_s", "end_s"))
        self._is_black = table["is_black"].to_numpy()[order]

    def of(self, timeline: ClipTimeline) -> ShotsOfClips:
        """The shots of n clips."""
        middle_s = (timeline.start_s + timeline.end_s) / 2
        number = np.searchsorted(self._begin, timeline.video * _APART_S + middle_s, "right") - 1
        known = number >= 0
        if len(self._video):
            known &= self._video[number] == timeline.video
            known &= middle_s < self._end_s[number]
        found = number[known]
        number = np.where(known, number, -1)
        start_s, end_s = np.full(len(timeline), -np.inf), np.full(len(timeline), np.inf)
        is_black = np.zeros(len(timeline), np.bool_)
        start_s[known], end_s[known], is_black[known] = self._start_s[found], self._end_s[found], self._is_black[found]
        return ShotsOfClips(number, start_s, end_s, is_black)


def has_shots(snapshot: Snapshot) -> bool:
    """Whether a snapshot knows the shots of any video."""
    return any(part.info.rows["shots"] for part in snapshot.parts)
