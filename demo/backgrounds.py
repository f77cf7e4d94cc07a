"""Backgrounds: five places, painted with simple shapes that vary at random."""

from __future__ import annotations

import random
from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
Colour = tuple[float, float, float]

FLOOR = 0.70
"""The height of the floor's far edge, in picture heights from the top."""


def paint_background(name: str, width: int, height: int, rng: random.Random) -> Picture:
    """Paint the place called ``name``: uint8 [height, width, 3], RGB."""
    canvas = _Canvas(width, height, rng)
    _PLACES[name](canvas)
    return canvas.picture


class _Canvas:
    """A picture to paint on. Coordinates are in picture heights; x is 0 in the middle."""

    def __init__(self, width: int, height: int, rng: random.Random) -> None:
        self.picture: Picture = np.zeros((height, width, 3), np.uint8)
        self.rng = rng
        self.half = width / height / 2
        self._tint = [rng.uniform(-10, 10) for _ in range(3)]

    def tone(self, red: float, green: float, blue: float, jitter: float = 6) -> Colour:
        shift = self.rng.uniform(-jitter, jitter)
        r, g, b = (min(max(c + t + shift, 0), 255) for c, t in zip((red, green, blue), self._tint, strict=True))
        return r, g, b

    def box(self, left: float, top: float, right: float, bottom: float, colour: Colour) -> None:
        cv2.rectangle(self.picture, self._at(left, top), self._at(right, bottom), colour, -1)

    def blob(self, x: float, y: float, wide: float, high: float, colour: Colour) -> None:
        scale = self.picture.shape[0]
        cv2.ellipse(self.picture, self._at(x, y), (int(wide * scale), int(high * scale)), 0, 0, 360, colour, -1, cv2.LINE_AA)

    def shape(self, points: list[tuple[float, float]], colour: Colour) -> None:
        cv2.fillConvexPoly(self.picture, np.array([self._at(x, y) for x, y in points], np.int32), colour, cv2.LINE_AA)

    def stroke(self, x0: float, y0: float, x1: float, y1: float, thick: float, colour: Colour) -> None:
        width = max(int(thick * self.picture.shape[0]), 1)
        cv2.line(self.picture, self._at(x0, y0), self._at(x1, y1), colour, width, cv2.LINE_AA)

    def across(self, step: float, jitter: float = 0.0) -> list[float]:
        """X coordinates over the whole width, about ``step`` apart."""
        start = -self.half - self.rng.uniform(0, step)
        count = int((2 * self.half + 2 * step) / step)
        return [start + index * step + self.rng.uniform(-jitter, jitter) for index in range(count)]

    def _at(self, x: float, y: float) -> tuple[int, int]:
        height = self.picture.shape[0]
        return int((x + self.half) * height), int(y * height)


def _kitchen(on: _Canvas) -> None:
    # Cream tiles, brown cupboards in two rows, a dark and light chequered floor.
    rng, edge = on.rng, on.half
    on.box(-edge, 0, edge, FLOOR, on.tone(226, 205, 170))
    grout = on.tone(205, 182, 148)
    for y in range(8):
        on.stroke(-edge, 0.09 * y, edge, 0.09 * y, 0.004, grout)
    for x in on.across(0.12):
        on.stroke(x, 0, x, FLOOR, 0.004, grout)
    wood, dark = on.tone(142, 92, 58), on.tone(98, 62, 40)
    for x in on.across(0.3):
        on.box(x, 0, x + 0.28, 0.2, wood)
        on.box(x, 0.47, x + 0.28, FLOOR, wood)
        on.blob(x + 0.24, 0.15, 0.012, 0.012, dark)
        on.blob(x + 0.24, 0.53, 0.012, 0.012, dark)
    on.box(-edge, 0.44, edge, 0.475, dark)
    x = rng.choice((-1, 1)) * rng.uniform(0.35, 0.55)
    on.box(x - 0.15, 0.08, x + 0.15, FLOOR + 0.02, on.tone(176, 180, 182))
    on.stroke(x - 0.15, 0.3, x + 0.15, 0.3, 0.01, on.tone(110, 112, 116))
    on.box(-edge, FLOOR, edge, 1, on.tone(196, 182, 164))
    tile = on.tone(120, 104, 92)
    for row in range(3):
        for index, x in enumerate(on.across(0.14)):
            if (index + row) % 2:
                on.box(x, FLOOR + 0.1 * row, x + 0.14, FLOOR + 0.1 * (row + 1), tile)


