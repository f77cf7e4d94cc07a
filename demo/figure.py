"""A jointed figure in the plane: its pose, and the places of its joints.

Points are complex numbers in body heights: real to the viewer's right, imaginary up, 0 on the floor under the figure.
"""

from __future__ import annotations

import cmath
import math
from itertools import pairwise
from typing import NamedTuple

THIGH, SHIN, TORSO, UPPER_ARM, FOREARM = 0.235, 0.235, 0.30, 0.17, 0.17
HALF_SHOULDERS, HALF_HIPS, NECK = 0.115, 0.055, 0.13
REACH = UPPER_ARM + FOREARM


class Pose(NamedTuple):
    """A pose.

    Attributes:
        hip: the middle of the hips.
        lean: the torso's lean to the viewer's right, in radians.
        turn: the whole body's counter-clockwise turn about the hip, in radians.
        width: 1 seen from the front, less the more it is seen from the side.
        hands: the left and the right hand, each from its own shoulder.
        feet: the left and the right foot.
        elbows: which way and how much each bends: positive is to the left of the way from shoulder to hand.
        knees: the same, from hip to foot; positive is to the viewer's right for who stands.
    """

    hip: complex
    lean: float
    turn: float
    width: float
    hands: tuple[complex, complex]
    feet: tuple[complex, complex]
    elbows: tuple[float, float] = (-1.0, 1.0)
    knees: tuple[float, float] = (-1.0, 1.0)


class Joints(NamedTuple):
    """The places of all joints; pairs are left, then right."""

    hip: complex
    neck: complex
    head: complex
    shoulders: tuple[complex, complex]
    elbows: tuple[complex, complex]
    hands: tuple[complex, complex]
    hips: tuple[complex, complex]
    knees: tuple[complex, complex]
    feet: tuple[complex, complex]


def arm(angle: float, reach: float = REACH) -> complex:
    """A right hand from its shoulder: angle 0 hangs, pi/2 points to the viewer's right, pi points up."""
    return complex(reach * math.sin(angle), -reach * math.cos(angle))


def left(point: complex) -> complex:
    """The mirror image of a point, on the viewer's left."""
    return complex(-point.real, point.imag)


STANDING = Pose(0.46j, 0.0, 0.0, 1.0, (left(arm(0.28)), arm(0.28)), (-0.07 + 0j, 0.07 + 0j))
"""Arms hanging, seen from the front."""


def blend(before: Pose, after: Pose, share: float) -> Pose:
    """The pose between two others: ``before`` at share 0, ``after`` at share 1."""

    def mixed(a: complex, b: complex) -> complex:
        return a * (1 - share) + b * share

    def mixed_float(a: float, b: float) -> float:
        return a * (1 - share) + b * share

    return Pose(
        mixed(before.hip, after.hip),
        mixed_float(before.lean, after.lean),
        mixed_float(before.turn, after.turn),
        mixed_float(before.width, after.width),
        (mixed(before.hands[0], after.hands[0]), mixed(before.hands[1], after.hands[1])),
        (mixed(before.feet[0], after.feet[0]), mixed(before.feet[1], after.feet[1])),
        (mixed_float(before.elbows[0], after.elbows[0]), mixed_float(before.elbows[1], after.elbows[1])),
        (mixed_float(before.knees[0], after.knees[0]), mixed_float(before.knees[1], after.knees[1])),
    )


def along(keys: list[tuple[float, Pose]], t: float) -> Pose:
    """The pose at ``t`` between key poses, with a soft start and end at each."""
    if t <= keys[0][0]:
        return keys[0][1]
    for (start, before), (end, after) in pairwise(keys):
        if t < end:
            return blend(before, after, smooth((t - start) / (end - start)))
    return keys[-1][1]


def smooth(share: float) -> float:
    """Ease a share from 0 to 1 in and out; shares outside are clipped."""
    share = min(max(share, 0.0), 1.0)
    return share * share * (3 - 2 * share)


def joints(pose: Pose) -> Joints:
    """The places of the joints of ``pose``."""
    up = cmath.rect(1.0, math.pi / 2 - pose.lean)
    across = cmath.rect(pose.width, -pose.lean)
    neck = pose.hip + TORSO * up
    shoulders = (neck - HALF_SHOULDERS * across, neck + HALF_SHOULDERS * across)
    hips = (pose.hip - HALF_HIPS * pose.width, pose.hip + HALF_HIPS * pose.width)
    elbows, hands = _limbs(
        shoulders, (shoulders[0] + pose.hands[0], shoulders[1] + pose.hands[1]), UPPER_ARM, FOREARM, pose.elbows
    )
    knees, feet = _limbs(hips, pose.feet, THIGH, SHIN, pose.knees)
    upright = Joints(pose.hip, neck, neck + NECK * up, shoulders, elbows, hands, hips, knees, feet)
    return _turned(upright, pose.turn) if pose.turn else upright


def _limbs(
    roots: tuple[complex, complex],
    ends: tuple[complex, complex],
    upper: float,
    lower: float,
    bends: tuple[float, float],
) -> tuple[tuple[complex, complex], tuple[complex, complex]]:
    """The middle joints and the ends of two limbs; an end out of reach is brought into it."""
    (a, b), (c, d) = (_limb(roots[side], ends[side], upper, lower, bends[side]) for side in (0, 1))
    return (a, c), (b, d)


def _limb(root: complex, end: complex, upper: float, lower: float, bend: float) -> tuple[complex, complex]:
    far = max(abs(end - root), 1e-6)
    way = (end - root) / far
    if far > upper + lower:
        far, end = upper + lower, root + way * (upper + lower)
    forward = (upper * upper - lower * lower + far * far) / (2 * far)
    aside = math.sqrt(max(upper * upper - forward * forward, 0.0))
    return root + way * complex(forward, aside * bend), end


def _turned(figure: Joints, angle: float) -> Joints:
    """The joints turned about the hip by an angle, in radians."""
    spin = cmath.rect(1.0, angle)

    def turned(point: complex) -> complex:
        return figure.hip + (point - figure.hip) * spin

    pairs = ((turned(pair[0]), turned(pair[1])) for pair in figure[3:])
    return Joints(figure.hip, turned(figure.neck), turned(figure.head), *pairs)
