"""How a model is measured, and what it is shown for it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from jobs.datasets.decode import decode_ahead
from jobs.datasets.examples import SPLITS, Dataset, Example, Split
from pipeline.frames import Frames
from pipeline.models.preprocessing import Preprocessing
from schemas.errors import JobError, UsageError
from schemas.models import Geometry, ModelInput
from schemas.options import Precision
from schemas.records import Span

if TYPE_CHECKING:
    import torch

_TIMES = 5  # clips of an example in several views, each in three crops: VideoMAE's 5 x 3 (Tong et al., 2022)
_NAMED = 20  # names that a message lists


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateOptions:
    """How a model is measured.

    Attributes:
        split: what is measured; None takes test where the data has one, else val, else all.
        views: ``single`` shows a classifier the middle of an example, ``multi`` 5 clips of it in 3 crops each.
        captions: captions that an embedder is to find the clips of, in each draw.
        draws: how often they are drawn.
        seed: of the splits, the draws and the shuffling.
        window_s: seconds of a clip.
        batch_size: clips per forward pass.
        shuffle: show the frames of each clip in a random order, to see how much of a result hangs on their order.
        pairs: two labels, or two values of a kind of fact, with a comma between: how often they are told from each other.
        precision: what the model computes in.
    """

    split: Split | Literal["all"] | None = None
    views: Literal["single", "multi"] = "single"
    captions: int = 200
    draws: int = 3
    seed: int = 0
    window_s: float = 4.0
    batch_size: int = 32
    shuffle: bool = False
    pairs: tuple[str, ...] = ()
    precision: Precision = "fp32"

    def __post_init__(self) -> None:
        """Refuse what nothing could be measured with."""
        for option, value, least, most in (
            ("--captions", self.captions, 2, 100_000),
            ("--draws", self.draws, 1, 1000),
            ("--seed", self.seed, 0, 2**31 - 1),
            ("--window", self.window_s, 0.1, 3600.0),
            ("--batch-size", self.batch_size, 1, 65_536),
        ):
            if not least <= value <= most:
                raise UsageError(f"{option}: got {value:g}, expected {least:g} to {most:g}")


@dataclass(frozen=True, slots=True)
class Measuring:
    """A moment of a measurement."""

    done: int
    total: int
    elapsed_s: float

    def __str__(self) -> str:
        return f"measured {self.done} of {self.total} examples, {self.elapsed_s:.0f} s so far"


def choose_split(dataset: Dataset, split: str | None) -> tuple[dict[str, Any], tuple[Example, ...]]:
    """What is measured: source, split and why, as `Measured` has them; and the examples.

    Raises:
        UsageError: the split that was asked for is empty.
    """
    counts = {name: len(dataset.of(name)) for name in SPLITS}
    chosen = split or next((name for name in ("test", "val") if counts[name]), "all")
    examples = tuple(example for example in dataset.examples if chosen in (example.split, "all"))
    if not examples:
        have = ", ".join([*(f"{name} ({count})" for name, count in counts.items() if count), "all"])
        raise UsageError(f"--split {split}: {dataset.source} has no example in it, expected {have}; take another")
    reason = {
        "test": "the test split",
        "val": "the val split, since there is no test split",
        "all": "all of it, since there is neither a test nor a val split",
    }[chosen] if split is None else f"as --split {split} says"  # fmt: skip
    return {"source": dataset.source, "split": chosen, "why": f"{reason}; splits {dataset.how_split}"}, examples


def middle_span(start_s: float, end_s: float, window_s: float) -> list[Span]:
    """The ``window_s`` seconds in the middle, or all where there are no more: of [0, 10) and 4 s, [3, 7)."""
    spare_s = max(0.0, end_s - start_s - window_s)
    return [Span(start_s + spare_s / 2, end_s - spare_s / 2)]


def spread_spans(start_s: float, end_s: float, window_s: float) -> list[Span]:
    """Five windows evenly spread from the beginning to the end; a single one where all five would be the same.

    Of [0, 10) and 4 s: [0, 4), [1.5, 5.5), [3, 7), [4.5, 8.5), [6, 10).
    """
    spare_s = end_s - start_s - window_s
    if spare_s <= 0:
        return [Span(start_s, end_s)]
    starts = [start_s + spare_s * number / (_TIMES - 1) for number in range(_TIMES)]
    return [Span(begin_s, begin_s + window_s) for begin_s in starts]


def uncropped(geometry: Geometry) -> tuple[Geometry, tuple[int, int]]:
    """The same pictures before they are cut, at least as large as the cut; and the cut's (height, width)."""
    resize, crop = geometry.resize, geometry.crop
    if isinstance(resize, tuple):
        crop = crop or resize
        return Geometry((max(resize[0], crop[0]), max(resize[1], crop[1])), None, geometry.interpolation), crop
    assert crop is not None  # the preprocessing was refused otherwise
    return Geometry(max(resize or 0, *crop), None, geometry.interpolation), crop


