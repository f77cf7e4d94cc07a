"""Marked moments: a CSV file of what somebody saw and when, matched with the clips that a library has of them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from jobs.csv_rows import interval, read_rows
from pipeline.sources import absolute_path
from pipeline.sources.paths import Paths, on_disk
from schemas.errors import UsageError
from schemas.records import path_text

_COLUMNS = ("path", "start_s", "end_s", "tag")

# How far beyond a video's end a moment may reach: hands are not so exact, and players round.
_SLACK_S = 0.5


@dataclass(frozen=True, slots=True)
class LabeledMoment:
    """A line of the file.

    Attributes:
        line: where it is.
        path: the video's, absolute.
        start_s: where the moment begins.
        end_s: where it ends; None is the video's end.
        tag: what is seen there.
    """

    line: int
    path: str
    start_s: float
    end_s: float | None
    tag: str


@dataclass(frozen=True, slots=True, eq=False)
class Matched:
    """Clips that show marked moments.

    Attributes:
        clip_ids: int64 [n].
        groups: int64 [n]: clips of one moment, and of moments that overlap, have one number.
        shows: for each tag, bool [n]: whether the clip shows it.
        touched: ids of clips that any marked moment reaches into, however little.
    """

    clip_ids: NDArray[np.int64]
    groups: NDArray[np.int64]
    shows: dict[str, NDArray[np.bool_]]
    touched: NDArray[np.int64]

    def groups_of(self, tag: str) -> NDArray[np.int64]:
        """The moments of a tag that clips show, those that overlap counted once."""
        return np.unique(self.groups[self.shows[tag]])


def read_examples(source: Path, name: str | None = None) -> list[LabeledMoment]:
    """Read a file with the columns path, start_s, end_s and tag.

    Args:
        source: a CSV file in UTF-8 with a header; paths are taken from its own folder. Times may be left out, which means
            the video's beginning and end.
        name: the tag of every line of a file without that column; in one with it, a tag that has to be there.

    Raises:
        UsageError: there is no such file, or something in it cannot be meant so.
    """
    folder = os.path.dirname(os.path.abspath(source))
    moments = [
        _moment(cells, line, folder, name, f"--examples {source}: line {line}")
        for line, cells in read_rows(source, "--examples", _columns)
    ]
    if not moments:
        raise UsageError(f"--examples {source}: got a header and no rows; give a row for every moment")
    tags = sorted({moment.tag for moment in moments})
    if not all(tags):
        line = next(moment.line for moment in moments if not moment.tag)
        raise UsageError(
            f"--examples {source}: line {line}: no tag, expected one in every line; fill the column 'tag', "
            "or give NAME for a file without that column"
        )
    if name is not None and name not in tags:
        raise UsageError(
            f"--examples {source}: no line has the tag {name!r}, expected one of {', '.join(map(repr, tags))}; "
            "correct NAME, or leave it out to teach them all"
        )
    return moments


def _columns(header: Sequence[str], where: str) -> list[str]:
    names = [name.strip().lower() for name in header]
    for name, count in Counter(names).items():
        if name not in _COLUMNS:
            raise UsageError(f"{where}: got the column {name!r}, expected {', '.join(_COLUMNS)}; rename it, or take it out")
        if count > 1:
            raise UsageError(f"{where}: got the column {name!r} {count} times, expected once; take the others out")
    if "path" not in names:
        raise UsageError(f"{where}: got no column 'path', expected {', '.join(_COLUMNS)}; name the videos' column so")
    return names


def _moment(cells: dict[str, str], line: int, folder: str, name: str | None, where: str) -> LabeledMoment:
    if not cells["path"]:
        raise UsageError(f"{where}: the path is empty; name a video, or take the line out")
    start_s, end_s = interval(cells, where)
    tag = cells.get("tag", name or "")
    if not tag.isprintable():
        raise UsageError(f"{where}: tag is {tag!r}, expected a text on one line; correct it")
    return LabeledMoment(line, on_disk(absolute_path(cells["path"], folder)), start_s or 0.0, end_s, tag)


def match(moments: Sequence[LabeledMoment], videos: pa.Table, clips: pa.Table, source: Path) -> Matched:
    """Find the clips that show the moments: those that overlap one by at least half of the shorter of the two.

    Args:
        moments: what was marked; the same moment marked twice counts once.
        videos: ``path``, ``video_id``, ``duration_s``, ``status`` and ``error`` of the library's videos.
        clips: ``clip_id``, ``video_id``, ``start_s`` and ``end_s`` of its clips.
        source: the file, for messages.

    Raises:
        UsageError: a moment is in no video of the library, or beyond its end.
    """
    rows = {row["path"]: row for row in videos.to_pylist()}
    paths_known = Paths(rows)
    places = {moment.path: paths_known.find(moment.path) for moment in moments}
    _check_known(moments, places, paths_known, source)
    by_video: dict[str, list[tuple[float, float, LabeledMoment]]] = {}
    for moment in moments:
        row = rows[places[moment.path] or ""]
        end_s = _end(moment, row, source)
        by_video.setdefault(row["video_id"], []).append((moment.start_s, end_s, moment))
    owners = clips["video_id"].combine_chunks()
    group = 0
    found: dict[int, tuple[int, set[str]]] = {}
    touched: list[int] = []
    paths = {str(row["video_id"]): str(path) for path, row in rows.items()}
    for video_id in sorted(by_video, key=lambda video_id: paths[video_id]):  # groups have the same numbers anywhere
        here = clips.filter(pa.compute.equal(owners, video_id))
        ids, starts_s, ends_s = (here[name].to_numpy() for name in ("clip_id", "start_s", "end_s"))
        most = np.zeros(len(ids))  # of each clip, its share in the moment that decides its group
        reached_s = -1.0
        for start_s, end_s, moment in sorted(by_video[video_id], key=lambda one: one[:2]):
            group += start_s >= reached_s
            reached_s = max(reached_s, end_s)
            shared_s = np.minimum(ends_s, end_s) - np.maximum(starts_s, start_s)
            share = shared_s / np.minimum(ends_s - starts_s, end_s - start_s)
            touched += ids[shared_s > 0].tolist()
            for place in np.flatnonzero(share >= 0.5).tolist():
                known = found.get(int(ids[place]), (group, set()))
                found[int(ids[place])] = (group if share[place] > most[place] else known[0], known[1] | {moment.tag})
                most[place] = max(most[place], share[place])
    clip_ids = sorted(found)
    return Matched(
        np.array(clip_ids, np.int64),
        np.array([found[i][0] for i in clip_ids], np.int64),
        {tag: np.array([tag in found[i][1] for i in clip_ids], bool) for tag in sorted({moment.tag for moment in moments})},
        np.unique(np.array(touched, np.int64)),
    )


def _check_known(moments: Sequence[LabeledMoment], places: dict[str, str | None], known: Paths, source: Path) -> None:
    unknown = {moment.path: moment.line for moment in reversed(moments) if places[moment.path] is None}
    if unknown:
        line, path = min((line, path) for path, line in unknown.items())
        raise UsageError(
            f"--examples {source}: line {line}: the library has no video {path_text(path)!r} (unknown videos in all: "
            f"{len(unknown)}); {known.instead(path)}; paths are taken from the file's own folder: correct it, or ingest the "
            "video first"
        )


def _end(moment: LabeledMoment, row: dict[str, object], source: Path) -> float:
    """Where a moment ends in its video."""
    where = f"--examples {source}: line {moment.line}"
    duration_s = row["duration_s"]
    if row["status"] == "failed" or not isinstance(duration_s, float):
        raise UsageError(
            f"{where}: {row['path']!r} could not be indexed ({row['error']}), so it has no clips; take the line out"
        )
    if max(moment.start_s, (moment.end_s or 0.0) - _SLACK_S) >= duration_s:
        until = "" if moment.end_s is None else f" to {moment.end_s:g}"
        raise UsageError(
            f"{where}: the moment is at {moment.start_s:g}{until} s, expected within the video, which ends at "
            f"{duration_s:g} s; correct its times"
        )
    return min(moment.end_s or duration_s, duration_s)
