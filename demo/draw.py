"""Draws figures and props into RGB pictures, with OpenCV."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import cv2
import numpy as np

from demo.backgrounds import Colour, Picture
from demo.figure import Joints
from demo.props import Prop

_BITS = 4  # fractional bits of coordinates
_ONE = 1 << _BITS  # a pixel
BALL_COLOURS: tuple[Colour, ...] = ((240, 120, 40), (240, 120, 170), (40, 190, 200))
BOX_COLOUR: Colour = (176, 128, 72)
CHAIR_COLOUR: Colour = (92, 66, 48)


class Place(NamedTuple):
    """Where a figure stands.

    Attributes:
        x: pixels from the left to the point on the floor under it.
        y: pixels from the top to that point.
        scale: pixels of a body height.
        mirrored: whether left and right are swapped.
    """

    x: float
    y: float
    scale: float
    mirrored: bool = False

    def pixels(self, point: complex) -> tuple[int, int]:
        """A point of the figure in sixteenths of a pixel, which OpenCV draws with."""
        across = -point.real if self.mirrored else point.real
        return round((self.x + across * self.scale) * _ONE), round((self.y - point.imag * self.scale) * _ONE)


class Clothes(NamedTuple):
    """A figure's colours and build; ``girth`` is 1 for a figure of usual thickness."""

    shirt: Colour
    trousers: Colour
    skin: Colour
    hair: Colour
    shoes: Colour
    girth: float = 1.0


def draw_figure(picture: Picture, figure: Joints, width: float, clothes: Clothes, place: Place) -> None:
    """Draw a figure with these joints; ``width`` is 1 seen from the front, less from the side."""
    girth = clothes.girth
    sole = 0.04j
    for side in (0, 1):
        shade = 0.85 if side == 0 else 1.0
        trousers = _shaded(clothes.trousers, shade)
        feet = figure.feet[side] + sole
        _path(picture, (figure.hips[side], figure.knees[side], feet), 0.115 * girth, trousers, place)
        _disc(picture, feet - 0.005j, 0.052, clothes.shoes, place)
    sides = figure.neck - figure.hip
    across = (figure.shoulders[1] - figure.shoulders[0]) * 0.36
    bottom = figure.hip - sides * 0.02
    corners = (figure.shoulders[0], figure.shoulders[1], bottom + across, bottom - across)
    points = np.array([place.pixels(corner) for corner in corners], np.int32)
    cv2.fillConvexPoly(picture, points, clothes.shirt, cv2.LINE_AA, _BITS)
    cv2.polylines(picture, [points], True, clothes.shirt, _thick(0.1 * girth, place), cv2.LINE_AA, _BITS)
    _path(picture, (figure.hip, figure.neck), (0.12 + 0.08 * width) * girth, clothes.shirt, place)
    _path(picture, (figure.neck, figure.head), 0.075, clothes.skin, place)
    up = (figure.head - figure.neck) / max(abs(figure.head - figure.neck), 1e-6)
    _disc(picture, figure.head + 0.02 * up, 0.105, clothes.hair, place)
    _disc(picture, figure.head - 0.012 * up, 0.09, clothes.skin, place)
    for aside in (-0.035j, 0.035j):
        _disc(picture, figure.head + up * aside, 0.012, (30, 26, 26), place)
    edge = _shaded(clothes.shirt, 0.72)
    for side in (0, 1):
        _path(picture, (figure.elbows[side], figure.hands[side]), 0.078 * girth, clothes.skin, place)
        _disc(picture, figure.hands[side], 0.052, clothes.skin, place)
        _path(picture, (figure.shoulders[side], figure.elbows[side]), 0.115 * girth, edge, place)
        _path(picture, (figure.shoulders[side], figure.elbows[side]), 0.092 * girth, clothes.shirt, place)


