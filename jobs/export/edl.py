"""Edit decision lists in the format CMX 3600, which editing programs read."""

from __future__ import annotations

import os
import re
import textwrap
from collections.abc import Iterator, Sequence

from jobs.export.list_entry import ListEntry, one_line
from schemas.records import path_text

# CMX 3600 numbers events with three digits; its timecodes end with the day and count frames with two digits; its lines have
# 80 columns and end with CR LF.
_RATES = (24, 25, 30, 50, 60)  # frame rates of editing programs
_DEFAULT_RATE = 30
_MAX_EVENTS = 999
_MAX_HOURS = 24
_COLUMNS = 80
_REEL_LENGTH = 8
_RECORD_START_H = 1
_COMMENT = "* COMMENT: "

NO_TIMECODE = f"not in the edit decision list, whose timecodes end at {_MAX_HOURS} hours; cut it as a file"
"""Why a moment is in no list."""


def has_no_timecode(entry: ListEntry) -> bool:
    """Whether no timecode reaches a moment: it ends after a day, or is too long for a list of a day."""
    begin, end = _frames(entry)
    hour = 3600 * _rate(entry)
    return end >= _MAX_HOURS * hour or end - begin >= (_MAX_HOURS - _RECORD_START_H) * hour


def edit_lists(entries: Sequence[ListEntry], title: str) -> Iterator[tuple[str, str]]:
    """Name and text of CMX 3600 edit decision lists that show all moments one after the other.

    A list has one frame rate, so there is one for each rate that editing programs have, and another wherever one is full.
    Timecodes are non-drop. Those of the source count its frames from 00:00:00:00, those of the edit start at 01:00:00:00.
    Moments that no timecode reaches (`has_no_timecode`) are left out.

    Args:
        entries: the moments.
        title: the beginning of the lists' names.
    """
    rates: dict[int, list[ListEntry]] = {}
    for entry in entries:
        if has_no_timecode(entry):
            continue
        rates.setdefault(_rate(entry), []).append(entry)
    for rate, of_rate in rates.items():
        parts = list(_parts(of_rate, rate))
        for number, part in enumerate(parts, start=1):
            name = title + (f"-{rate}fps" if len(rates) > 1 else "") + (f"-{number}" if len(parts) > 1 else "")
            yield f"{name}.edl", _edit_list(part, rate, name)


def _parts(entries: Sequence[ListEntry], rate: int) -> Iterator[list[ListEntry]]:
    """The entries in parts that fit into a list each."""
    part: list[ListEntry] = []
    frames = 0
    for entry in entries:
        begin, end = _frames(entry)
        length = end - begin
        if part and (len(part) == _MAX_EVENTS or frames + length >= (_MAX_HOURS - _RECORD_START_H) * 3600 * rate):
            yield part
            part, frames = [], 0
        part.append(entry)
        frames += length
    yield part


def _edit_list(entries: Sequence[ListEntry], rate: int, title: str) -> str:
    lines = [f"TITLE: {title}", "FCM: NON-DROP FRAME", ""]
    reels = reel_names([entry.path for entry in entries])
    record = _RECORD_START_H * 3600 * rate
    for number, entry in enumerate(entries, start=1):
        begin, end = _frames(entry)
        times = " ".join(timecode(frame, rate) for frame in (begin, end, record, record + end - begin))
        tracks = "AA/V" if entry.sound else "V"
        lines.append(f"{number:03d}  {reels[entry.path]:<{_REEL_LENGTH}} {tracks:<5} C        {times}")
        lines.append(f"* FROM CLIP NAME: {one_line(path_text(os.path.basename(entry.path)))}")
        lines.append(f"* SOURCE FILE: {one_line(path_text(entry.path))}")
        lines += [f"{_COMMENT}{text}" for text in textwrap.wrap(entry.text, _COLUMNS - len(_COMMENT))]
        record += end - begin
    return "\r\n".join(lines) + "\r\n"


def reel_names(paths: Sequence[str]) -> dict[str, str]:
    """A reel name for each video: up to eight of A-Z and 0-9, no two alike."""
    names: dict[str, str] = {}
    taken = {"AX", "BL"}  # which mean an unnamed reel, and black
    for path in dict.fromkeys(paths):
        stem = os.path.splitext(os.path.basename(path))[0]
        base = name = re.sub(r"[^A-Z0-9]", "", stem.upper())[:_REEL_LENGTH] or "REEL"
        number = 1
        while name in taken:
            number += 1
            name = f"{base[: _REEL_LENGTH - len(str(number))]}{number}"
        names[path] = name
        taken.add(name)
    return names


def timecode(frame: int, rate: int) -> str:
    """Non-drop timecode of a frame within a day: 100 at 25 a second is 00:00:04:00."""
    seconds, frames = divmod(frame, rate)
    assert seconds < _MAX_HOURS * 3600
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}:{frames:02d}"


def _rate(entry: ListEntry) -> int:
    """The rate that a moment's frames are counted in: the first multiple of the video's rate, or its largest divisor."""
    rate = max(1, round(entry.fps))
    multiples = [known for known in _RATES if known % rate == 0]
    divisors = [known for known in reversed(_RATES) if rate % known == 0]
    return (*multiples, *divisors, _DEFAULT_RATE)[0]


def _frames(entry: ListEntry) -> tuple[int, int]:
    """First frame of a moment and the one after its last; at least one frame.

    Frames are counted as editing programs do: at 30 a second, or at 29.97, whichever is nearer to the video's mean rate.
    """
    rate = _rate(entry)
    counted_per_frame = rate / max(1, round(entry.fps))
    fps = min((rate, rate * 1000 / 1001), key=lambda fps: abs(fps - entry.fps * counted_per_frame))
    begin = round(entry.padded.start_s * fps)
    return begin, max(begin + 1, round(entry.padded.end_s * fps))
