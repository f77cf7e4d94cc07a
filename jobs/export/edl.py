"""Moments as lists that other programs read: WebVTT chapters for players, edit decision lists for editing programs."""

from __future__ import annotations

import os
import re
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from schemas.records import Span, path_text

# CMX 3600 numbers events with three digits, its times end with the day and count frames with two digits, its lines have 80
# columns, and end as those of DOS. What editing programs count in:
_RATES = (24, 25, 30, 50, 60)
_OTHERWISE = 30
_MAX_EVENTS = 999
_MAX_HOURS = 24
_COLUMNS = 80
_REEL_LENGTH = 8
_RECORD_START_H = 1
_COMMENT = "* COMMENT: "

NO_TIMECODE = f"not in the edit decision list, whose timecodes end at {_MAX_HOURS} hours; cut it as a file"
"""Why a moment is in none."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A moment in a list.

    Attributes:
        path: of its video.
        moment: what was found.
        padded: the same with what is to be shown before and after it.
        fps: the video's mean frame rate.
        sound: whether the video has any.
        text: what is said of the moment, in one line.
    """

    path: str
    moment: Span
    padded: Span
    fps: float
    sound: bool
    text: str


def has_no_timecode(one: Listed) -> bool:
    """Whether a moment is in no edit decision list: it ends after a day, or does not fit into one."""
    begin, end = _frames(one)
    hour = 3600 * _rate(one)
    return end >= _MAX_HOURS * hour or end - begin >= (_MAX_HOURS - _RECORD_START_H) * hour


def edit_lists(listed: Sequence[Listed], title: str) -> Iterator[tuple[str, str]]:
    """Name and text of CMX 3600 edit decision lists that show all moments one after the other.

    A list has one frame rate, so there is one for each rate that editing programs have, and another wherever one is full.
    Timecodes are non-drop and count the source's frames from 00:00:00:00; what they make starts at 01:00:00:00. Moments that
    no timecode reaches (`has_no_timecode`) are in none.
    """
    rates: dict[int, list[Listed]] = {}
    for one in listed:
        if has_no_timecode(one):
            continue
        rates.setdefault(_rate(one), []).append(one)
    for rate, of_rate in rates.items():
        parts = list(_parts(of_rate, rate))
        for number, part in enumerate(parts, start=1):
            name = title + (f"-{rate}fps" if len(rates) > 1 else "") + (f"-{number}" if len(parts) > 1 else "")
            yield f"{name}.edl", _edit_list(part, rate, name)


def one_line(text: str) -> str:
    """The text without line breaks and control characters, which would end a line of a list."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _parts(listed: Sequence[Listed], rate: int) -> Iterator[list[Listed]]:
    part: list[Listed] = []
    frames = 0
    for one in listed:
        length = _frames(one)[1] - _frames(one)[0]
        if part and (len(part) == _MAX_EVENTS or frames + length >= (_MAX_HOURS - _RECORD_START_H) * 3600 * rate):
            yield part
            part, frames = [], 0
        part.append(one)
        frames += length
    yield part


def _edit_list(listed: Sequence[Listed], rate: int, title: str) -> str:
    lines = [f"TITLE: {title}", "FCM: NON-DROP FRAME", ""]
    reels = reel_names([one.path for one in listed])
    record = _RECORD_START_H * 3600 * rate
    for number, one in enumerate(listed, start=1):
        begin, end = _frames(one)
        times = " ".join(timecode(frame, rate) for frame in (begin, end, record, record + end - begin))
        tracks = "AA/V" if one.sound else "V"
        lines.append(f"{number:03d}  {reels[one.path]:<{_REEL_LENGTH}} {tracks:<5} C        {times}")
        lines.append(f"* FROM CLIP NAME: {one_line(path_text(os.path.basename(one.path)))}")
        lines.append(f"* SOURCE FILE: {one_line(path_text(one.path))}")
        lines += [f"{_COMMENT}{text}" for text in textwrap.wrap(one.text, _COLUMNS - len(_COMMENT))]
        record += end - begin
    return "\r\n".join(lines) + "\r\n"


def reel_names(paths: Sequence[str]) -> dict[str, str]:
    """A reel name for each video: up to eight of A-Z and 0-9, no two alike."""
    names: dict[str, str] = {}
    taken = {"AX", "BL"}  # which mean an unnamed reel, and black
    for path in dict.fromkeys(paths):
        stem = os.path.splitext(os.path.basename(path))[0]
        wanted = name = re.sub(r"[^A-Z0-9]", "", stem.upper())[:_REEL_LENGTH] or "REEL"
        number = 1
        while name in taken:
            number += 1
            name = f"{wanted[: _REEL_LENGTH - len(str(number))]}{number}"
        names[path] = name
        taken.add(name)
    return names


def timecode(frame: int, rate: int) -> str:
    """Non-drop timecode of a frame within a day: 100 at 25 a second is 00:00:04:00."""
    seconds, frames = divmod(frame, rate)
    assert seconds < _MAX_HOURS * 3600
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}:{frames:02d}"


def _rate(one: Listed) -> int:
    """The rate that moments are counted in: the first that is a multiple of the video's, or the last that is a part."""
    rate = max(1, round(one.fps))
    multiples = [known for known in _RATES if known % rate == 0]
    parts = [known for known in reversed(_RATES) if rate % known == 0]
    return (*multiples, *parts, _OTHERWISE)[0]


def _frames(one: Listed) -> tuple[int, int]:
    """First frame and the one after the last; at least one.

    A frame is what editing programs take for one: at 30 a second, or at 29.97, whichever is nearer to the video's mean rate.
    """
    rate = _rate(one)
    per_own = rate / max(1, round(one.fps))
    fps = min((rate, rate * 1000 / 1001), key=lambda fps: abs(fps - one.fps * per_own))
    begin = round(one.padded.start_s * fps)
    return begin, max(begin + 1, round(one.padded.end_s * fps))
