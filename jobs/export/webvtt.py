"""Chapters of a video in the format WebVTT, which players read."""

from __future__ import annotations

from collections.abc import Sequence

from jobs.export.list_entry import ListEntry, one_line
from schemas.records import path_text


def chapters(entries: Sequence[ListEntry]) -> str:
    """WebVTT chapters of one video (W3C, "WebVTT: The Web Video Text Tracks Format"): a cue a moment, in order of time.

    Chapters follow each other or lie within each other: one that would overlap the next ends where that begins. A note names
    the video.
    """
    blocks = ["WEBVTT", f"NOTE Moments of {_escaped(one_line(path_text(entries[0].path)))}"]
    for number, (begin, end, entry) in enumerate(_nested(entries), start=1):
        blocks.append(f"{number}\n{_timestamp(begin)} --> {_timestamp(end)}\n{_escaped(entry.text)}")
    return "\n\n".join(blocks) + "\n"


def _nested(entries: Sequence[ListEntry]) -> list[tuple[int, int, ListEntry]]:
    """Start and end of each moment in milliseconds, shortened so that none starts within another and ends after it."""
    times = [(round(entry.moment.start_s * 1000), round(entry.moment.end_s * 1000), entry) for entry in entries]
    cues = sorted(((begin, max(begin + 1, end), entry) for begin, end, entry in times), key=lambda cue: (cue[0], -cue[1]))
    ends = [end for _, end, _ in cues]
    going_on: list[int] = []
    for number, (begin, end, _) in enumerate(cues):
        for earlier in going_on:
            if begin < ends[earlier] < end:
                ends[earlier] = begin
        going_on = [*(earlier for earlier in going_on if ends[earlier] > begin), number]
    return [(begin, end, entry) for (begin, _, entry), end in zip(cues, ends, strict=True)]


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _timestamp(milliseconds: int) -> str:
    """A WebVTT timestamp: 3661500 is 01:01:01.500."""
    return f"{milliseconds // 3_600_000:02d}:{milliseconds // 60_000 % 60:02d}:{milliseconds // 1000 % 60:02d}." + (
        f"{milliseconds % 1000:03d}"
    )
