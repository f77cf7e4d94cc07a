"""Labeled moments: read from a CSV file, and matched with the clips of a library that show them."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from jobs.csv_rows import FileLine, interval, read_rows
from jobs.overlap import SHOWN_SHARE, shared_shares
from pipeline.sources import absolute_path
from pipeline.sources.paths import Paths, on_disk
from schemas.errors import UsageError
from schemas.records import Span, path_text

_COLUMNS = ("path", "start_s", "end_s", "tag")

# How far beyond a video's end a moment may reach, since people type times that a player has rounded.
_MAX_OVERSHOOT_S = 0.5


@dataclass(frozen=True, slots=True)
class LabeledMoment:
    """A line of the file.

    Attributes:
        line: the line's number, from 1.
        path: absolute path of the video.
        start_s: start of the moment.
        end_s: its end; None is the video's end.
        tag: what the moment shows.
    """

    line: int
    path: str
    start_s: float
    end_s: float | None
    tag: str


@dataclass(frozen=True, slots=True, eq=False)
class MatchedClips:
    """Clips that show labeled moments.

    Attributes:
        clip_ids: int64 [n], ascending.
        groups: int64 [n]; clips of one moment, and of moments that overlap, have the same number.
        shows: for each tag, bool [n]: whether the clip shows it.
        overlapping_clip_ids: int64 [m], the clips that overlap any labeled moment, however little.
    """

    clip_ids: NDArray[np.int64]
    groups: NDArray[np.int64]
    shows: dict[str, NDArray[np.bool_]]
    overlapping_clip_ids: NDArray[np.int64]

    def groups_of(self, tag: str) -> NDArray[np.int64]:
        """Groups of the moments of a tag that clips show; moments that overlap count once."""
        return np.unique(self.groups[self.shows[tag]])


def read_examples(source: Path, name: str | None = None) -> list[LabeledMoment]:
    """Read a file with the columns path, start_s, end_s and tag.

    Args:
        source: a CSV file in UTF-8 with a header; paths are taken from its own folder. Times that are left out are the
            video's start and end.
        name: the tag of every line, for a file without that column; else a tag that must be in the file.

    Raises:
        UsageError: there is no such file, or something in it is not valid.
    """
    folder = os.path.dirname(os.path.abspath(source))
    moments = [
        _moment(cells, line, folder, name, FileLine("examples", source, line))
        for line, cells in read_rows(source, "examples", _columns)
    ]
    if not moments:
        raise UsageError("got a header and no rows; give a row for every moment", argument="examples", value=source)
    tags = sorted({moment.tag for moment in moments})
    if not all(tags):
        line = next(moment.line for moment in moments if not moment.tag)
        raise FileLine("examples", source, line).error(
            "no tag, expected one in every line; fill the column 'tag', or give `name` for a file without that column"
        )
    if name is not None and name not in tags:
        raise UsageError(
            f"no line has the tag {name!r}, expected one of {', '.join(map(repr, tags))}; "
            "correct `name`, or leave it out to teach them all",
            argument="examples",
            value=source,
        )
    return moments


def _columns(header: Sequence[str], where: FileLine) -> list[str]:
    names = [name.strip().lower() for name in header]
    for name, count in Counter(names).items():
        if name not in _COLUMNS:
            raise where.error(f"got the column {name!r}, expected {', '.join(_COLUMNS)}; rename it, or take it out")
        if count > 1:
            raise where.error(f"got the column {name!r} {count} times, expected once; take the others out")
    if "path" not in names:
        raise where.error(f"got no column 'path', expected {', '.join(_COLUMNS)}; name the videos' column so")
    return names


def _moment(cells: dict[str, str], line: int, folder: str, name: str | None, where: FileLine) -> LabeledMoment:
    if not cells["path"]:
        raise where.error("the path is empty; name a video, or take the line out")
    start_s, end_s = interval(cells, where)
    tag = cells.get("tag", name or "")
    if not tag.isprintable():
        raise where.error(f"tag is {tag!r}, expected a text on one line; correct it")
    return LabeledMoment(line, on_disk(absolute_path(cells["path"], folder)), start_s or 0.0, end_s, tag)


def match(moments: Sequence[LabeledMoment], videos: pa.Table, clips: pa.Table, source: Path) -> MatchedClips:
    """Find the clips that show the moments, by the rule of `jobs.overlap.shows`.

    Args:
        moments: the same moment listed twice counts once.
        videos: ``path``, ``video_id``, ``duration_s``, ``status`` and ``error`` of the library's videos.
        clips: ``clip_id``, ``video_id``, ``start_s`` and ``end_s`` of its clips.
        source: the file, for messages.

    Raises:
        UsageError: a moment is in no video of the library, or beyond its end.
    """
    spans = _spans_by_video(moments, videos, source)
    path_of = dict(zip(videos["video_id"].to_pylist(), videos["path"].to_pylist(), strict=True))
    group = 0
    group_of: dict[int, int] = {}
    tags_of: dict[int, set[str]] = defaultdict(set)
    overlapping: list[int] = []
    for video_id in sorted(spans, key=lambda video_id: str(path_of[video_id])):  # numbers the groups alike on any machine
        of_video = clips.filter(pc.equal(clips["video_id"], video_id))
        ids, start_s, end_s = (of_video[name].to_numpy() for name in ("clip_id", "start_s", "end_s"))
        best_shares = np.zeros(len(ids))  # for each clip, its share in the moment that decides its group
        group_end_s = -1.0
        for span, tag in sorted(spans[video_id], key=lambda labeled: labeled[0]):
            group += span.start_s >= group_end_s
            group_end_s = max(group_end_s, span.end_s)
            shares = shared_shares(span, start_s, end_s)
            overlapping += ids[shares > 0].tolist()
            for place in np.flatnonzero(shares >= SHOWN_SHARE).tolist():
                clip_id = int(ids[place])
                tags_of[clip_id].add(tag)
                if shares[place] > best_shares[place]:
                    best_shares[place], group_of[clip_id] = shares[place], group
    clip_ids = sorted(group_of)
    tags = sorted({moment.tag for moment in moments})
    return MatchedClips(
        np.array(clip_ids, np.int64),
        np.array([group_of[clip_id] for clip_id in clip_ids], np.int64),
        {tag: np.array([tag in tags_of[clip_id] for clip_id in clip_ids], bool) for tag in tags},
        np.unique(np.array(overlapping, np.int64)),
    )


def _spans_by_video(moments: Sequence[LabeledMoment], videos: pa.Table, source: Path) -> dict[str, list[tuple[Span, str]]]:
    """Interval and tag of each moment, by the id of its video."""
    rows = {row["path"]: row for row in videos.to_pylist()}
    known = Paths(rows)
    library_paths = {moment.path: known.find(moment.path) for moment in moments}
    _check_known(moments, library_paths, known, source)
    spans: dict[str, list[tuple[Span, str]]] = defaultdict(list)
    for moment in moments:
        row = rows[library_paths[moment.path] or ""]
        spans[row["video_id"]].append((Span(moment.start_s, _end_s(moment, row, source)), moment.tag))
    return spans


def _check_known(moments: Sequence[LabeledMoment], library_paths: dict[str, str | None], known: Paths, source: Path) -> None:
    """Refuse moments of videos that the library does not have."""
    unknown = {moment.path: moment.line for moment in reversed(moments) if library_paths[moment.path] is None}
    if unknown:
        line, path = min((line, path) for path, line in unknown.items())
        raise FileLine("examples", source, line).error(
            f"the library has no video {path_text(path)!r} (unknown videos in all: "
            f"{len(unknown)}); {known.instead(path)}; paths are taken from the file's own folder: correct it, or ingest the "
            "video first"
        )


def _end_s(moment: LabeledMoment, row: dict[str, object], source: Path) -> float:
    """The end of a moment, within its video."""
    where = FileLine("examples", source, moment.line)
    duration_s = row["duration_s"]
    if row["status"] == "failed" or not isinstance(duration_s, float):
        raise where.error(f"{row['path']!r} could not be indexed ({row['error']}), so it has no clips; take the line out")
    if max(moment.start_s, (moment.end_s or 0.0) - _MAX_OVERSHOOT_S) >= duration_s:
        until = "" if moment.end_s is None else f" to {moment.end_s:g}"
        raise where.error(
            f"the moment is at {moment.start_s:g}{until} s, expected within the video, which ends at "
            f"{duration_s:g} s; correct its times"
        )
    return min(moment.end_s or duration_s, duration_s)