def three_crops(frames: Frames, crop: tuple[int, int]) -> list[Frames]:
    """Both ends and the middle along the longer edge, the middle along the other; one where they would be the same.

    Args:
        frames: uint8 [num_frames, height, width, 3].
        crop: (height, width).
    """
    spare = [frames.shape[1] - crop[0], frames.shape[2] - crop[1]]
    longer = int(frames.shape[2] >= frames.shape[1])
    pieces = []
    for offset in sorted({0, spare[longer] // 2, spare[longer]}):
        top, left = (offset, spare[1] // 2) if longer == 0 else (spare[0] // 2, offset)
        pieces.append(frames[:, top : top + crop[0], left : left + crop[1]])
    return pieces


@dataclass(slots=True)
class Source:
    """Examples as pixels: decoded ahead in other processes, a few at a time."""

    examples: Sequence[Example]
    preprocessing: Preprocessing
    options: EvaluateOptions
    say: Callable[[str], None]
    on_progress: Callable[[Measuring], None]
    left_out: list[tuple[str, str]] = field(default_factory=list)
    damaged: list[tuple[str, str]] = field(default_factory=list)

    def batches(self, device: torch.device, dtype: torch.dtype) -> Iterator[tuple[list[int], torch.Tensor]]:
        """Numbers of examples, one for each view, and the views' pixels.

        Raises:
            JobError: not one example can be decoded.
        """
        from pipeline.models.pixels import make_pixels

        views, began = self._views(), time.monotonic()
        while batch := list(islice(views, self.options.batch_size)):
            numbers = [number for number, _ in batch]
            yield numbers, make_pixels(np.stack([view for _, view in batch]), self.preprocessing, device, dtype)
            self.on_progress(Measuring(numbers[-1] + 1, len(self.examples), time.monotonic() - began))
        if len(self.left_out) == len(self.examples):
            raise JobError(f"not one of {len(self.examples)} examples can be decoded; {': '.join(self.left_out[0])}")

    def _views(self) -> Iterator[tuple[int, Frames]]:
        wanted, crop, spans = self.preprocessing.input, None, middle_span
        if self.options.views == "multi":
            geometry, crop = uncropped(wanted.geometry)
            wanted, spans = ModelInput(wanted.num_frames, geometry), spread_spans
        cut = partial(spans, window_s=self.options.window_s)
        for number, (example, (clips, problem)) in enumerate(decode_ahead(self.examples, cut, wanted)):
            if problem:
                (self.left_out if clips is None else self.damaged).append((example.path, problem))
                self.say(f"{'left out' if clips is None else 'damaged'}: {example.path}: {problem}")
            chance = np.random.default_rng((self.options.seed, number))
            for clip in () if clips is None else clips:
                shown = clip[chance.permutation(len(clip))] if self.options.shuffle else clip
                yield from ((number, view) for view in (three_crops(shown, crop) if crop else [shown]))


def listed(names: Sequence[str]) -> str:
    """The first names, quoted, and how many more there are."""
    more = len(names) - _NAMED
    return ", ".join(map(repr, names[:_NAMED])) + (f" and {more} more" if more > 0 else "")


def named_pair(given: str, groups: Sequence[Sequence[str]], what: str) -> tuple[int, str, str]:
    """Which group, and two names of it, out of ``A,B``; names may hold commas themselves."""
    parts = given.split(",")
    for cut in range(1, len(parts)):
        one, other = ",".join(parts[:cut]).strip(), ",".join(parts[cut:]).strip()
        for number, names in enumerate(groups):
            if one != other and one in names and other in names:
                return number, one, other
    names = [name for group in groups for name in group]
    raise UsageError(
        f"--pair: got {given!r}, expected two of {what} with a comma between ({listed(names) or 'there are none'}); "
        "take two of them, or leave it out"
    )
