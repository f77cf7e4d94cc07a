"""Options of a training, checked when they are made."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from schemas.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Augmentation:
    """Random changes to a training clip, the same in all of its frames. None of them is on by default.

    Attributes:
        crop: the smallest share of the picture's area that is kept; 1.0 keeps all of it. 0.7 crops to 70 to 100 % and
            resizes.
        light: brightness and contrast change by up to this share: 0.2 gives factors of 0.8 to 1.2.
        window: the shortest share of a clip's time that is kept; 1.0 keeps all of it. 0.7 takes 70 to 100 %.
        mirror: swap left and right in half of the clips. It turns "walking to the left" into its opposite, so it suits only
            classes that have no side.
    """

    crop: float = 1.0
    light: float = 0.0
    window: float = 1.0
    mirror: bool = False

    def __post_init__(self) -> None:
        """Refuse shares out of range."""
        for argument, least, most in (("crop", 0.05, 1), ("light", 0, 0.9), ("window", 0.2, 1)):
            value = getattr(self, argument)
            if not least <= value <= most:
                raise UsageError(f"got {value:g}, expected {least} to {most}", argument=f"augmentation.{argument}")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainOptions:
    """Options that all trainings have.

    Attributes:
        epochs: times that the model sees every training clip.
        batch_size: clips per forward pass and worker.
        accumulate: forward passes per step of the optimiser; the effective batch is ``batch_size * accumulate``.
        learning_rate: the highest, after warm-up; it falls to 0 along a cosine.
        warmup: share of all steps during which the learning rate rises from 0.
        weight_decay: weight decay of AdamW.
        seed: of the splits, the new weights, the order and the augmentation.
        window_s: seconds of a clip; longer examples give several, as at ingest.
        max_clips: the most clips that are taken of one example, evenly spread.
        augmentation: what is changed at random.
        workers: processes that train together under Ray Train; 0 trains in this one.
        threads: threads of each process on a CPU; None leaves that to PyTorch.
        address: Ray cluster that the workers are on; None starts Ray on this machine.
        half: store the weights as fp16, which halves the files; training is not affected.
    """

    epochs: int = 10
    batch_size: int = 8
    accumulate: int = 1
    learning_rate: float = 1e-4
    warmup: float = 0.1
    weight_decay: float = 0.05
    seed: int = 0
    window_s: float = 4.0
    max_clips: int = 4
    augmentation: Augmentation = field(default_factory=Augmentation)
    workers: int = 0
    threads: int | None = None
    address: str | None = None
    half: bool = False

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        for argument, least, most in (
            ("epochs", 1, 100_000),
            ("batch_size", 1, 65_536),
            ("accumulate", 1, 65_536),
            ("learning_rate", 1e-9, 10),
            ("warmup", 0, 0.9),
            ("weight_decay", 0, 10),
            ("seed", 0, 2**31 - 1),
            ("window_s", 0.1, 3600),
            ("max_clips", 1, 10_000),
            ("workers", 0, 4096),
            ("threads", 1, 4096),
        ):
            value = getattr(self, argument)
            if value is not None and not least <= value <= most:
                raise UsageError(f"got {value:g}, expected {least} to {most}", argument=argument)

    @property
    def cpus(self) -> int:
        """How many processes decode."""
        return len(os.sched_getaffinity(0))
