"""Lines through points (time in one video, time in another): which seconds of the one are which of the other.

Each line is found by consensus, as RANSAC does (Fischler and Bolles, CACM 1981): of the lines through two points, or through
one with its own speed, the one near which the most points lie is fitted to these by least squares.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from schemas.duplicates import FASTEST, SLOWEST

Times = NDArray[np.float64]

# Lines that are tried: through each of so many points of the most weight, and as many others.
_SEEDS, _PARTNERS = 24, 24


@dataclass(frozen=True, slots=True, eq=False)
class Points:
    """Places where two videos look alike.

    Attributes:
        time_s: float64 [n]: in the one.
        other_s: float64 [n]: in the other.
        speed: float64 [n]: how much faster the one plays, as far as it is known.
        weight: float64 [n]: how much each counts.
    """

    time_s: Times
    other_s: Times
    speed: Times
    weight: Times

    def __len__(self) -> int:
        return len(self.time_s)

    def at(self, chosen: NDArray[np.bool_] | NDArray[np.int64]) -> Points:
        """Some of the points."""
        return Points(self.time_s[chosen], self.other_s[chosen], self.speed[chosen], self.weight[chosen])


@dataclass(frozen=True, slots=True)
class Line:
    """``other = offset_s + speed * time``, for times from ``start_s`` to ``end_s``: of the first and last point near it.

    Attributes:
        weight: the sum of the points' weights, of each time once.
        points: the number of times.
    """

    speed: float
    offset_s: float
    start_s: float
    end_s: float
    weight: float
    points: int

    def at(self, time_s: float) -> float:
        """The time in the other video."""
        return self.offset_s + self.speed * time_s


def find_lines(points: Points, tolerance_s: float, max_gap_s: float, least_weight: float) -> list[Line]:
    """Lines, the one of most weight first; each time of the one video is on one of them at most.

    Args:
        points: in any order.
        tolerance_s: how far a point may lie from its line.
        max_gap_s: a line ends where no point is near it for longer.
        least_weight: lines of less are left out.
    """
    lines: list[Line] = []
    while len(points):
        line = _best_line(points, tolerance_s, max_gap_s)
        if line.weight < least_weight:
            break
        lines.append(line)
        other = sorted((line.at(line.start_s), line.at(line.end_s)))
        taken = (points.time_s >= line.start_s) & (points.time_s <= line.end_s)
        taken |= (points.other_s >= other[0] - 1e-6) & (points.other_s <= other[1] + 1e-6)
        points = points.at(~taken)
    return lines


def _best_line(points: Points, tolerance_s: float, max_gap_s: float) -> Line:
    speeds, offsets = _hypotheses(points)
    distances = np.abs(points.other_s - offsets[:, None] - speeds[:, None] * points.time_s)
    near = distances <= tolerance_s
    weights = (near * points.weight).sum(axis=1)
    best = int(np.argmax(weights))
    speed, offset_s = float(speeds[best]), float(offsets[best])
    chosen = _run(points, near[best], max_gap_s)
    for _ in range(3):
        speed, offset_s = _fitted(points.at(chosen), speed, tolerance_s)
        near_it = np.abs(points.other_s - offset_s - speed * points.time_s) <= tolerance_s
        if not near_it.any():
            break
        chosen = _run(points, near_it, max_gap_s)
    times, weight = _once(points.at(chosen))
    return Line(speed, offset_s, float(times[0]), float(times[-1]), weight, len(times))


def _hypotheses(points: Points) -> tuple[Times, Times]:
    """Speeds and offsets of the lines that are tried."""
    heaviest = np.argsort(-points.weight, kind="stable")[:_SEEDS]
    partners = np.unique(np.linspace(0, len(points) - 1, _PARTNERS).astype(np.int64))
    first, second = (of.ravel() for of in np.meshgrid(heaviest, np.concatenate([heaviest, partners]), indexing="ij"))
    apart = points.time_s[second] != points.time_s[first]
    first, second = first[apart], second[apart]
    slopes = (points.other_s[second] - points.other_s[first]) / (points.time_s[second] - points.time_s[first])
    possible = (slopes >= SLOWEST * 0.97) & (slopes <= FASTEST * 1.03)
    speeds = np.concatenate([np.ones(len(heaviest)), points.speed[heaviest], slopes[possible]])
    through = np.concatenate([heaviest, heaviest, first[possible]])
    return speeds, points.other_s[through] - speeds * points.time_s[through]


def _run(points: Points, near: NDArray[np.bool_], max_gap_s: float) -> NDArray[np.int64]:
    """Of points near a line, those of the heaviest run without a longer gap."""
    chosen = np.flatnonzero(near)
    chosen = chosen[np.argsort(points.time_s[chosen], kind="stable")]
    breaks = np.flatnonzero(np.diff(points.time_s[chosen]) > max_gap_s) + 1
    runs = np.split(chosen, breaks)
    return max(runs, key=lambda run: float(points.weight[run].sum()))


def _fitted(points: Points, speed: float, tolerance_s: float) -> tuple[float, float]:
    """The line by least squares; at its own speed where the points do not say, and at speed 1 where they allow it."""
    weight = points.weight / points.weight.sum()
    mean, other = float(weight @ points.time_s), float(weight @ points.other_s)
    spread = float(weight @ (points.time_s - mean) ** 2)
    if np.ptp(points.time_s) > 4 * tolerance_s:
        speed = float(weight @ ((points.time_s - mean) * (points.other_s - other))) / spread
        speed = min(max(speed, SLOWEST * 0.97), FASTEST * 1.03)
    if abs(speed - 1) * max(float(np.ptp(points.time_s)), 1.0) <= tolerance_s / 2:
        speed = 1.0
    return speed, other - speed * mean


def _once(points: Points) -> tuple[Times, float]:
    """The distinct times, ascending, and the sum of the greatest weight at each."""
    times, which = np.unique(points.time_s, return_inverse=True)
    greatest = np.zeros(len(times))
    np.maximum.at(greatest, which, points.weight)
    return times, float(greatest.sum())
