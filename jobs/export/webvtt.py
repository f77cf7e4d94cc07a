"""Chapters as WebVTT."""

from __future__ import annotations

from collections.abc import Sequence

from jobs.export.edl import Listed, one_line
from schemas.records import path_text


def chapters(listed: Sequence[Listed]) -> str:
    """WebVTT chapters of one video (W3C, "WebVTT: The Web Video Text Tracks Format"): a cue a moment, in order of time.

    Chapters lie beside each other or within each other: one that goes on into the next ends where that begins.
    A note says which video it is.
    """
    blocks = ["WEBVTT", f"NOTE Moments of {_escaped(one_line(path_text(listed[0].path)))}"]
    for number, (begin, end, one) in enumerate(_nested(listed), start=1):
        blocks.append(f"{number}\n{_clock(begin)} --> {_clock(end)}\n{_escaped(one.text)}")
    return "\n\n".join(blocks) + "\n"


def _nested(listed: Sequence[Listed]) -> list[tuple[int, int, Listed]]:
    """Begin and end of each moment in milliseconds, so that none begins within another and ends after it."""
    times = [(round(one.moment.start_s * 1000), round(one.moment.end_s * 1000), one) for one in listed]
    cues = sorted(((begin, max(begin + 1, end), one) for begin, end, one in times), key=lambda cue: (cue[0], -cue[1]))
    ends = [end for _, end, _ in cues]
    going_on: list[int] = []
    for number, (begin, end, _) in enumerate(cues):
        for earlier in going_on:
            if begin < ends[earlier] < end:
                ends[earlier] = begin
        going_on = [*(earlier for earlier in going_on if ends[earlier] > begin), number]
    return [(begin, end, one) for (begin, _, one), end in zip(cues, ends, strict=True)]


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _clock(milliseconds: int) -> str:
    return f"{milliseconds // 3_600_000:02d}:{milliseconds // 60_000 % 60:02d}:{milliseconds // 1000 % 60:02d}." + (
        f"{milliseconds % 1000:03d}"
    )
