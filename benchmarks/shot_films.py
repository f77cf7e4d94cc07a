"""Films with known cuts: shots of the demo's world joined in every usual way, with flashes and fast pans within them."""

from __future__ import annotations

import random
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from demo.backgrounds import paint_background
from demo.shot import Shot
from demo.world import BACKGROUNDS, BASE_ACTIONS, SHIRTS, Scene

WIDTH, HEIGHT, FPS = 320, 240, 25

Kind = Literal["cut", "dissolve", "fade", "wipe"]
Pixels = NDArray[np.uint8]

_DISSOLVES = (8, 16, 24)  # frames
_FADE, _BLACK = 10, 5  # frames of either ramp, and of black between them
_WIPE = 12
_FLASH = (0.9, 0.8, 0.4)  # how far towards white each of its frames is
_PAN = (8, 14)  # frames of a fast pan by one picture's width
_SUBFRAMES = 6  # that a frame of a pan is blurred from


@dataclass(frozen=True, slots=True)
class Transition:
    """How one shot becomes the next.

    Attributes:
        first: the first frame that is not of the old shot alone.
        end: the first frame that is of the new shot alone; for a cut, ``first``.
    """

    kind: Kind
    first: int
    end: int


@dataclass(frozen=True, slots=True)
class Truth:
    """What a film holds: its transitions, and the frames at which flashes and pans begin."""

    transitions: tuple[Transition, ...]
    flashes: tuple[int, ...]
    pans: tuple[int, ...]
    num_frames: int


def make_film(path: Path, seed: str, num_shots: int = 24) -> Truth:
    """Write a film of about 90 s as H.264, and say what is in it; the same for the same seed."""
    rng = random.Random(seed)
    film = _Film(rng)
    for index in range(num_shots):
        film.append(*_shot(rng, f"{seed}/{index}"), *_drawn(rng))
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"preset": "veryfast", "crf": str(rng.randint(20, 28))})
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.thread_count = 1
        for number, pixels in enumerate(film.frames):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return Truth(tuple(film.transitions), tuple(film.flashes), tuple(film.pans), len(film.frames))


class _Film:
    """A film that grows shot by shot; its frames are uint8 [HEIGHT, WIDTH, 3]."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self.frames: list[Pixels] = []
        self.transitions: list[Transition] = []
        self.flashes: list[int] = []
        self.pans: list[int] = []

    def append(self, shot: list[Pixels], pan: int | None, kind: Kind, length: int) -> None:
        """Add a shot that begins with a transition of ``length`` frames, and has a flash three times in ten.

        Args:
            shot: its frames.
            pan: the frame of it at which the camera begins to turn.
            kind: how it begins, unless it is the first.
            length: frames that the transition takes from either shot.
        """
        if self.frames:
            shown = len(self.frames) - length
            before, self.frames = self.frames[shown:], self.frames[:shown]
            first = len(self.frames)
            self._join(before, shot[:length], kind)
            self.transitions.append(Transition(kind, first, len(self.frames)))
            shot, pan = shot[length:], None if pan is None else pan - length
        start = len(self.frames)
        self.frames += shot
        if pan is not None:
            self.pans.append(start + pan)
        elif self._rng.random() < 0.4:
            at = self._rng.randrange(start + 10, len(self.frames) - 35)
            self.flashes.append(at)
            for number, share in enumerate(_FLASH, at):
                self.frames[number] = _mixed(self.frames[number], np.full_like(self.frames[number], 255), share)

    def _join(self, before: list[Pixels], after: list[Pixels], kind: Kind) -> None:
        shares = [(number + 1) / (len(after) + 1) for number in range(len(after))]
        if kind == "fade":
            black = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
            self.frames += [_mixed(old, black, share) for old, share in zip(before, shares, strict=True)]
            self.frames += [black] * _BLACK
            before = [black] * len(after)
        if kind != "wipe":
            self.frames += [_mixed(*each) for each in zip(before, after, shares, strict=True)]
            return
        across, backwards = self._rng.random() < 0.5, self._rng.random() < 0.5
        self.frames += [_wiped(*each, across, backwards) for each in zip(before, after, shares, strict=True)]


def _drawn(rng: random.Random) -> tuple[Kind, int]:
    """A kind of transition, and the frames that it takes from either shot."""
    kinds: tuple[Kind, ...] = ("cut", "dissolve", "fade", "wipe")
    kind = rng.choices(kinds, (50, 30, 10, 10))[0]
    return kind, {"cut": 0, "dissolve": rng.choice(_DISSOLVES), "fade": _FADE, "wipe": _WIPE}[kind]


def _shot(rng: random.Random, seed: str) -> tuple[list[Pixels], int | None]:
    """Three to five seconds in which someone does something; one time in four a fast pan, and the frame that begins it."""
    num_frames = rng.randint(3 * FPS, 5 * FPS)
    if rng.random() < 0.25:
        return _panned(rng, num_frames)
    scene = Scene(rng.choice(BASE_ACTIONS), rng.choice(list(SHIRTS)), rng.choice(BACKGROUNDS), 0.2, num_frames / FPS - 0.2)
    shot = Shot(scene, (WIDTH, HEIGHT), seed)
    planes = (shot.picture(number / FPS) for number in range(num_frames))
    return [np.asarray(cv2.cvtColor(picture, cv2.COLOR_YUV2RGB_I420), np.uint8) for picture in planes], None


def _panned(rng: random.Random, num_frames: int) -> tuple[list[Pixels], int]:
    """The camera stands, turns by one picture's width within half a second, and stands."""
    scenery = paint_background(rng.choice(BACKGROUNDS), 2 * WIDTH, HEIGHT, rng).astype(np.float32)
    began, took, left = num_frames // 2 + rng.randint(-8, 8), rng.randint(*_PAN), rng.random() < 0.5
    frames = []
    for number in range(num_frames):
        shares = (number + np.arange(_SUBFRAMES) / _SUBFRAMES - began) / took
        shares = np.clip(shares, 0, 1) ** 2 * (3 - 2 * np.clip(shares, 0, 1))  # slowly at both ends
        starts = np.round(WIDTH * (1 - shares if left else shares)).astype(int)
        blurred = np.mean([scenery[:, x : x + WIDTH] for x in np.unique(starts)], axis=0)
        noise = np.random.default_rng(rng.getrandbits(32)).normal(0, 1.5, (HEIGHT, WIDTH, 1))
        frames.append(_bytes(blurred + noise))
    return frames, began


def _mixed(before: Pixels, after: Pixels, share: float) -> Pixels:
    return np.asarray(cv2.addWeighted(before, 1 - share, after, share, 0), np.uint8)


def _wiped(before: Pixels, after: Pixels, share: float, across: bool, backwards: bool) -> Pixels:
    """The part ``share`` of the new picture, from one side."""
    if backwards:
        before, after, share = after, before, 1 - share
    picture = before.copy()
    if across:
        edge = round(share * WIDTH)
        picture[:, :edge] = after[:, :edge]
    else:
        edge = round(share * HEIGHT)
        picture[:edge] = after[:edge]
    return picture


def _bytes(levels: NDArray[np.floating]) -> Pixels:
    return levels.round().clip(0, 255).astype(np.uint8)