def draw_prop(picture: Picture, prop: Prop, place: Place) -> None:
    """Draw a prop."""
    if prop.kind == "ball":
        colour = BALL_COLOURS[prop.number % len(BALL_COLOURS)]
        _disc(picture, prop.at, prop.size + 0.008, _shaded(colour, 0.45), place)
        _disc(picture, prop.at, prop.size - 0.008, colour, place)
        _disc(picture, prop.at + prop.size * (-0.3 + 0.3j), prop.size * 0.25, (250, 236, 226), place)
    elif prop.kind == "box":
        _block(picture, prop.at, prop.size, prop.size, BOX_COLOUR, place)
        _path(picture, (prop.at - 0.9 * prop.size, prop.at + 0.9 * prop.size), 0.03, _shaded(BOX_COLOUR, 1.25), place)
    elif prop.kind == "chair":
        dark = _shaded(CHAIR_COLOUR, 0.75)
        for x in (-0.13, 0.13):
            _path(picture, (prop.at + x + 0.06j, prop.at + x - 0.1j), 0.04, dark, place)
        _block(picture, prop.at + 0.05j, 0.16, 0.035, CHAIR_COLOUR, place)
        _path(picture, (prop.at - 0.15 + 0.06j, prop.at - 0.19 + 0.48j), 0.05, CHAIR_COLOUR, place)
    elif prop.kind == "plant":
        for x in (-0.1, -0.04, 0.04, 0.1):
            _path(picture, (prop.at + 0.1j, prop.at + complex(x, 0.34 - abs(x))), 0.05, (84, 112, 70), place)
        _block(picture, prop.at + 0.06j, prop.size, prop.size, (150, 96, 72), place)
    elif prop.kind == "lamp":
        _path(picture, (prop.at, prop.at + 0.62j), 0.025, (60, 58, 58), place)
        _path(picture, (prop.at + 0.64j - 0.05, prop.at + 0.64j + 0.05), 0.12, (226, 206, 166), place)
    else:
        points = np.array([place.pixels(point) for point in prop.points], np.int32)
        cv2.polylines(picture, [points], False, (250, 150, 60), _thick(2 * prop.size, place), cv2.LINE_AA, _BITS)


def draw_shadow(picture: Picture, figure: Joints, colour: Colour, place: Place) -> None:
    """Draw a shadow on the floor under a figure, which shows when it is in the air."""
    xs = [point.real for point in (*figure.feet, figure.hip, figure.head)]
    centre = place.pixels(complex((min(xs) + max(xs)) / 2, 0.0))
    axes = (round(((max(xs) - min(xs)) / 2 + 0.12) * place.scale * _ONE), round(0.035 * place.scale * _ONE))
    cv2.ellipse(picture, centre, axes, 0, 0, 360, colour, -1, cv2.LINE_AA, _BITS)


def _path(picture: Picture, points: tuple[complex, ...], thick: float, colour: Colour, place: Place) -> None:
    """Lines with round ends through ``points``."""
    places = [place.pixels(point) for point in points]
    for start, end in pairwise(places):
        cv2.line(picture, start, end, colour, _thick(thick, place), cv2.LINE_AA, _BITS)


def _disc(picture: Picture, centre: complex, radius: float, colour: Colour, place: Place) -> None:
    cv2.circle(picture, place.pixels(centre), round(radius * place.scale * _ONE), colour, -1, cv2.LINE_AA, _BITS)


def _block(picture: Picture, centre: complex, wide: float, high: float, colour: Colour, place: Place) -> None:
    corners = [centre + complex(x * wide, y * high) for x, y in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
    points = np.array([place.pixels(corner) for corner in corners], np.int32)
    cv2.fillConvexPoly(picture, points, colour, cv2.LINE_AA, _BITS)
    cv2.polylines(picture, [points], True, _shaded(colour, 0.6), _thick(0.018, place), cv2.LINE_AA, _BITS)


def _thick(share: float, place: Place) -> int:
    return max(round(share * place.scale), 1)


def _shaded(colour: Colour, by: float) -> Colour:
    return min(colour[0] * by, 255.0), min(colour[1] * by, 255.0), min(colour[2] * by, 255.0)
