"""Segments as a snapshot shows them: which videos of each, and which are dead."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from index.snapshot.merging import SegmentSize
from index.snapshot.segment import Segment
from index.snapshot.snapshot import SnapshotInfo
from index.storage.paths import Library
from schemas.errors import LibraryError


@dataclass(frozen=True, slots=True, eq=False)
class ShownSegment:
    """A segment, and the videos of it that the snapshot to be written shows.

    Attributes:
        dead: int64, ascending: numbers of the videos that it does not show.
    """

    segment: Segment
    dead: NDArray[np.int64]

    @property
    def live(self) -> NDArray[np.int64]:
        """Numbers of the videos that the snapshot shows."""
        return np.setdiff1d(np.arange(self.segment.info.videos), self.dead)

    def total(self, column: str) -> int:
        """The sum of a column of `VIDEO_KEYS` over these videos."""
        return int(self.segment.videos[column].to_numpy()[self.live].sum())

    @property
    def size(self) -> SegmentSize:
        """Clips that are shown, and all."""
        return SegmentSize(self.total("clips"), len(self.segment))


def readable_segments(library: Library, info: SnapshotInfo, keys: pa.Table) -> list[ShownSegment]:
    """The segments of a snapshot that can be read, with the videos that ``keys`` still have; some may have none.

    Args:
        library: whose segments.
        info: of the snapshot.
        keys: ``video_id`` and ``ingested_at`` of the library's videos.
    """
    states = video_states(keys)
    segments = []
    for ref in info.segments:
        try:
            segment = Segment(library.segments / ref.name)
            segment.open_files()
        except LibraryError:
            continue  # its videos are read from the tables again
        kept = pc.is_in(video_states(segment.videos), value_set=states).to_numpy(zero_copy_only=False)
        segments.append(ShownSegment(segment, np.flatnonzero(~kept)))
    return segments


def video_states(videos: pa.Table) -> pa.Array:
    """A text for each video that names one state of its clips: indexed again, it has another."""
    texts = pc.binary_join_element_wise(
        videos["video_id"], pc.cast(pc.cast(videos["ingested_at"], pa.int64()), pa.string()), "@"
    )
    return texts.combine_chunks() if isinstance(texts, pa.ChunkedArray) else texts
