"""A shot: one scene with its figures, its light, and the camera's movement and noise."""

from __future__ import annotations

import math
import random

import cv2
import numpy as np
from numpy.typing import NDArray

from demo.actions import Style, draw_style, pose
from demo.backgrounds import Colour, Picture, paint_background
from demo.draw import Clothes, Place, draw_figure, draw_prop, draw_shadow
from demo.figure import STANDING, Pose, blend, joints
from demo.props import Prop, props
from demo.world import SHIRTS, Scene

_MARGIN = 0.12
"""Background beyond each edge of the picture, for the camera to move over, in picture heights."""

_RESTING_S = 0.35
"""Seconds in which a figure comes to rest after an action that does not end at rest."""

_ENDS_HELD = ("sitting down", "standing up", "raising an arm", "lowering an arm", "falling down", "picking up a box")
_SMALLER = {"cartwheeling": 0.8, "falling down": 0.92, "juggling": 0.94, "jumping": 0.93, "doing star jumps": 0.92}
_SIDELESS = ("walking to the left", "walking to the right")
_TROUSERS = ((52, 50, 56), (96, 84, 74), (120, 116, 112), (74, 58, 46), (64, 70, 78))
_SKINS = ((244, 208, 178), (224, 176, 138), (176, 122, 84), (120, 80, 56), (238, 190, 158))
_HAIRS = ((38, 30, 28), (84, 54, 34), (128, 92, 56), (70, 66, 66))
_DECORATIONS = (Prop("plant", 0j, 0.07), Prop("lamp", 0j, 0.07))


