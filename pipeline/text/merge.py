"""Makes one row of a line of text that is read in frame after frame."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from pipeline.text.reader import Reading
from pipeline.text.similarity import same_line
from schemas.channels import Box, ScreenText
from schemas.records import Span
from schemas.times import ROUNDING_S

# What is taken for text where there is none is read otherwise a moment later, and with less confidence than text mostly is:
# a line that was read in one frame alone needs this much.
_CONFIDENCE_OF_ONE = 0.8

# A line that moves: the most that its middle goes from one look to the next, in shares of the frame's width or height, and
# the most that its height changes. Credits that cross a screen in 3 s move by a third each second; at its edges half of a
# line's height may be cut off.
_MOST_MOVED = 0.4
_MOST_SCALED = 2.5


@dataclass(slots=True)
class _Line:
    """A line that is, or was a moment ago, on screen."""

    start_s: float
    end_s: float
    first_box: Box
    box: Box
    best: Reading
    frames: int = 1

    def row(self) -> ScreenText:
        """The row of the whole time."""
        return ScreenText(self.start_s, self.end_s, self.best.text, self.first_box, self.best.confidence)

    def see(self, span: Span, reading: Reading) -> None:
        """Go on with a reading."""
        self.end_s, self.box = span.end_s, reading.box
        self.frames += 1
        if reading.confidence > self.best.confidence:
            self.best = reading


def merged(frames: Iterable[tuple[Span, Sequence[Reading]]], *, step_s: float) -> Iterator[ScreenText]:
    """The rows of a video, by time.

    A reading goes on with the line that has the same text (`similarity.same_line`) and lies over it, or near it if it moves.
    The row lasts from the first span to the last that it was read in, and has the text that was read with the most
    confidence. One look in which it was not read does not end it. A line that was read in one frame alone, with little
    confidence, is none. Only the lines of the last looks are kept.

    Args:
        frames: the spans that frames stand for, ascending, and what was read in each.
        step_s: seconds from one look to the next.
    """
    lines: list[_Line] = []
    done: list[_Line] = []
    for span, readings in frames:
        oldest_s = span.start_s - step_s - ROUNDING_S
        done += [line for line in lines if line.end_s < oldest_s and _sure(line)]
        lines = [line for line in lines if line.end_s >= oldest_s]
        pairs = _pairs(lines, readings)
        for position, reading in enumerate(readings):
            line = pairs.get(position)
            if line is None:
                lines.append(_Line(span.start_s, span.end_s, reading.box, reading.box, reading))
            else:
                line.see(span, reading)
        # A row can be given once no line that began before it may still go on.
        done.sort(key=_by_start)
        first_s = min((line.start_s for line in lines), default=float("inf"))
        while done and done[0].start_s <= first_s:
            yield done.pop(0).row()
    for line in sorted(done + [line for line in lines if _sure(line)], key=_by_start):
        yield line.row()


def _sure(line: _Line) -> bool:
    return line.frames > 1 or line.best.confidence >= _CONFIDENCE_OF_ONE


def _by_start(line: _Line) -> tuple[float, float, float]:
    return line.start_s, line.first_box.top, line.first_box.left


def _pairs(lines: Sequence[_Line], readings: Sequence[Reading]) -> dict[int, _Line]:
    """The line that each reading goes on with, by the reading's position; the nearest go together first."""
    candidates = []
    for position, reading in enumerate(readings):
        for number, line in enumerate(lines):
            distance = _distance(line.box, reading.box)
            if distance <= _MOST_MOVED and same_line(line.best.text, reading.text):
                candidates.append((distance, number, position))
    pairs: dict[int, _Line] = {}
    taken: set[int] = set()
    for _, number, position in sorted(candidates):
        if number not in taken and position not in pairs:
            taken.add(number)
            pairs[position] = lines[number]
    return pairs


def _distance(one: Box, other: Box) -> float:
    """How far apart two boxes are: 0 to 1 less where they overlap, as much as they do; infinite if they differ in height.

    -1 is the same box; above 0 it is the larger of the shares of the frame's width and height between their middles.
    """
    smaller, larger = sorted((one.height, other.height))
    if larger > _MOST_SCALED * smaller:
        return float("inf")
    across = min(one.left + one.width, other.left + other.width) - max(one.left, other.left)
    down = min(one.top + one.height, other.top + other.height) - max(one.top, other.top)
    if across > 0 and down > 0:
        shared = across * down
        return -shared / (one.width * one.height + other.width * other.height - shared)
    return max(
        abs(one.left + one.width / 2 - other.left - other.width / 2),
        abs(one.top + one.height / 2 - other.top - other.height / 2),
    )
