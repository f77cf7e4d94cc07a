"""The options of evaluating a model, and its inputs: the split, the views of each example, and their pixels."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from jobs.datasets.decode import decode_ahead, decode_sound
from jobs.datasets.examples import SPLITS, Dataset, Example, Split
from jobs.evaluate.progress import EvaluationProgress
from pipeline.frames import Frames
from pipeline.models.preprocessing import Preprocessing
from pipeline.sampling import view_spans
from schemas.errors import JobError, UsageError
from schemas.models import Geometry, ModelInput, PatchBudget, Views
from schemas.options import Precision
from schemas.records import Span

if TYPE_CHECKING:
    import torch

_CLIPS_PER_EXAMPLE = 5  # of several views, each in three crops: VideoMAE's 5 x 3 (Tong et al., 2022)
_MAX_NAMED = 20  # names that a message lists


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateOptions:
    """Options of evaluating a model.

    Attributes:
        split: which split is measured; None takes test where the dataset has one, else val, else all.
        views: ``single`` classifies the middle clip of an example, ``multi`` 5 clips of it in 3 crops each; a number as many
            parts of the middle clip, as `schemas.models.Views`.
        captions: captions that an embedder finds the clips of, in each draw.
        draws: how often captions are drawn.
        seed: of the splits, the draws and the shuffling.
        window_s: seconds of a clip.
        batch_size: clips per forward pass.
        shuffle: put the frames of each clip into a random order, to see how much a result depends on their order.
        pairs: pairs of labels, or of values of a kind of fact, each with a comma between: measure how well the two are told
            apart.
        precision: the arithmetic of the model.
        frames: frames of a clip that a classifier is shown, of a VideoMAE or a TimeSformer; None for its own number.
    """

    split: Split | Literal["all"] | None = None
    views: Literal["single", "multi"] | int = "single"
    captions: int = 200
    draws: int = 3
    seed: int = 0
    window_s: float = 4.0
    batch_size: int = 32
    shuffle: bool = False
    pairs: tuple[str, ...] = ()
    precision: Precision = "fp32"
    frames: int | None = None

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        for argument, least, most in (
            ("captions", 2, 100_000),
            ("draws", 1, 1000),
            ("seed", 0, 2**31 - 1),
            ("window_s", 0.1, 3600),
            ("batch_size", 1, 65_536),
        ):
            value = getattr(self, argument)
            if not least <= value <= most:
                raise UsageError(f"got {value:g}, expected {least} to {most}", argument=argument)


def choose_split(dataset: Dataset, split: str | None) -> tuple[dict[str, Any], tuple[Example, ...]]:
    """Choose the split to measure: ``source``, ``split`` and ``why`` of `ModelResults`, and the examples.

    Raises:
        UsageError: the split that was asked for is empty.
    """
    counts = {name: len(dataset.of(name)) for name in SPLITS}
    chosen = split or next((name for name in ("test", "val") if counts[name]), "all")
    examples = tuple(example for example in dataset.examples if chosen in (example.split, "all"))
    if not examples:
        expected = ", ".join([*(f"{name} ({count})" for name, count in counts.items() if count), "all"])
        message = f"{dataset.source} has no example in it, expected {expected}; take another"
        raise UsageError(message, argument="split", value=split)
    reason = {
        "test": "the test split",
        "val": "the val split, since there is no test split",
        "all": "all of it, since there is neither a test nor a val split",
    }[chosen] if split is None else f"as --split {split} says"  # fmt: skip
    return {"source": dataset.source, "split": chosen, "why": f"{reason}; splits {dataset.how_split}"}, examples


def middle_span(start_s: float, end_s: float, window_s: float) -> list[Span]:
    """The middle ``window_s`` seconds, or all of a shorter example: of [0, 10) and 4 s, [3, 7)."""
    spare_s = max(0.0, end_s - start_s - window_s)
    return [Span(start_s + spare_s / 2, end_s - spare_s / 2)]


def spread_spans(start_s: float, end_s: float, window_s: float) -> list[Span]:
    """Five windows evenly spread from the start to the end; one window for an example that is no longer than that.

    Of [0, 10) and 4 s: [0, 4), [1.5, 5.5), [3, 7), [4.5, 8.5), [6, 10).
    """
    return view_spans(Span(start_s, end_s), Views(_CLIPS_PER_EXAMPLE, window_s))


def middle_views(start_s: float, end_s: float, window_s: float, views: Views) -> list[Span]:
    """The views of the clip that `middle_span` gives."""
    return [view for span in middle_span(start_s, end_s, window_s) for view in view_spans(span, views)]


def uncropped(geometry: Geometry) -> tuple[Geometry, tuple[int, int]]:
    """A geometry without its crop, its pictures at least as large as the crop; and the crop's (height, width)."""
    resize, crop = geometry.resize, geometry.crop
    if isinstance(resize, tuple):
        crop = crop or resize
        return replace(geometry, resize=(max(resize[0], crop[0]), max(resize[1], crop[1])), crop=None), crop
    assert crop is not None  # the preprocessing was refused otherwise
    assert not isinstance(resize, PatchBudget), "no classifier takes it"
    return replace(geometry, resize=max(resize or 0, *crop), crop=None), crop