def _beach(on: _Canvas) -> None:
    # Pale sky, turquoise sea, sand; a palm or a parasol at a side.
    rng, edge = on.rng, on.half
    for row in range(8):
        on.box(-edge, 0.055 * row, edge, 0.055 * (row + 1), on.tone(158 + 8 * row, 208 + 4 * row, 228 + row, 0))
    for _ in range(3):
        on.blob(rng.uniform(-edge, edge), rng.uniform(0.05, 0.25), rng.uniform(0.1, 0.2), 0.035, on.tone(226, 234, 236))
    on.box(-edge, 0.42, edge, 0.58, on.tone(62, 158, 168))
    for _ in range(8):
        x, y = rng.uniform(-edge, edge), rng.uniform(0.44, 0.56)
        on.stroke(x, y, x + rng.uniform(0.05, 0.2), y, 0.006, on.tone(150, 208, 208))
    on.box(-edge, 0.57, edge, 1, on.tone(222, 194, 142))
    on.box(-edge, 0.565, edge, 0.585, on.tone(236, 226, 200))
    for _ in range(10):
        on.blob(rng.uniform(-edge, edge), rng.uniform(0.62, 0.98), 0.05, 0.006, on.tone(200, 170, 120))
    x, lean = rng.choice((-1, 1)) * rng.uniform(0.5, 0.62), rng.uniform(-0.08, 0.08)
    on.stroke(x, 0.72, x + lean, 0.22, 0.03, on.tone(122, 88, 58))
    for dx, dy in ((-0.2, 0.06), (0.2, 0.06), (-0.15, -0.08), (0.15, -0.08), (0, 0.14)):
        on.stroke(x + lean, 0.22, x + lean + dx, 0.22 + dy, 0.03, on.tone(72, 104, 52))


def _forest(on: _Canvas) -> None:
    # Dim olive depth, dark trunks, leaves above, brown ground.
    rng, edge = on.rng, on.half
    on.box(-edge, 0, edge, FLOOR, on.tone(62, 82, 56))
    for _ in range(16):
        on.blob(rng.uniform(-edge, edge), rng.uniform(0.3, 0.68), 0.12, 0.1, on.tone(70, 92, 60, 12))
    for x in on.across(0.2, 0.05):
        thick, bark = rng.uniform(0.03, 0.075), on.tone(66, 48, 34, 12)
        on.stroke(x, 0, x, FLOOR + rng.uniform(0.0, 0.06), thick, bark)
    on.box(-edge, FLOOR, edge, 1, on.tone(92, 74, 48))
    for _ in range(22):
        on.blob(rng.uniform(-edge, edge), rng.uniform(0.0, 0.13), 0.11, 0.07, on.tone(44, 66, 38, 12))
    for _ in range(16):
        on.blob(rng.uniform(-edge, edge), rng.uniform(FLOOR - 0.02, 0.97), 0.06, 0.012, on.tone(72, 78, 42, 12))


def _street(on: _Canvas) -> None:
    # House fronts with windows, a pavement, asphalt with a dashed line.
    rng, edge = on.rng, on.half
    on.box(-edge, 0, edge, 0.6, on.tone(168, 178, 190))
    for x in on.across(0.42):
        top, wall = (
            rng.uniform(0.0, 0.16),
            on.tone(*rng.choice(((128, 82, 72), (112, 100, 96), (146, 110, 90), (98, 88, 96)))),
        )
        on.box(x, top, x + 0.41, 0.6, wall)
        pane = on.tone(*rng.choice(((58, 66, 82), (196, 184, 140))))
        for column in range(3):
            for row in range(3):
                left, upper = x + 0.05 + 0.125 * column, top + 0.05 + 0.15 * row
                if upper < 0.48:
                    on.box(left, upper, left + 0.075, upper + 0.09, pane)
    on.box(-edge, 0.59, edge, 0.68, on.tone(158, 156, 154))
    on.box(-edge, 0.68, edge, 1, on.tone(78, 80, 86))
    for x in on.across(0.34):
        on.box(x, 0.78, x + 0.18, 0.8, on.tone(196, 196, 190))
    x = rng.choice((-1, 1)) * rng.uniform(0.45, 0.6)
    on.stroke(x, 0.1, x, 0.66, 0.018, on.tone(44, 46, 50))
    on.blob(x, 0.1, 0.045, 0.035, on.tone(226, 216, 176))


def _gym(on: _Canvas) -> None:
    # Pale rose wall with a dark stripe and wall bars, shiny orange boards with court lines.
    rng, edge = on.rng, on.half
    on.box(-edge, 0, edge, FLOOR, on.tone(196, 168, 172))
    on.box(-edge, 0, edge, 0.1, on.tone(84, 74, 92))
    on.box(-edge, 0.54, edge, FLOOR, on.tone(110, 96, 112))
    middle = rng.uniform(-0.25, 0.25)
    for x in (middle - 0.6, middle + 0.6, middle):
        for rung in range(8):
            on.stroke(x - 0.13, 0.15 + 0.065 * rung, x + 0.13, 0.15 + 0.065 * rung, 0.014, on.tone(150, 104, 62))
        for side in (-0.13, 0.13):
            on.stroke(x + side, 0.12, x + side, 0.66, 0.02, on.tone(122, 82, 48))
    on.box(-edge, FLOOR, edge, 1, on.tone(206, 136, 74))
    for y in (0.76, 0.84, 0.93):
        on.stroke(-edge, y, edge, y, 0.004, on.tone(180, 112, 58))
    x = rng.uniform(-0.3, 0.3)
    on.stroke(x, FLOOR, x * 1.6, 1, 0.014, on.tone(232, 222, 206))
    on.stroke(-edge, 0.74, edge, 0.74, 0.012, on.tone(60, 62, 90))


_PLACES: dict[str, Callable[[_Canvas], None]] = {
    "kitchen": _kitchen,
    "beach": _beach,
    "forest": _forest,
    "street": _street,
    "gym": _gym,
}
