"""Actions: the pose of a figure at each time of an action.

Time is ``t`` from 0 to 1. An action that has a side is to the viewer's right here; drawing may mirror it.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import NamedTuple

from demo.figure import REACH, STANDING, Pose, along, arm, blend, left, smooth


class Style(NamedTuple):
    """The style in which an action is performed.

    Attributes:
        tempo: factor on the usual number of repetitions.
        amount: factor on the usual size of the movement.
        phase: where in a repetition it starts, from 0 to 1.
        before: for actions that are done once, the share of time before the movement.
        after: likewise, the share of time after it.
    """

    tempo: float = 1.0
    amount: float = 1.0
    phase: float = 0.0
    before: float = 0.1
    after: float = 0.1


def draw_style(rng: random.Random) -> Style:
    """A random style, from the same distribution for every action."""
    return Style(
        rng.uniform(0.85, 1.15), rng.uniform(0.88, 1.08), rng.random(), rng.uniform(0.05, 0.2), rng.uniform(0.05, 0.2)
    )


def pose(action: str, t: float, style: Style) -> Pose:
    """The pose of a figure that does ``action``, at ``t``."""
    return _POSES[action](t, style)


def _once(t: float, style: Style) -> float:
    """How far an action that is done once is at ``t``, from 0 to 1."""
    return smooth((t - style.before) / (1 - style.before - style.after))


def turns(t: float, style: Style, usual: float) -> float:
    """The angle, in radians, at ``t`` of a movement that repeats ``usual`` times."""
    return 2 * math.pi * (usual * style.tempo * t + style.phase)


def _both(hand: complex) -> tuple[complex, complex]:
    return left(hand), hand


def _walking(t: float, style: Style) -> Pose:
    # The legs swing alike in both directions, so that only the movement across the picture tells the direction.
    x, swing = 0.46 * style.amount * (2 * t - 1), math.sin(turns(t, style, 2.2))
    hip = complex(x, math.sqrt(0.46**2 - (0.15 * swing) ** 2))
    hands = (arm(0.55 * swing), arm(-0.55 * swing))
    return Pose(hip, 0.0, 0.0, 0.6, hands, (complex(x - 0.17 * swing), complex(x + 0.17 * swing)), knees=(0.0, 0.0))


_BESIDE_CHAIR = Pose(0.1 + 0.46j, 0.0, 0.0, 0.5, (arm(0.1), arm(0.15)), (0.08 + 0j, 0.17 + 0j), (-1, -1), (1, 1))
_SEATED = Pose(-0.13 + 0.25j, 0.08, 0.0, 0.5, (0.2 - 0.2j, 0.22 - 0.18j), (0.12 + 0j, 0.19 + 0j), (-1, -1), (1, 1))


def _sitting(t: float, style: Style) -> Pose:
    share = _once(t, style)
    mixed = blend(_BESIDE_CHAIR, _SEATED, share)
    return mixed._replace(lean=mixed.lean + 0.5 * style.amount * math.sin(math.pi * share))


def _raising(t: float, style: Style) -> Pose:
    angle = 0.28 + (2.9 * min(style.amount, 1.0) - 0.28) * _once(t, style)
    return STANDING._replace(hands=(STANDING.hands[0], arm(angle)))


def _waving(t: float, style: Style) -> Pose:
    angle = 2.5 + 0.78 * style.amount * math.sin(turns(t, style, 3.2))
    return STANDING._replace(hands=(STANDING.hands[0], arm(angle, 0.33)))


def _clapping(t: float, style: Style) -> Pose:
    share = 0.5 + 0.5 * math.cos(turns(t, style, 3.2))
    return STANDING._replace(hands=_both(arm(math.pi / 2 + 0.1) * share + (-0.095 - 0.11j) * (1 - share)))


def _jumping(t: float, style: Style) -> Pose:
    share = (2.7 * style.tempo * t + style.phase) % 1
    flight = min(share / 0.62, 1.0)
    lift = 0.3 * style.amount * 4 * flight * (1 - flight)
    crouch = math.sin(math.pi * (share - 0.62) / 0.38) * 0.13 if share > 0.62 else 0.0
    feet = (complex(-0.08, 1.15 * lift), complex(0.08, 1.15 * lift))
    return STANDING._replace(hip=complex(0, 0.46 - crouch + lift), feet=feet, hands=_both(arm(0.25 + 3.2 * lift, 0.32)))


_KICKER = STANDING._replace(hip=-0.17 + 0.46j, width=0.6, feet=(-0.22 + 0j, -0.12 + 0j), knees=(1.0, 1.0))
_KICKING = [
    (0.1, _KICKER),
    (
        0.3,
        _KICKER._replace(lean=0.15, feet=(-0.2 + 0j, -0.52 + 0.2j), hands=(left(arm(1.0)), arm(1.0)), hip=-0.17 + 0.45j),
    ),
    (
        0.45,
        _KICKER._replace(lean=-0.2, feet=(-0.2 + 0j, 0.24 + 0.3j), hands=(left(arm(1.4)), arm(1.2)), knees=(1.0, 0.5)),
    ),
    (
        0.6,
        _KICKER._replace(lean=-0.2, feet=(-0.2 + 0j, 0.22 + 0.38j), hands=(left(arm(1.4)), arm(1.2)), knees=(1.0, 0.5)),
    ),
    (0.85, _KICKER),
]


_THROWER = STANDING._replace(width=0.7, hip=-0.1 + 0.46j, feet=(-0.2 + 0j, 0.02 + 0j), hands=(arm(-0.2), 0.16 - 0.1j))
_THROWING = [
    (0.05, _THROWER),
    (0.32, _THROWER._replace(lean=-0.28, hands=(arm(1.2), -0.24 + 0.2j), hip=-0.14 + 0.45j)),
    (0.38, _THROWER._replace(lean=-0.3, hands=(arm(1.2), -0.24 + 0.2j), hip=-0.14 + 0.45j)),
    (0.54, _THROWER._replace(lean=0.3, hands=(arm(-0.6), 0.28 + 0.14j), hip=-0.06 + 0.45j)),
    (0.65, _THROWER._replace(lean=0.35, hands=(arm(-0.6), 0.24 - 0.2j), hip=-0.06 + 0.45j)),
    (0.9, _THROWER._replace(hands=(arm(-0.14), arm(0.14)))),
]


def _juggling(t: float, style: Style) -> Pose:
    angle = 3 * turns(t, style, 1.3)
    hands = (left(0.12 - 0.17j + 0.04j * math.sin(angle)), 0.12 - 0.17j - 0.04j * math.sin(angle))
    return STANDING._replace(hands=hands)


_LIFTER = STANDING._replace(hip=-0.16 + 0.46j, width=0.5, feet=(-0.2 + 0j, -0.1 + 0j), hands=(arm(0.1), arm(0.2)))
_LIFTER = _LIFTER._replace(elbows=(-1.0, -1.0), knees=(1.0, 1.0))
AT_BOX = _LIFTER._replace(hip=-0.24 + 0.34j, lean=1.15, hands=(0.14 - 0.27j, 0.14 - 0.29j))
_HOLDING = _LIFTER._replace(hands=(0.25 - 0.14j, 0.23 - 0.16j))
_PICKING_UP = [(0.05, _LIFTER), (0.38, AT_BOX), (0.48, AT_BOX), (0.85, _HOLDING)]


def _bowing(t: float, style: Style) -> Pose:
    share = smooth(t / 0.4) - smooth((t - 0.6) / 0.4)
    lean = 1.45 * min(style.amount, 1.0) * share
    hands = (arm(0.12 - 0.5 * share), arm(0.12 - 0.3 * share))
    return _LIFTER._replace(hip=complex(-0.02 - 0.12 * share, 0.46), lean=lean, feet=(-0.05 + 0j, 0.05 + 0j), hands=hands)


def _falling(t: float, style: Style) -> Pose:
    share = min(max((t - style.before) / 0.42, 0.0), 1.0) ** 2
    angle = share * math.pi / 2
    foot = -0.4 + 0j
    hip = foot + complex(0.46 * math.sin(angle), max(0.46 * math.cos(angle), 0.12))
    hands = _both(arm(0.28 + 2.2 * share))
    return STANDING._replace(
        hip=hip, turn=-angle, width=1 - 0.4 * share, feet=(hip - 0.07 - 0.46j, hip + 0.07 - 0.46j), hands=hands
    )


def _cartwheeling(t: float, style: Style) -> Pose:
    share = smooth((t - 0.04) / 0.92)
    hip = complex(0.5 * (share - 0.5), 0.42 + 0.2 * math.sin(math.pi * share) ** 2)
    feet = (hip - 0.24 - 0.4j, hip + 0.24 - 0.4j)
    return STANDING._replace(hip=hip, turn=-2 * math.pi * share, feet=feet, hands=_both(arm(2.6)), knees=(0.0, 0.0))


def _squatting(t: float, style: Style) -> Pose:
    share = 0.5 - 0.5 * math.cos(turns(t, style, 2.4))
    hip = complex(0, 0.46 - 0.25 * style.amount * share)
    return STANDING._replace(hip=hip, feet=(-0.16 + 0j, 0.16 + 0j), hands=_both(-0.06 - 0.1j))


def _boxing(t: float, style: Style) -> Pose:
    punch = math.sin(turns(t, style, 3.0))
    left, right = max(punch, 0.0), max(-punch, 0.0)
    hands = (0.14 + 0.02j + 0.2 * left, 0.1 - 0.02j + 0.24 * right)
    feet = (-0.24 + 0j, 0.1 + 0j)
    return Pose(-0.08 + 0.43j, 0.1 + 0.1 * abs(punch), 0.0, 0.5, hands, feet, (-1.0, -1.0), (1.0, 1.0))


def _skipping(t: float, style: Style) -> Pose:
    lift = 0.09 * max(-math.cos(turns(t, style, 3.0)), 0.0)
    feet = (complex(-0.06, lift), complex(0.06, lift))
    return STANDING._replace(hip=complex(0, 0.45 + lift), feet=feet, hands=_both(0.2 - 0.2j), elbows=(-1, 1))


def _dribbling(t: float, style: Style) -> Pose:
    push = bounce(t, style)
    return _LIFTER._replace(
        hip=-0.1 + 0.43j, lean=0.15, hands=(arm(-0.2), 0.2 - 0.2j + 0.13j * push), feet=(-0.2 + 0j, 0.02 + 0j)
    )


def bounce(t: float, style: Style) -> float:
    """The ball's height, from 0 on the floor to 1 at the hand."""
    return 1 - abs(2 * ((3.2 * style.tempo * t + style.phase) % 1) - 1) ** 2


