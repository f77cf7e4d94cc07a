"""Ground truth: moments that a user has listed, each with the clip of the library that overlaps it most."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from index.sql.catalog import Catalog
from jobs.datasets.reader import read_moments
from jobs.datasets.splits import ExampleDraft
from jobs.evaluate.library_results import Unjudged
from jobs.evaluate.moment_metrics import best_clip
from pipeline.sources import real_path
from pipeline.sources.paths import Paths, spelling
from schemas.errors import UsageError
from schemas.records import Span, path_text

_MAX_NAMED = 3
_UNKNOWN = "not in the library"


@dataclass(frozen=True, slots=True)
class GroundTruthMoment:
    """A moment of the ground truth, and the clip that overlaps it most.

    Attributes:
        video_id: of its video.
        span: the moment.
        label: its action; None where none is named.
        captions: sentences that describe it.
        clip_id: the clip.
        share: how much of its video it takes up, from 0 to 1.
    """

    video_id: str
    span: Span
    label: str | None
    captions: tuple[str, ...]
    clip_id: int
    share: float


@dataclass(frozen=True, slots=True)
class GroundTruth:
    """The moments of a file.

    Attributes:
        rows: how many there are.
        judged: those that a clip of the library shows.
        unjudged: the others, by video.
        clips: by video id, the clips of all videos that have a judged moment, in the order of time.
    """

    rows: int
    judged: tuple[GroundTruthMoment, ...]
    unjudged: tuple[Unjudged, ...]
    clips: dict[str, tuple[tuple[int, Span], ...]]


def read_truth(source: Path, catalog: Catalog) -> GroundTruth:
    """Read a CSV file of moments, and find each among the clips of a library.

    Args:
        source: columns ``path`` (from the CSV's folder, or absolute), ``start_s``, ``end_s``, ``action`` (or ``label``) and
            ``caption``. Without times a row is of the whole video. Rows of one moment are one with several captions.
        catalog: of the library.

    Raises:
        UsageError: the file cannot be used, or the library has none of its videos.
    """
    moments = read_moments(source, "truth", expected="a CSV file")
    if not any(moment.label or moment.captions for moment in moments):
        raise UsageError(
            "got no action and no caption, expected a file with one of the two or both; fill the column action or caption",
            argument="truth",
            value=source,
        )
    videos = _videos(moments, catalog)
    known = Paths(videos)
    clips = _clips([row["video_id"] for row in videos.values()], catalog)
    judged: list[GroundTruthMoment] = []
    reasons: Counter[tuple[str, str]] = Counter()
    for moment in moments:
        path = known.find(moment.path, real_path(moment.path))
        outcome = _judge(moment, videos[path] if path else None, clips)
        if isinstance(outcome, GroundTruthMoment):
            judged.append(outcome)
        else:
            reasons[path_text(moment.path), outcome] += 1
    unjudged = tuple(Unjudged(path, count, reason) for (path, reason), count in reasons.items())
    if not judged:
        named = "; ".join(f"{video.path!r}: {video.reason}" for video in unjudged[:_MAX_NAMED])
        raise UsageError(
            f"none of its {len(moments)} moments is in the library ({named}); {_instead(unjudged, catalog)}"
            f"paths are taken from the CSV's own folder, {os.path.dirname(os.path.abspath(source))!r}: correct them, or "
            "ingest those videos",
            argument="truth",
            value=source,
        )
    used = {moment.video_id for moment in judged}
    clips = {video_id: of_video for video_id, of_video in clips.items() if video_id in used}
    return GroundTruth(len(moments), tuple(judged), unjudged, clips)


def _videos(moments: Sequence[ExampleDraft], catalog: Catalog) -> dict[str, dict[str, Any]]:
    """The library's videos that the moments name, by path; paths may be spelled in different Unicode forms."""
    paths = {spelling(path) for moment in moments for path in (moment.path, real_path(moment.path))}
    rows = catalog.sql(
        "select path, video_id, status, error from videos where nfc_normalize(path) in (select unnest($paths))",
        {"paths": sorted(paths)},
    )
    return {row["path"]: row for row in rows.to_pylist()}


def _instead(unjudged: Sequence[Unjudged], catalog: Catalog) -> str:
    """A sentence on what the library has in place of the first path that it does not know; empty without such a path."""
    unknown = next((video.path for video in unjudged if video.reason == _UNKNOWN), None)
    if unknown is None:
        return ""
    return f"{Paths(catalog.sql('select path from videos')['path'].to_pylist()).instead(unknown)}; "


def _clips(video_ids: Sequence[str], catalog: Catalog) -> dict[str, tuple[tuple[int, Span], ...]]:
    """Id and interval of the videos' clips, by video id, in the order of time."""
    rows = catalog.sql(
        "select video_id, clip_id, start_s, end_s from clips where video_id in (select unnest($ids)) "
        "order by video_id, start_s, end_s",
        {"ids": list(video_ids)},
    )
    clips: dict[str, list[tuple[int, Span]]] = defaultdict(list)
    for row in rows.to_pylist():
        clips[row["video_id"]].append((row["clip_id"], Span(row["start_s"], row["end_s"])))
    return {video: tuple(of_video) for video, of_video in clips.items()}


def _judge(
    moment: ExampleDraft, video: dict[str, Any] | None, clips: dict[str, tuple[tuple[int, Span], ...]]
) -> GroundTruthMoment | str:
    """The moment with its clip, or why there is none."""
    if video is None:
        return _UNKNOWN
    if video["video_id"] not in clips:
        return f"in the library, but without clips: {video['error'] or video['status']}"
    of_video = clips[video["video_id"]]
    times_s = np.array([span for _, span in of_video])
    video_end_s = float(times_s[:, 1].max())
    span = Span(moment.start_s or 0.0, video_end_s if moment.end_s is None else moment.end_s)
    near = np.flatnonzero((times_s[:, 0] < span.end_s) & (times_s[:, 1] > span.start_s)).tolist()
    best = best_clip(span, [of_video[number][1] for number in near])
    if best is None or span.end_s <= span.start_s:
        return f"no clip shows {span.start_s:g}-{span.end_s:g} s: the video ends at {video_end_s:.3f} s"
    captions = tuple(caption for caption, _ in moment.captions)
    share = (span.end_s - span.start_s) / video_end_s
    return GroundTruthMoment(video["video_id"], span, moment.label, captions, of_video[near[best]][0], share)
