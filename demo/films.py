"""Short films of a moving shape, rendered and encoded: real video files for tests and benchmarks."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT, FPS = 320, 240, 25

_COLOURS = {"red": (214, 48, 49), "green": (39, 174, 96), "blue": (52, 120, 246), "yellow": (241, 196, 15)}
_MOTIONS = {"left": (-1.0, 0.0), "right": (1.0, 0.0), "up": (0.0, -1.0), "down": (0.0, 1.0)}
_SHAPES = ("disc", "square")


@dataclass(frozen=True, slots=True)
class Film:
    """A film of a moving shape.

    Attributes:
        name: the file's name.
        colour: of the shape.
        shape: ``disc`` or ``square``.
        motion: ``left``, ``right``, ``up`` or ``down``.
        duration_s: its length in seconds.
        codec: the encoder's name.
    """

    name: str
    colour: str
    shape: str
    motion: str
    duration_s: float
    codec: str


def plan_films(count: int, seed: int) -> list[Film]:
    """``count`` films of 2 to 14 seconds, the same for the same seed: H.264 in MP4, every fourth MPEG-4 in AVI."""
    rng = random.Random(seed)
    films = []
    for number in range(count):
        colour, shape, motion = rng.choice(list(_COLOURS)), rng.choice(_SHAPES), rng.choice(list(_MOTIONS))
        codec, ending = ("mpeg4", "avi") if number % 4 == 3 else ("libx264", "mp4")
        name = f"{number:02d}-{colour}-{shape}-moving-{motion}.{ending}"
        films.append(Film(name, colour, shape, motion, rng.choice([2.0, 4.0, 9.0, 14.0]), codec))
    return films


def render(film: Film, folder: Path) -> Path:
    """Write ``film`` into ``folder`` and return its path."""
    path = folder / film.name
    with av.open(str(path), "w") as container:
        stream = container.add_stream(film.codec, rate=FPS)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number in range(round(film.duration_s * FPS)):
            frame = av.VideoFrame.from_ndarray(_picture(film, number / FPS), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def _picture(film: Film, time_s: float) -> NDArray[np.uint8]:
    """uint8 [HEIGHT, WIDTH, 3]: the shape crosses the picture once in four seconds, over a grey gradient."""
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    picture = np.repeat((70 + 60 * y / HEIGHT)[..., None], 3, axis=2)
    dx, dy = _MOTIONS[film.motion]
    along = (time_s % 4) / 4 - 0.5
    right, down = x - WIDTH * (0.5 + dx * along), y - HEIGHT * (0.5 + dy * along)
    size = HEIGHT / 7
    inside = np.hypot(right, down) < size if film.shape == "disc" else np.maximum(abs(right), abs(down)) < size
    picture[inside] = _COLOURS[film.colour]
    return picture.astype(np.uint8)
