"""Duplicates: finds footage that several videos of a library share, stores it, and publishes it."""

from __future__ import annotations

import os
import time
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from index.object_store import library_folder
from index.search.duplicates import Candidate, find_candidates
from index.search.text_encoder import text_vectors_of
from index.search.timeline import ClipTimeline
from index.snapshot.publish import publish_tables
from index.snapshot.snapshot import Snapshot
from index.storage.lock import open_for_writing
from index.storage.paths import Library
from jobs.count_progress import CountProgress
from jobs.duplicates.compare import shared_spans
from jobs.duplicates.report import ComparedVideo, DuplicateReport
from pipeline.footage.pictures import Footage, read_footage
from pipeline.sources.paths import path_behind
from schemas.duplicates import Duplicate, duplicates_table
from schemas.errors import VideoError
from schemas.records import Span

_CACHE_BYTES = 1 << 30

# A video is not compared with further candidates once so many in a row share nothing with it.
_MISSES = 4

# Videos that are shorter are decoded whole; of longer ones, what is near the lines.
_WHOLE_S = 180.0

OnProgress = Callable[[CountProgress], None]


class _Video(NamedTuple):
    video_id: str
    path: str
    duration_s: float
    track: int | None


def find_duplicates(folder: str | os.PathLike[str], *, on_progress: OnProgress | None = None) -> DuplicateReport:
    """Look for footage that several videos of a library share, and make it the library's table ``duplicates``.

    What was found before is replaced. An interruption ends it early, and leaves the table as it was.

    Args:
        folder: the library's.
        on_progress: called after each pair of videos.

    Raises:
        LibraryError: there is no library, it is being written by another job, or it cannot be written.
    """
    with open_for_writing(library_folder(folder)) as (library, config, tables):
        began = time.monotonic()
        publish_tables(library, tables, config, embed_texts=text_vectors_of(config))
        report = _look(library, began, on_progress)
        report.wall_seconds = time.monotonic() - began
        if not report.interrupted:
            tables.duplicates.replace(duplicates_table(report.duplicates))
            changes = {"duplicate_pairs": len(report.duplicates)}
            publish_tables(library, tables, config, changes, embed_texts=text_vectors_of(config))
        return report


def _look(library: Library, began: float, on_progress: OnProgress | None) -> DuplicateReport:
    snapshot = Snapshot(library)
    try:
        candidates, timeline = find_candidates(snapshot.clips())
        videos = _videos(snapshot, timeline)
        window_s = float(np.median(timeline.end_s - timeline.start_s)) if len(timeline) else 0.0
    finally:
        snapshot.catalog.close()
    report = DuplicateReport({one.video_id: ComparedVideo(one.path, one.duration_s) for one in videos.values()})
    footage = _FootageCache(videos, _wanted(candidates, videos, 4 * window_s), report)
    try:
        for done, found in enumerate(_compared(candidates, videos, footage, window_s), 1):
            report.candidates = done
            if found is not None:
                report.duplicates.append(found)
            if on_progress is not None:
                on_progress(CountProgress(done, len(candidates), time.monotonic() - began, "pairs of videos compared"))
    except KeyboardInterrupt:
        report.interrupted = True
    report.duplicates.sort()
    return report


def _compared(
    candidates: Sequence[Candidate], videos: Mapping[int, _Video], footage: _FootageCache, window_s: float
) -> Iterator[Duplicate | None]:
    """What each candidate shares; None for nothing. A video's are compared heaviest first, until some in a row are none."""
    done: dict[tuple[int, int], bool] = {}
    of_video: dict[int, list[Candidate]] = defaultdict(list)
    for candidate in candidates:
        of_video[candidate.video].append(candidate)
        of_video[candidate.other].append(candidate)
    for number in sorted(of_video):
        misses = 0
        for candidate in of_video[number]:
            pair = candidate.video, candidate.other
            if pair not in done:
                found = _compare(candidate, videos, footage, window_s)
                done[pair] = found is not None
                yield found
            misses = 0 if done[pair] else misses + 1
            if misses == _MISSES:
                break


def _compare(
    candidate: Candidate, videos: Mapping[int, _Video], footage: _FootageCache, window_s: float
) -> Duplicate | None:
    """What two videos share."""
    one, other = footage.of(candidate.video), footage.of(candidate.other)
    if one is None or other is None:
        return None
    shared = shared_spans(one, other, candidate.lines, margin_s=2 * window_s, band_s=2 * window_s)
    ids = videos[candidate.video].video_id, videos[candidate.other].video_id
    return Duplicate(*ids, tuple(shared)) if shared else None


def _videos(snapshot: Snapshot, timeline: ClipTimeline) -> dict[int, _Video]:
    """The videos that have clips, by the snapshot's number."""
    numbers, firsts = np.unique(timeline.video, return_index=True)
    ids = [row["video_id"] for row in snapshot.clips().rows_as_dicts(timeline.rows[firsts])]
    rows = snapshot.catalog.sql("select video_id, path, duration_s, track from videos").to_pylist()
    by_id = {row["video_id"]: row for row in rows}
    videos = {}
    for number, video_id, first in zip(numbers.tolist(), ids, firsts.tolist(), strict=True):
        row = by_id[video_id]
        last_s = float(timeline.end_s[timeline.of_video(first)].max())
        videos[number] = _Video(video_id, row["path"], row["duration_s"] or last_s, row["track"])
    return videos


def _wanted(candidates: Sequence[Candidate], videos: Mapping[int, _Video], margin_s: float) -> dict[int, list[Span]]:
    """The seconds of each video that are needed."""
    wanted: dict[int, list[Span]] = defaultdict(list)
    for candidate in candidates:
        for line in candidate.lines:
            ends = line.at(line.start_s), line.at(line.end_s)
            wanted[candidate.video].append(Span(line.start_s - margin_s, line.end_s + margin_s))
            wanted[candidate.other].append(Span(min(ends) - margin_s, max(ends) + margin_s))
    for number in wanted:
        if videos[number].duration_s <= _WHOLE_S:
            wanted[number] = [Span(0.0, videos[number].duration_s)]
    return wanted


class _FootageCache:
    """The pictures of videos, decoded when they are first needed; those that were not needed for longest are let go."""

    def __init__(self, videos: Mapping[int, _Video], wanted: Mapping[int, Sequence[Span]], report: DuplicateReport) -> None:
        self._videos, self._wanted, self._report = videos, wanted, report
        self._kept: OrderedDict[int, Footage | None] = OrderedDict()

    def of(self, number: int) -> Footage | None:
        """The pictures of a video; None where it cannot be read."""
        if number not in self._kept:
            self._kept[number] = self._read(self._videos[number], self._wanted[number])
        self._kept.move_to_end(number)
        while sum(of.size_bytes for of in self._kept.values() if of) > _CACHE_BYTES and len(self._kept) > 2:
            self._kept.popitem(last=False)
        return self._kept[number]

    def _read(self, video: _Video, spans: Sequence[Span]) -> Footage | None:
        try:
            return read_footage(path_behind(video.path), video.duration_s, spans, track=video.track)
        except (VideoError, OSError) as exc:
            reason = exc.reason if isinstance(exc, VideoError) else exc.strerror or str(exc)
            if all(known != video.path for known, _ in self._report.failures):
                self._report.failures.append((video.path, reason))
            return None
