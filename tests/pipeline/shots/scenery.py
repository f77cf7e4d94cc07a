"""Made-up thumbnails: pictures with things in them, and ways from one to another."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Frames = NDArray[np.uint8]


def scene(seed: int, width: int = 48) -> Frames:
    """uint8 [27, width, 3]: smooth patches of random colours."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, max(2, width // 5), 3), dtype=np.uint8)
    return np.asarray(cv2.resize(coarse, (width, 27), interpolation=cv2.INTER_LINEAR), np.uint8)


def held(picture: Frames, num_frames: int, seed: int = 0) -> Frames:
    """The picture for so many frames, with a camera's noise."""
    noise = np.random.default_rng(seed).normal(0, 1.5, (num_frames, *picture.shape))
    return (picture + noise).round().clip(0, 255).astype(np.uint8)


def dissolve(before: Frames, after: Frames, num_frames: int) -> Frames:
    """The frames between two pictures of which one becomes the other."""
    shares = (np.arange(num_frames) + 1)[:, None, None, None] / (num_frames + 1)
    return ((1 - shares) * before + shares * after).round().astype(np.uint8)


def wipe(before: Frames, after: Frames, num_frames: int) -> Frames:
    """The frames in which a picture comes in from the left."""
    frames = np.repeat(before[None], num_frames, axis=0)
    for number, frame in enumerate(frames, 1):
        edge = round(48 * number / (num_frames + 1))
        frame[:, :edge] = after[:, :edge]
    return frames


def pan(wide: Frames, num_frames: int) -> Frames:
    """The frames in which the camera turns from the left end of a picture to its right end."""
    starts = np.linspace(0, wide.shape[1] - 48, num_frames).round().astype(int)
    return np.stack([wide[:, start : start + 48] for start in starts])
