"""An entry of the lists that an export writes: chapters and edit decision lists."""

from __future__ import annotations

from dataclasses import dataclass

from schemas.records import Span


@dataclass(frozen=True, slots=True)
class ListEntry:
    """A moment in a list.

    Attributes:
        path: of its video.
        moment: the moment itself.
        padded: the moment with the seconds to show before and after it.
        fps: the video's mean frame rate.
        sound: whether the video has any.
        text: a description of the moment, on one line.
    """

    path: str
    moment: Span
    padded: Span
    fps: float
    sound: bool
    text: str


def one_line(text: str) -> str:
    """The text without line breaks and control characters, which would end a line of a list."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