def _star_jumps(t: float, style: Style) -> Pose:
    share = 0.5 - 0.5 * math.cos(turns(t, style, 2.4))
    lift = 0.07 * math.sin(math.pi * share)
    foot = complex(0.06 + 0.22 * share, lift)
    hip = complex(0, 0.46 + lift - 0.07 * share)
    return STANDING._replace(hip=hip, feet=_both(foot), hands=_both(arm(0.2 + 2.5 * share, REACH)), knees=(0.0, 0.0))


_POSES: dict[str, Callable[[float, Style], Pose]] = {
    "walking to the left": lambda t, style: _walking(1 - t, style),
    "walking to the right": _walking,
    "sitting down": _sitting,
    "standing up": lambda t, style: _sitting(1 - t, style),
    "raising an arm": _raising,
    "lowering an arm": lambda t, style: _raising(1 - t, style),
    "waving": _waving,
    "clapping": _clapping,
    "jumping": _jumping,
    "kicking a ball": lambda t, style: along(_KICKING, t),
    "throwing a ball": lambda t, style: along(_THROWING, t),
    "juggling": _juggling,
    "picking up a box": lambda t, style: along(_PICKING_UP, t),
    "bowing": _bowing,
    "falling down": _falling,
    "cartwheeling": _cartwheeling,
    "doing squats": _squatting,
    "boxing": _boxing,
    "skipping rope": _skipping,
    "dribbling a ball": _dribbling,
    "doing star jumps": _star_jumps,
}
