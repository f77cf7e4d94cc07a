"""All clips of a snapshot, over its segments: their times, vectors and features, by row.

A row of a snapshot is a row of one of its segments plus the number of clips in the segments before it. Rows whose clips have
been deleted or superseded are dead: nothing gives them unless it is asked for them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from index.snapshot.ranges import ranges
from index.snapshot.sample import join_samples
from index.snapshot.segment import TIMELINE, Segment
from schemas.errors import LibraryError
from schemas.rerank_features import FeatureLayout

Rows = NDArray[np.int64]


class SnapshotClips:
    """The clips of a snapshot, opened for reading."""

    def __init__(
        self, segments: Sequence[Segment], dead_videos: Sequence[NDArray[np.int64]], dim: int, paths: pa.Table
    ) -> None:
        """Join segments.

        Args:
            segments: in the snapshot's order.
            dead_videos: for each, the numbers of the videos in it that the snapshot does not show.
            dim: dimension of the vectors, also where there are none.
            paths: `index.snapshot.catalog_build.PATHS` of the videos that are shown, by segment and number.
        """
        self._paths = paths["path"]
        self._path_keys = (paths["segment"].to_numpy().astype(np.int64) << 32) | paths["video"].to_numpy()
        self.segments, self.dim = tuple(segments), dim
        self._dead_videos = dead_videos
        self._first = np.concatenate([[0], np.cumsum([len(segment) for segment in segments])]).astype(np.int64)

    @property
    def num_rows(self) -> int:
        """Rows, dead ones included."""
        return int(self._first[-1])

    @cached_property
    def live(self) -> NDArray[np.bool_]:
        """Bool [num_rows]: which rows the snapshot shows."""
        live = np.ones(self.num_rows, np.bool_)
        for segment, first, dead in zip(self.segments, self._first, self._dead_videos, strict=False):
            for number in dead:
                begin, end = segment.first_rows[number : number + 2]
                live[first + begin : first + end] = False
        return live

    @cached_property
    def _num_live(self) -> int:
        return int(np.count_nonzero(self.live))

    def __len__(self) -> int:
        """Clips that the snapshot shows."""
        return self._num_live

    def sample(self) -> Rows:
        """int64, ascending: the rows of the sample that stands for all clips (`index.snapshot.sample`)."""
        samples = [segment.sample for segment in self.segments]
        ids = [segment.timeline["clip_id"][rows] for segment, rows in zip(self.segments, samples, strict=True)]
        rows = [first + of for first, of in zip(self._first, samples, strict=False)]
        whole = [len(of) == len(segment) for of, segment in zip(samples, self.segments, strict=True)]
        kept = join_samples(ids, [self.live[of] for of in rows], whole)
        return np.concatenate([of[k] for of, k in zip(rows, kept, strict=True)] or [np.empty(0, np.int64)])

    def ids(self) -> Rows:
        """int64 [len], the ids of the clips that the snapshot shows, by row."""
        return self.timeline_at(np.flatnonzero(self.live))["clip_id"]

    def timeline_at(self, rows: Rows) -> NDArray[np.void]:
        """`TIMELINE` [n] of these rows; ``video`` numbers the videos of the snapshot, by video id, from 0.

        Raises:
            LibraryError: a clip is of a video that its segment does not have.
        """
        gathered = np.empty(len(rows), TIMELINE)
        for number, at, in_segment in self.by_segment(rows):
            gathered[at] = self.segments[number].timeline[in_segment]
            videos = gathered["video"][at]
            if len(videos) and not 0 <= videos.min() <= videos.max() < self.segments[number].info.videos:
                raise LibraryError(f"timeline.npy in {str(self.segments[number].folder)!r} is damaged; run the ingest again")
            gathered["video"][at] = self._video_numbers[number][videos]
        return gathered

    def rows_of(self, clip_ids: Rows) -> Rows:
        """int64 [n], the row of each clip; -1 for one that the snapshot does not show. Reads the ids of all clips."""
        rows = np.full(len(clip_ids), -1, np.int64)
        order = np.argsort(clip_ids, kind="stable")
        ids = clip_ids[order]
        for segment, first in zip(self.segments, self._first, strict=False):
            of_segment = segment.timeline["clip_id"]
            at = np.searchsorted(ids, of_segment).clip(max=max(len(ids) - 1, 0))
            here = np.flatnonzero(ids[at] == of_segment) if len(ids) else np.empty(0, np.int64)
            here = here[self.live[first + here]]
            rows[order[at[here]]] = first + here
        return rows

    def rows_around(self, rows: Rows, most: int) -> Rows:
        """int64 [m], ascending, each once: all rows of the videos that ``rows`` are of.

        Of a video with more than ``2 * most`` clips, only the rows up to ``most`` before and after one of ``rows``.
        """
        spans = []
        for number, _, in_segment in self.by_segment(rows):
            segment, first = self.segments[number], int(self._first[number])
            video = segment.timeline["video"][in_segment]
            begin, end = segment.first_rows[video], segment.first_rows[video + 1]
            long = end - begin > 2 * most
            begin = np.where(long, np.maximum(begin, in_segment - most), begin)
            end = np.where(long, np.minimum(end, in_segment + most + 1), end)
            spans.append(np.stack([first + begin, first + end], axis=1))
        distinct = np.unique(np.concatenate([np.empty((0, 2), np.int64), *spans]), axis=0)
        return np.unique(ranges(distinct[:, 0], distinct[:, 1]))

    def search(
        self, queries: NDArray[np.float32], count: int, *, recall: float, passing: NDArray[np.bool_] | None
    ) -> tuple[Rows, NDArray[np.float32]]:
        """The ``count`` rows with the highest dot products for each query, best first, and these products.

        Args:
            queries: float32 [q, dim].
            count: how many rows.
            recall: how many of the ten best are to be among them, on average; 1 is exact.
            passing: bool [num_rows], which rows may be given; None for all that the snapshot shows.

        Returns:
            int64 and float32 [q, count]; where fewer rows pass, -1 and minus infinity at the end.
        """
        allowed = self._live_bits if passing is None else self._bits(passing & self.live)
        best_rows, best_scores = [], []
        for number, (segment, of_segment) in enumerate(zip(self.segments, allowed, strict=True)):
            if of_segment is not None and not of_segment.any():
                continue
            rows, scores = segment.vectors.search(queries, min(count, len(segment)), recall=recall, passing=of_segment)
            best_rows.append(np.where(rows >= 0, rows + self._first[number], -1))
            best_scores.append(np.where(rows >= 0, scores, -np.inf))
        nothing = np.full((len(queries), count), -1), np.full((len(queries), count), -np.inf, np.float32)
        rows = np.concatenate([*best_rows, nothing[0]], axis=1)
        scores = np.concatenate([*best_scores, nothing[1]], axis=1)
        order = np.argsort(-scores, axis=1, kind="stable")[:, :count]
        return np.take_along_axis(rows, order, 1), np.take_along_axis(scores, order, 1).astype(np.float32)

    def rows_as_dicts(self, rows: Rows) -> list[dict[str, Any]]:
        """For each row ``clip_id``, ``video_id``, ``path``, ``start_s``, ``end_s``, ``label`` and ``label_score``."""
        dicts: list[dict[str, Any]] = [{}] * len(rows)
        for number, at, in_segment in self.by_segment(rows):
            segment = self.segments[number]
            clips, labels = segment.timeline[in_segment], segment.labels[in_segment]
            video_ids = segment.videos["video_id"].take(clips["video"]).to_pylist()
            paths = self._paths.take(np.searchsorted(self._path_keys, (number << 32) | clips["video"].astype(np.int64)))
            for place, clip, (label, score), video_id, path in zip(
                at, clips, labels, video_ids, paths.to_pylist(), strict=True
            ):
                dicts[place] = {
                    "clip_id": int(clip["clip_id"]),
                    "video_id": video_id,
                    "path": path,
                    "start_s": float(clip["start_s"]),
                    "end_s": float(clip["end_s"]),
                    "label": segment.label_names[label] if label >= 0 else None,
                    "label_score": float(score) if label >= 0 else None,
                }
        return dicts

    def vectors_at(self, rows: Rows) -> NDArray[np.float32]:
        """float32 [n, dim], the vectors in these rows, copied."""
        vectors = np.empty((len(rows), self.dim), np.float32)
        for number, at, in_segment in self.by_segment(rows):
            vectors[at] = self.segments[number].vectors.vectors_at(in_segment)
        return vectors

    def scores_at(self, rows: Rows, queries: NDArray[np.float32]) -> NDArray[np.float32]:
        """float32 [queries, n], the dot product of each query (float32 [queries, dim]) with the vector in each row."""
        scores = np.empty((len(queries), len(rows)), np.float32)
        for number, at, in_segment in self.by_segment(rows):
            scores[:, at] = self.segments[number].vectors.scores_at(in_segment, queries)
        return scores

    def scores(self, queries: NDArray[np.float32]) -> NDArray[np.float32]:
        """float32 [queries, num_rows], likewise with all vectors, dead ones included."""
        of_segments = [segment.vectors.scores(queries) for segment in self.segments if len(segment)]
        return np.concatenate(of_segments, axis=1) if of_segments else np.empty((len(queries), 0), np.float32)

    def feature_layout(self) -> FeatureLayout | None:
        """The layout of the clips' features; None where the library keeps none, or has no clips."""
        return next((segment.features.layout for segment in self.segments if segment.features), None)

    def have_features(self) -> bool:
        """Whether every clip that the snapshot shows has features."""
        places = [np.full(len(s), -1) if s.features is None else s.features.places for s in self.segments]
        return all((of[live] >= 0).all() for of, live in zip(places, self._split(self.live), strict=True))

    def described(self, rows: Rows) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Embeddings float32 [n, dim], as the model gave them, and features float32 [n, tokens, dim], of these rows.

        Raises:
            LibraryError: a clip has none, or a file of them is missing or damaged.
        """
        layout = self.feature_layout()
        if layout is None:
            raise LibraryError("it has no features; ingest into a new folder with features")
        records = np.empty((len(rows), layout.record_bytes), np.uint8)
        for number, at, in_segment in self.by_segment(rows):
            features = self.segments[number].features
            lacking = at if features is None else at[features.places[in_segment] < 0]
            if features is None or len(lacking):
                clip_id = self.timeline_at(rows[lacking[:1]])["clip_id"][0]
                raise LibraryError(
                    f"clip {clip_id} has no features in the snapshot; see what vidsift verify says of the library"
                )
            records[at] = features.records_at(in_segment)
        return layout.decode_embeddings(records), layout.decode_features(records)

    @cached_property
    def _live_bits(self) -> list[NDArray[np.uint8] | None]:
        return self._bits(self.live)

    def _bits(self, mask: NDArray[np.bool_]) -> list[NDArray[np.uint8] | None]:
        """A mask of the rows of the snapshot as bits for each segment, the lowest first; None where all are set."""
        return [None if of.all() else np.packbits(of, bitorder="little") for of in self._split(mask)]

    def _split(self, mask: NDArray[np.bool_]) -> list[NDArray[np.bool_]]:
        """A mask of the rows of the snapshot as one for each segment."""
        return np.split(mask, self._first[1:-1]) if self.segments else []

    def by_segment(self, rows: Rows) -> Iterator[tuple[int, Rows, Rows]]:
        """For each segment with any of ``rows``: its number, the positions in ``rows``, and the rows within it."""
        if len(self.segments) == 1:
            yield 0, np.arange(len(rows)), rows
            return
        numbers = np.searchsorted(self._first, rows, "right") - 1
        for number in np.unique(numbers):
            at = np.flatnonzero(numbers == number)
            yield int(number), at, rows[at] - self._first[number]

    @cached_property
    def _video_numbers(self) -> list[NDArray[np.int64]]:
        """For each segment, the snapshot's number of each of its videos: so answers do not depend on the segments' order."""
        if len(self.segments) == 1:
            return [np.arange(self.segments[0].info.videos)]
        names = [segment.videos["video_id"] for segment in self.segments]
        return [pc.index_in(of_segment, value_set=self.video_ids).to_numpy().astype(np.int64) for of_segment in names]

    @cached_property
    def video_ids(self) -> pa.Array:
        """The ids of the videos by the numbers that `timeline_at` gives them."""
        names = [chunk for segment in self.segments for chunk in segment.videos["video_id"].chunks]
        distinct = pc.unique(pa.chunked_array(names, pa.string()))
        return distinct.take(pc.sort_indices(distinct))
