"""How far thumbnails are from each other: after the camera's movement, and on the way from one picture to another.

Distances are in levels of 255. Colours are compared as Y'CrCb (ITU-R BT.601): brightness and colour apart, as in HSV, but
without a hue, which is noise where colours are pale.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

# The camera's movement that is made up for, in pixels of a thumbnail: a fifth of its width, and a seventh of its height.
_ACROSS, _DOWN = 10, 4

# Beyond this gain, a picture is too dark to tell what it shows.
_MOST_GAIN = 3.0


def colours(frames: NDArray[np.uint8]) -> Floats:
    """Y'CrCb float32 of RGB uint8, both [n, height, width, 3]."""
    tall = np.ascontiguousarray(frames).reshape(-1, frames.shape[2], 3)
    converted = np.asarray(cv2.cvtColor(tall, cv2.COLOR_RGB2YCrCb), np.float32)
    apart: Floats = converted.reshape(frames.shape)
    return apart


def contrast(frames: Floats) -> Floats:
    """float32 [n]: the root mean square distance of each frame's pixels from their mean colour."""
    spread: Floats = np.sqrt(frames.var(axis=(1, 2)).sum(-1))
    return spread


def residual(before: Floats, after: Floats) -> float:
    """Root mean square distance of the middle of ``before`` from the place in ``after`` that is most like it.

    A camera that pans leaves next to nothing, and another picture leaves nearly all.
    """
    height, width = before.shape[:2]
    middle = np.ascontiguousarray(before[_DOWN : height - _DOWN, _ACROSS : width - _ACROSS])
    squares = cv2.matchTemplate(np.ascontiguousarray(after), middle, cv2.TM_SQDIFF)
    return float(np.sqrt(max(0.0, squares.min()) * 3 / middle.size))


def relit(before: Floats, after: Floats) -> Floats:
    """``before`` in the light of ``after``: with its mean colour and contrast, where that is possible without guessing."""
    gain = float(contrast(after[None])[0] / max(1.0, contrast(before[None])[0]))
    if not 1 / _MOST_GAIN <= gain <= _MOST_GAIN:
        return before
    lit: Floats = (before - before.mean((0, 1))) * np.float32(gain) + after.mean((0, 1))
    return lit


def halved(frames: Floats) -> Floats:
    """Means of 2 by 2 pixels: [n, height, width, 3] -> [n, height // 2, width // 2, 3]."""
    height, width = frames.shape[1] // 2 * 2, frames.shape[2] // 2 * 2
    even = frames[:, :height, :width]
    sums: Floats = even[:, ::2, ::2] + even[:, 1::2, ::2] + even[:, ::2, 1::2] + even[:, 1::2, 1::2]
    return sums / np.float32(4)


class Ways(NamedTuple):
    """How frames lie between the one ``half`` frames before them and the one ``half`` frames after; all float32 [n].

    Attributes:
        change: root mean square distance of the two.
        blend: distance of the frame from the mean of the two, as a share of ``change``. In the middle of a dissolve or a
            fade it is 0; of a cut 0.5; things that move leave 0.3 and more.
        patch: distance of each pixel from that of the two which it is nearer to, as a share of their distance. It is 0 in a
            wipe, where each pixel is of the one or of the other.
        share: of the pixels, weighted by how much they change, those that are nearer to the earlier picture.
    """

    change: Floats
    blend: Floats
    patch: Floats
    share: Floats


def ways(frames: Floats, half: int) -> Ways:
    """The `Ways` of the frames from number ``half`` on up to the last that has ``half`` after it."""
    before, middle, after = frames[: -2 * half], frames[half:-half], frames[2 * half :]
    apart = after - before
    change = np.sqrt(np.square(apart).sum(-1).mean((1, 2)))
    off = np.sqrt(np.square(middle - (before + after) / 2).sum(-1).mean((1, 2)))
    weight = np.abs(apart).sum(-1)
    to_before, to_after = np.abs(middle - before).sum(-1), np.abs(middle - after).sum(-1)
    total = np.maximum(weight.sum((1, 2)), 1.0)
    return Ways(
        change=change,
        blend=off / np.maximum(change, 1.0),
        patch=np.minimum(to_before, to_after).sum((1, 2)) / total,
        share=((to_before < to_after) * weight).sum((1, 2)) / total,
    )
