"""Reads the moments to export: the lines that ``vidsift search --json`` prints, a JSON object each."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobs.csv_rows import FileLine, read_whole
from pipeline.sources import absolute_path, exists
from pipeline.sources.paths import on_disk, path_of_text
from schemas.errors import UsageError
from schemas.records import Span

_HOW_TO_MAKE = "make the lines with: vidsift search TEXT --library DIR --json"


@dataclass(frozen=True, slots=True)
class RequestedMoment:
    """A moment to export, as its line says; whether the video has such a moment is not checked yet.

    Attributes:
        line: the line's number, from 1.
        path: absolute path of the video.
        span: the moment, in seconds.
        rank: of the search result; None where the line has none.
        score: likewise.
        label: likewise.
        track: number of the video track, from 1; None for the one that players take.
        text: what is said or can be read there; None where the line has none.
    """

    line: int
    path: str
    span: Span
    rank: int | None
    score: float | None
    label: str | None
    track: int | None = None
    text: str | None = None


def read_hits(source: str) -> tuple[RequestedMoment, ...]:
    """The moments of a file, or of standard input for ``-``. Other keys of the lines are passed over.

    Raises:
        UsageError: there is no such file, it has no lines, or a line is not one of ``vidsift search --json``.
    """
    name = "standard input" if source == "-" else source
    try:
        data = sys.stdin.buffer.read() if source == "-" else read_whole(Path(source))
    except OSError as exc:
        raise UsageError(f"{source!r} cannot be read: {exc.strerror}; {_HOW_TO_MAKE}", argument="hits") from exc
    moments = []
    for number, line in enumerate(data.split(b"\n"), start=1):
        if line.strip():
            moments.append(_moment(line, FileLine("hits", name, number)))
    if not moments:
        raise UsageError(f"got no line, expected one or more; {_HOW_TO_MAKE}", argument="hits", value=name)
    return tuple(moments)


def _moment(line: bytes, where: FileLine) -> RequestedMoment:
    try:
        fields = json.loads(line.decode("utf-8-sig"))
    except (ValueError, RecursionError) as exc:
        raise where.error(f"not JSON in UTF-8 ({exc}); {_HOW_TO_MAKE}") from exc
    if not isinstance(fields, dict):
        raise where.error(f"got {_short(fields)}, expected an object with path, start_s and end_s; {_HOW_TO_MAKE}")
    path = fields.get("path")
    if not isinstance(path, str) or not path or "\0" in path:
        raise where.error(f"path is {_short(path)}, expected the path of a video; {_HOW_TO_MAKE}")
    start_s, end_s = (_number(fields, key, where, needed=True) for key in ("start_s", "end_s"))
    assert start_s is not None
    assert end_s is not None
    if not 0 <= start_s < end_s:
        raise where.error(f"got start_s {start_s:g} and end_s {end_s:g}, expected 0 or more and more than that; correct it")
    rank, label = _number(fields, "rank", where), fields.get("label")
    if label is not None and not isinstance(label, str):
        raise where.error(f"label is {_short(label)}, expected text or null; {_HOW_TO_MAKE}")
    if rank is not None and (rank != int(rank) or rank < 1):
        raise where.error(f"rank is {rank:g}, expected a whole number from 1; {_HOW_TO_MAKE}")
    track = _number(fields, "track", where)
    if track is not None and (track != int(track) or track < 1):
        raise where.error(f"track is {track:g}, expected a whole number from 1; {_HOW_TO_MAKE}")
    score = _number(fields, "score", where)
    return RequestedMoment(
        line=where.line,
        path=_on_disk(path),
        span=Span(start_s, end_s),
        rank=None if rank is None else int(rank),
        score=score,
        label=label,
        track=None if track is None else int(track),
        text=_text(fields, where),
    )


def _text(fields: dict[str, Any], where: FileLine) -> str | None:
    """``text`` of a row of speech or screen text, or the texts of a search result's ``reasons``."""
    reasons = fields.get("reasons") or []
    if not isinstance(reasons, list) or not all(isinstance(reason, dict) for reason in reasons):
        raise where.error(f"reasons is {_short(reasons)}, expected a list of objects; {_HOW_TO_MAKE}")
    texts = [fields.get("text"), *(reason.get("text") for reason in reasons)]
    if odd := [text for text in texts if text is not None and not isinstance(text, str)]:
        raise where.error(f"text is {_short(odd[0])}, expected text or null; {_HOW_TO_MAKE}")
    return " / ".join(dict.fromkeys(text for text in texts if text)) or None


def _number(fields: dict[str, Any], key: str, where: FileLine, *, needed: bool = False) -> float | None:
    """A finite number; None for a key that is missing or null and not needed."""
    value = fields.get(key)
    if value is None and not needed:
        return None
    try:
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            return float(value)
    except OverflowError:  # a whole number beyond all floats
        pass
    raise where.error(f"{key} is {_short(value)}, expected a number; {_HOW_TO_MAKE}")


def _on_disk(path: str) -> str:
    r"""The path as the system knows it: libraries spell bytes that are not UTF-8 as ``\xNN``."""
    path = on_disk(absolute_path(path))
    raw = path_of_text(path)
    return raw if raw != path and not exists(path) and exists(raw) else path


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:59]}…"