class Shot:
    """A scene in one place, seen without a cut.

    Args:
        scene: what is done, by whom, where and when.
        size: width and height of the pictures.
        seed: all that is left to chance follows from it.
    """

    def __init__(self, scene: Scene, size: tuple[int, int], seed: str) -> None:
        rng = random.Random(seed)
        self._rng, self._scene, self._size = rng, scene, size
        self._style: Style = draw_style(rng)
        self._phase = rng.uniform(0, 2 * math.pi)
        self._light = _light(rng)
        self._clothes = self._lit_clothes(_jittered(SHIRTS[scene.shirt], rng, 9))
        width, height = size
        margin = round(_MARGIN * height)
        scenery = paint_background(scene.background, width + 2 * margin, height + 2 * margin, rng)
        if rng.random() < 0.25:
            draw_prop(scenery, rng.choice(_DECORATIONS), self._aside(rng, 0.7))
        self._place = self._placed(margin)
        self._scenery: Picture = cv2.LUT(scenery, self._light).astype(np.uint8, copy=False)
        self._shadow = self._shadow_colour()
        self._bystander = self._other(rng) if rng.random() < 0.1 else None
        self._moves = rng.random() < 0.5
        self._pan = (rng.uniform(-0.03, 0.03), rng.uniform(-0.015, 0.015))
        self._shake = rng.choice((0.0, 0.0, 0.004))
        self._zoom = (rng.uniform(1.0, 1.05), rng.uniform(1.0, 1.05)) if rng.random() < 0.4 else (1.0, 1.0)
        self._flicker = rng.choice((0.0, 0.0, 0.0, 0.05))
        self._noise = _noise(rng, size)
        self._still: Picture | None = None

    def picture(self, time_s: float) -> Picture:
        """uint8 [3 * height / 2, width]: the planes Y, U and V of the picture at ``time_s``, one under the other."""
        held, share = self._posed(time_s)
        breath = 0.004 * math.sin(2.2 * time_s + self._phase)
        held = held._replace(hip=held.hip + complex(breath, -abs(breath)))
        zoom, corner = self._camera(share)
        picture = self._background(zoom, corner)
        place = self._seen(self._place, zoom, corner)
        if self._bystander is not None:
            clothes, where = self._bystander
            other = STANDING._replace(hip=STANDING.hip + 2j * breath)
            draw_figure(picture, joints(other), 1.0, clothes, self._seen(where, zoom, corner))
        figure = joints(held)
        draw_shadow(picture, figure, self._shadow, place)
        things = props(self._scene.action, share, self._style, figure)
        for thing in things:
            if thing.kind == "chair":
                draw_prop(picture, thing, place)
        draw_figure(picture, figure, held.width, self._clothes, place)
        for thing in things:
            if thing.kind != "chair":
                draw_prop(picture, thing, place)
        return self._exposed(picture, time_s)

    def _posed(self, time_s: float) -> tuple[Pose, float]:
        """The pose, and how much of the action is over; before and after it the figure rests."""
        scene = self._scene
        share = min(max((time_s - scene.start_s) / (scene.end_s - scene.start_s), 0.0), 1.0)
        held = pose(scene.action, share, self._style)
        outside_s = max(scene.start_s - time_s, time_s - scene.end_s, 0.0)
        if outside_s and scene.action not in _ENDS_HELD:
            resting = STANDING._replace(hip=complex(held.hip.real, STANDING.hip.imag))
            resting = resting._replace(feet=(resting.feet[0] + held.hip.real, resting.feet[1] + held.hip.real))
            turned = held._replace(turn=0.0)
            held = blend(turned, resting, min(outside_s / _RESTING_S, 1.0))
        return held, share

    def _background(self, zoom: float, corner: tuple[float, float]) -> Picture:
        if self._still is not None and not self._moves:
            return self._still.copy()
        if zoom == 1.0:
            (x, y), (width, height) = corner, self._size
            self._still = self._scenery[int(y) : int(y) + height, int(x) : int(x) + width]
            return self._still.copy()
        shift = np.array([[zoom, 0, -corner[0] * zoom], [0, zoom, -corner[1] * zoom]], np.float32)
        picture = cv2.warpAffine(self._scenery, shift, self._size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        self._still = picture.astype(np.uint8, copy=False)
        return self._still.copy()

    def _camera(self, share: float) -> tuple[float, tuple[float, float]]:
        """The zoom, and the point of the scenery in the picture's upper left corner."""
        width, height = self._size
        if not self._moves:
            share = 0.0
        zoom = self._zoom[0] + (self._zoom[1] - self._zoom[0]) * share
        x = (_MARGIN + self._pan[0] * 2 * (share - 0.5)) * height + width / 2 * (1 - 1 / zoom)
        y = (_MARGIN + self._pan[1] * 2 * (share - 0.5)) * height + height * 0.7 * (1 - 1 / zoom)
        if self._moves and self._shake:
            x += self._rng.gauss(0, self._shake) * height
            y += self._rng.gauss(0, self._shake) * height
        return zoom, (round(x), round(y)) if zoom == 1.0 else (x, y)

    def _seen(self, place: Place, zoom: float, corner: tuple[float, float]) -> Place:
        return place._replace(x=(place.x - corner[0]) * zoom, y=(place.y - corner[1]) * zoom, scale=place.scale * zoom)

    def _exposed(self, picture: Picture, time_s: float) -> Picture:
        """The planes of ``picture``, with flicker and noise in the brightness."""
        planes: Picture = cv2.cvtColor(picture, cv2.COLOR_RGB2YUV_I420).astype(np.uint8, copy=False)
        bright = planes[: picture.shape[0]]
        if self._flicker:
            cv2.convertScaleAbs(bright, bright, 1 + self._flicker * math.sin(7 * time_s + self._phase))
        height, width = bright.shape
        for sign, noise in zip((cv2.add, cv2.subtract), self._noise, strict=True):
            y, x = self._rng.randrange(32), self._rng.randrange(32)
            sign(bright, noise[y : y + height, x : x + width], bright)
        return planes

    def _placed(self, margin: int) -> Place:
        width, height = self._size
        rng, action = self._rng, self._scene.action
        scale = height * rng.uniform(0.68, 0.75) * _SMALLER.get(action, 1.0)
        x, y = width / 2 + rng.uniform(-0.05, 0.05) * height, height * rng.uniform(0.91, 0.95)
        return Place(x + margin, y + margin, scale, action not in _SIDELESS and rng.random() < 0.5)

    def _other(self, rng: random.Random) -> tuple[Clothes, Place]:
        """Someone smaller in a grey shirt, who stands aside."""
        return self._lit_clothes(_jittered((118, 118, 120), rng, 8)), self._aside(rng, 0.45)

    def _aside(self, rng: random.Random, scale: float) -> Place:
        """A place at the edge of the picture's central square, a little further back."""
        width, height = self._size
        x = width / 2 + rng.choice((-1, 1)) * rng.uniform(0.4, 0.48) * height
        return Place(x + _MARGIN * height, height * (0.8 + _MARGIN), height * scale)

    def _lit_clothes(self, shirt: Colour) -> Clothes:
        rng = self._rng
        others = (_jittered(rng.choice(tones), rng, 8) for tones in (_TROUSERS, _SKINS, _HAIRS, ((44, 40, 40),)))
        colours = [self._lit(colour) for colour in (shirt, *others)]
        return Clothes(colours[0], colours[1], colours[2], colours[3], colours[4], rng.uniform(0.92, 1.12))

    def _lit(self, colour: Colour) -> Colour:
        pixel = np.array([[colour]]).round().clip(0, 255).astype(np.uint8)
        red, green, blue = cv2.LUT(pixel, self._light)[0, 0]
        return float(red), float(green), float(blue)

    def _shadow_colour(self) -> Colour:
        x, y = round(self._place.x), round(self._place.y)
        floor = self._scenery[y - 4 : y + 4, x - 30 : x + 30].mean(axis=(0, 1)) * 0.68
        return float(floor[0]), float(floor[1]), float(floor[2])


def _light(rng: random.Random) -> NDArray[np.uint8]:
    """uint8 [1, 256, 3]: what each brightness of each colour becomes."""
    contrast, brightness = rng.uniform(0.82, 1.1), rng.uniform(-18, 14)
    cast = np.array([rng.uniform(0.95, 1.05) for _ in range(3)])
    levels = (np.arange(256.0)[:, None] - 128) * contrast + 128 + brightness
    table: NDArray[np.uint8] = (levels * cast).round().clip(0, 255).astype(np.uint8)
    return table[None]


def _noise(rng: random.Random, size: tuple[int, int]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Noise to add to pictures and noise to subtract, 32 pixels wider and higher than they are."""
    shape = (size[1] + 32, size[0] + 32)
    normal = np.random.default_rng(rng.getrandbits(64)).standard_normal(shape, dtype=np.float32) * rng.uniform(0.5, 2.5)
    return normal.clip(0, 20).round().astype(np.uint8), (-normal).clip(0, 20).round().astype(np.uint8)


def _jittered(colour: Colour, rng: random.Random, by: float) -> Colour:
    red, green, blue = (min(max(part + rng.uniform(-by, by), 0.0), 255.0) for part in colour)
    return red, green, blue
