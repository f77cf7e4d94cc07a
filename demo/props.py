"""Props: the things that figures handle, and their places at each time of an action."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, NamedTuple

from demo.actions import AT_BOX, Style, bounce, turns
from demo.figure import Joints, joints


class Prop(NamedTuple):
    """A thing in the picture.

    Attributes:
        kind: what it is.
        at: its middle, in body heights.
        size: its radius, or half its side, in body heights.
        number: which of several balls it is, for its colour.
        points: the line of a rope.
    """

    kind: Literal["ball", "box", "chair", "rope", "plant", "lamp"]
    at: complex
    size: float
    number: int = 0
    points: tuple[complex, ...] = ()


def props(action: str, t: float, style: Style, figure: Joints) -> list[Prop]:
    """The props of ``action`` at ``t``; ``figure`` has the joints at that time."""
    handled = _PROPS.get(action)
    return handled(t, style, figure) if handled else []


def _kicked(t: float, style: Style, figure: Joints) -> list[Prop]:
    flown = max(t - 0.4, 0.0)
    return [Prop("ball", complex(0.14 + 2.2 * style.amount * flown, 0.09 + 2.2 * flown - 2.6 * flown * flown), 0.09)]


def _thrown(t: float, style: Style, figure: Joints) -> list[Prop]:
    if t < 0.5:
        return [Prop("ball", figure.hands[1] + 0.05j, 0.085, 1)]
    flown = t - 0.5
    return [Prop("ball", complex(0.2 + 1.9 * style.amount * flown, 1.0 + 0.9 * flown - 1.6 * flown * flown), 0.085, 1)]


def _juggled(t: float, style: Style, figure: Joints) -> list[Prop]:
    turned = turns(t, style, 1.3)
    return [_in_circle(turned + 2 * math.pi * number / 3, number) for number in range(3)]


def _in_circle(angle: float, number: int) -> Prop:
    return Prop("ball", complex(0.33 * math.sin(angle), 0.93 + 0.32 * math.cos(angle)), 0.072, number)


def _picked_up(t: float, style: Style, figure: Joints) -> list[Prop]:
    resting = 0.22 + 0.12j
    start = joints(AT_BOX).hands
    moved = (figure.hands[0] + figure.hands[1] - start[0] - start[1]) / 2 if t > 0.43 else 0j
    return [Prop("box", resting + moved, 0.12)]


def _rope(t: float, style: Style, figure: Joints) -> list[Prop]:
    height = math.cos(turns(t, style, 3.0))
    middle = (figure.hands[0] + figure.hands[1]) / 2
    half = figure.hands[1].real - middle.real
    angles = [math.pi * step / 12 for step in range(13)]
    reach = 0.62 if height > 0 else 0.56
    points = tuple(
        middle + complex(-half * math.cos(a) * (1 + 0.5 * math.sin(a)), reach * height * math.sin(a) ** 0.7) for a in angles
    )
    return [Prop("rope", middle, 0.012, 0, points)]


def _dribbled(t: float, style: Style, figure: Joints) -> list[Prop]:
    return [Prop("ball", complex(0.26, 0.09 + 0.4 * bounce(t, style)), 0.09)]


def _chair(t: float, style: Style, figure: Joints) -> list[Prop]:
    return [Prop("chair", -0.16 + 0.1j, 0.1)]


_PROPS: dict[str, Callable[[float, Style, Joints], list[Prop]]] = {
    "sitting down": _chair,
    "standing up": _chair,
    "kicking a ball": _kicked,
    "throwing a ball": _thrown,
    "juggling": _juggled,
    "picking up a box": _picked_up,
    "skipping rope": _rope,
    "dribbling a ball": _dribbled,
}
