"""The demo's world: its actions, shirts and places, and the plan of its films."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal

BASE_ACTIONS = (
    "walking to the left",
    "walking to the right",
    "sitting down",
    "standing up",
    "raising an arm",
    "lowering an arm",
    "waving",
    "clapping",
    "jumping",
    "kicking a ball",
    "throwing a ball",
    "juggling",
    "picking up a box",
    "bowing",
    "falling down",
    "cartwheeling",
)
"""The actions that the pocket models know."""

NEW_ACTIONS = ("doing squats", "boxing", "skipping rope", "dribbling a ball", "doing star jumps")
"""Actions that they do not know, for fine-tuning."""

PAIRS = (BASE_ACTIONS[0:2], BASE_ACTIONS[2:4], BASE_ACTIONS[4:6])
"""Pairs of actions that are each other's reversal in time: the same frames in another order."""

SHIRTS = {
    "red": (214, 40, 45),
    "blue": (35, 85, 225),
    "green": (40, 185, 75),
    "yellow": (245, 205, 25),
    "purple": (145, 55, 190),
    "white": (248, 248, 248),
}
"""Name to RGB."""

BACKGROUNDS = ("kitchen", "beach", "forest", "street", "gym")

Actions = Literal["base", "new", "all"]
ACTION_SETS: dict[Actions, tuple[str, ...]] = {
    "base": BASE_ACTIONS,
    "new": NEW_ACTIONS,
    "all": BASE_ACTIONS + NEW_ACTIONS,
}

KEYFRAME_EVERY_S = 2.0
"""Seconds between keyframes of long films; a clip has one keyframe."""


@dataclass(frozen=True, slots=True)
class Scene:
    """One action, from ``start_s`` up to ``end_s`` of its film."""

    action: str
    shirt: str
    background: str
    start_s: float
    end_s: float

    @property
    def facts(self) -> dict[str, str]:
        """Kind and value of each fact that a caption can state."""
        return {"action": self.action, "shirt": self.shirt, "background": self.background}


@dataclass(frozen=True, slots=True)
class Film:
    """A film: its content, and how it is stored.

    Attributes:
        path: relative to the output folder, with forward slashes.
        seed: of everything in its pictures that is random.
        scenes: in the order of time; between them the figure rests.
        num_frames: at the full frame rate; ``num_frames / fps`` is its duration.
        size: width and height as they are shown.
        codec: the encoder's name.
        rotation: how far a player has to turn the stored frames counter-clockwise, in degrees.
        variable_rate: whether some frames are left out, while the others keep their times.
    """

    path: str
    seed: str
    scenes: tuple[Scene, ...]
    num_frames: int
    fps: int
    size: tuple[int, int]
    codec: str
    rotation: int = 0
    variable_rate: bool = False

    @property
    def duration_s(self) -> float:
        """Its length, in seconds."""
        return self.num_frames / self.fps

    @property
    def is_clip(self) -> bool:
        """Whether it shows one action and nothing else."""
        return self.path.startswith("clips/")


def plan(count: int, seed: int, films: int = 0, actions: Actions = "base") -> list[Film]:
    """``count`` clips of one action each, then ``films`` long films; each depends on its number and ``seed`` alone.

    The actions come equally often: every run of as many clips as there are actions has each once.
    """
    chosen = ACTION_SETS[actions]
    clips = [_clip(number, seed, chosen) for number in range(count)]
    return clips + [_long_film(number, seed, chosen) for number in range(films)]


def _clip(number: int, seed: int, actions: tuple[str, ...]) -> Film:
    turn, place = divmod(number, len(actions))
    action = random.Random(f"{seed}/actions/{turn}").sample(actions, len(actions))[place]
    name = f"{seed}/clip/{number}"
    rng = random.Random(name)
    fps = rng.choice((25, 25, 30))
    num_frames = round(rng.uniform(2.0, 2.8) * fps)
    scene = Scene(action, rng.choice(list(SHIRTS)), rng.choice(BACKGROUNDS), 0.0, num_frames / fps)
    size = rng.choices(((320, 240), (426, 240), (480, 360)), (88, 6, 6))[0]
    codec, ending = rng.choices(
        (("libx264", "mp4"), ("libx265", "mp4"), ("libvpx-vp9", "webm"), ("mpeg4", "avi"), ("mpeg4", "mp4")),
        (85, 4, 4, 4, 3),
    )[0]
    special = rng.random() if ending == "mp4" else 1.0
    return Film(
        path=f"clips/{number:05d}-{action.replace(' ', '-')}.{ending}",
        seed=name,
        scenes=(scene,),
        num_frames=num_frames,
        fps=fps,
        size=size,
        codec=codec,
        rotation=rng.choice((90, 180, 270)) if special < 0.055 else 0,
        variable_rate=0.055 <= special < 0.11,
    )


def _long_film(number: int, seed: int, actions: tuple[str, ...]) -> Film:
    name = f"{seed}/film/{number}"
    rng = random.Random(name)
    fps = rng.choice((25, 30))
    shirt, background, length_s = rng.choice(list(SHIRTS)), rng.choice(BACKGROUNDS), rng.uniform(24.0, 58.0)
    scenes: list[Scene] = []
    frame = round(rng.uniform(1.0, 2.0) * fps)
    previous = ""
    while frame < (length_s - 5) * fps:
        action = rng.choice([other for other in actions if other != previous])
        end = frame + round(rng.uniform(2.0, 3.2) * fps)
        scenes.append(Scene(action, shirt, background, frame / fps, end / fps))
        frame, previous = end + round(rng.uniform(1.0, 3.0) * fps), action
    return Film(f"films/{number:02d}.mp4", name, tuple(scenes), frame, fps, (320, 240), "libx264")