def three_crops(frames: Frames, crop: tuple[int, int]) -> list[Frames]:
    """Three crops: both ends and the middle of the longer edge, centred on the other; one where they would be the same.

    Args:
        frames: uint8 [num_frames, height, width, 3].
        crop: (height, width).
    """
    spare = [frames.shape[1] - crop[0], frames.shape[2] - crop[1]]
    longer = int(frames.shape[2] >= frames.shape[1])
    crops = []
    for offset in sorted({0, spare[longer] // 2, spare[longer]}):
        top, left = (offset, spare[1] // 2) if longer == 0 else (spare[0] // 2, offset)
        crops.append(frames[:, top : top + crop[0], left : left + crop[1]])
    return crops


@dataclass(slots=True)
class ExampleLoader:
    """Loads examples as batches of pixels; they are decoded ahead in other processes.

    Attributes:
        examples: what is loaded.
        preprocessing: of the model.
        options: which views to make, and how many to a batch.
        say: called with each sentence that a user should read at once.
        on_progress: called after each batch.
        left_out: path and reason of examples that cannot be decoded; filled by `batches`.
        damaged: path and reason of those that can be in part; filled by `batches`.
        silent: paths of those that have no sound; filled by `sound`.
    """

    examples: Sequence[Example]
    preprocessing: Preprocessing
    options: EvaluateOptions
    say: Callable[[str], None]
    on_progress: Callable[[EvaluationProgress], None]
    left_out: list[tuple[str, str]] = field(default_factory=list)
    damaged: list[tuple[str, str]] = field(default_factory=list)
    silent: list[str] = field(default_factory=list)

    def batches(self, device: torch.device, dtype: torch.dtype) -> Iterator[tuple[list[int], torch.Tensor]]:
        """Numbers of examples, one for each view, and the views' pixels [views, num_frames, 3, height, width].

        Args:
            device: where the pixels go.
            dtype: their type.

        Raises:
            JobError: not one example can be decoded.
        """
        from pipeline.models.pixels import make_pixels

        views, began = self._views(), time.monotonic()
        while batch := list(islice(views, self.options.batch_size)):
            numbers = [number for number, _ in batch]
            yield numbers, make_pixels(np.stack([view for _, view in batch]), self.preprocessing, device, dtype)
            elapsed_s = time.monotonic() - began
            self.on_progress(EvaluationProgress(numbers[-1] + 1, len(self.examples), elapsed_s, "measured", "examples"))
        if len(self.left_out) == len(self.examples):
            raise JobError(f"not one of {len(self.examples)} examples can be decoded; {': '.join(self.left_out[0])}")

    def sound(self, number: int, num_samples: int) -> NDArray[np.float32]:
        """The sound of an example's middle, float32 [num_samples]; silence where it has none, which `silent` then lists."""
        example = self.examples[number]
        heard, _ = decode_sound(example, partial(middle_span, window_s=self.options.window_s), num_samples)
        if heard is None:
            self.silent.append(example.path)
            return np.zeros(num_samples, np.float32)
        sound: NDArray[np.float32] = heard[0]
        return sound

    def _views(self) -> Iterator[tuple[int, Frames]]:
        """Number of the example and uint8 [num_frames, height, width, 3], for each view."""
        model_input, crop = self.preprocessing.input, None
        spans: Callable[..., list[Span]] = middle_span
        if self.options.views == "multi":
            geometry, crop = uncropped(model_input.geometry)
            model_input, spans = ModelInput(model_input.num_frames, geometry), spread_spans
        if model_input.views is not None:
            spans, model_input = partial(middle_views, views=model_input.views), replace(model_input, views=None)
        cut = partial(spans, window_s=self.options.window_s)
        for number, (example, (clips, problem)) in enumerate(decode_ahead(self.examples, cut, model_input)):
            if problem:
                (self.left_out if clips is None else self.damaged).append((example.path, problem))
                self.say(f"{'left out' if clips is None else 'damaged'}: {example.path}: {problem}")
            rng = np.random.default_rng((self.options.seed, number))
            for clip in () if clips is None else clips:
                frames = clip[rng.permutation(len(clip))] if self.options.shuffle else clip
                yield from ((number, view) for view in (three_crops(frames, crop) if crop else [frames]))


def quoted_names(names: Sequence[str]) -> str:
    """The first names in quotes, and how many more there are."""
    more = len(names) - _MAX_NAMED
    return ", ".join(map(repr, names[:_MAX_NAMED])) + (f" and {more} more" if more > 0 else "")


def named_pair(text: str, groups: Sequence[Sequence[str]], noun: str) -> tuple[int, str, str]:
    """Read ``A,B`` as two names of one group.

    Args:
        text: two names with a comma between; names may hold commas themselves.
        groups: the names to choose from.
        noun: what they are, for the message.

    Returns:
        The group's number, and the two names.

    Raises:
        UsageError: no group has two such names.
    """
    parts = text.split(",")
    for cut in range(1, len(parts)):
        first, second = ",".join(parts[:cut]).strip(), ",".join(parts[cut:]).strip()
        for number, names in enumerate(groups):
            if first != second and first in names and second in names:
                return number, first, second
    names = [name for group in groups for name in group]
    raise UsageError(
        f"got {text!r}, expected two of {noun} with a comma between ({quoted_names(names) or 'there are none'}); "
        "take two of them, or leave it out",
        argument="pairs",
    )
