"""Subtitles of a video in the format SubRip, which players and editors read."""

from __future__ import annotations

from collections.abc import Sequence

from jobs.export.list_entry import ListEntry


def subtitles(entries: Sequence[ListEntry]) -> str:
    """SubRip subtitles of one video: a cue a moment, in order of time, with what is said or shown there, or its label.

    The format has no standard; it is written as most programs do: numbers from 1, times with a comma, CRLF between lines.
    """
    cues = sorted((entry.moment.start_s, entry.moment.end_s, entry.text) for entry in entries)
    blocks = [
        f"{number}\r\n{_timestamp(start_s)} --> {_timestamp(end_s)}\r\n{text}\r\n"
        for number, (start_s, end_s, text) in enumerate(cues, start=1)
    ]
    return "\r\n".join(blocks)


def _timestamp(time_s: float) -> str:
    """A time as SubRip has it: 3661.5 is 01:01:01,500."""
    milliseconds = round(time_s * 1000)
    hours, minutes, seconds = milliseconds // 3_600_000, milliseconds // 60_000 % 60, milliseconds // 1000 % 60
    return f"{hours:02d}:{minutes:02d}:{seconds:02d},{milliseconds % 1000:03d}"
