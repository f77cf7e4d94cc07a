"""Look a dataset over before anything is learnt from it: what each class has, and what is damaged."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from jobs.datasets.examples import SPLITS, Dataset, Example
from jobs.images import sheet
from pipeline.frames import decode_seen, probe_file
from pipeline.process import plan_video
from pipeline.sources.find import find_videos
from schemas.errors import UsageError, VideoError
from schemas.models import Geometry, ModelInput
from schemas.options import Sampling
from schemas.records import Span, VideoFailed, VideoInfo, path_text
from schemas.text import column_lines, lines_text

_NO_CLASS = "(no label)"
_SAMPLES = 3  # of each class on a sheet
_PICTURE = ModelInput(1, Geometry(resize=120, crop=None))
_MOMENT_S = 1e-4  # shorter than any frame


@dataclass(slots=True)
class ClassRow:
    """What the data has of one class.

    Attributes:
        label: its name; None stands for what has none.
        examples: moments of it.
        minutes: how long they are together, without what is damaged.
        fps: the lowest and the highest frame rate; None where all is damaged.
        sizes: how many examples have which width and height.
        damaged: examples of which nothing can be learnt.
        splits: how many examples are in train, val and test.
    """

    label: str | None
    examples: int = 0
    minutes: float = 0.0
    fps: tuple[float, float] | None = None
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    damaged: int = 0
    splits: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Survey:
    """What a dataset holds.

    Attributes:
        source: as the user gave it.
        how_split: where the splits come from.
        videos: files that the examples are moments of.
        captions: sentences in all.
        classes: in the order of their names.
        damaged: path and reason of what cannot be learnt from.
        partial: path and reason of what can be learnt from in part.
    """

    source: str
    how_split: str
    videos: int
    captions: int
    classes: tuple[ClassRow, ...]
    damaged: tuple[tuple[str, str], ...]
    partial: tuple[tuple[str, str], ...]

    def as_json(self) -> dict[str, Any]:
        """What ``--json`` prints."""
        found = asdict(self)
        for row, of_class in zip(found["classes"], self.classes, strict=True):
            row["minutes"] = round(row["minutes"], 3)
            row["fps"] = row["fps"] and [round(rate, 3) for rate in row["fps"]]
            row["sizes"] = {f"{width}x{height}": count for (width, height), count in of_class.sizes.most_common()}
            row["splits"] = {split: of_class.splits[split] for split in SPLITS}
        for name in ("damaged", "partial"):
            found[name] = [{"path": path_text(path), "reason": reason} for path, reason in found[name]]
        return found

    def __str__(self) -> str:
        """A table and what is to be said of it, for people."""
        rows = [_cells(row) for row in self.classes]
        names = ("class", "examples", "minutes", "frames a second", "size", "damaged", *SPLITS)
        total = sum((row.splits for row in self.classes), Counter[str]())
        lines = [
            *column_lines(names, rows),
            "",
            f"{sum(row.examples for row in self.classes)} examples of {self.videos} videos in "
            f"{sum(row.label is not None for row in self.classes)} classes, {self.captions} captions, "
            f"{sum(row.minutes for row in self.classes):.1f} minutes: "
            + ", ".join(f"{total[split]} {split}" for split in SPLITS),
            f"splits: {self.how_split}",
            *(f"damaged: {path_text(path)}: {reason}" for path, reason in self.damaged),
            *(f"damaged in part: {path_text(path)}: {reason}" for path, reason in self.partial),
        ]
        return lines_text(lines)


def survey(dataset: Dataset, *, on_progress: Callable[[int, int], None] = lambda done, total: None) -> Survey:
    """Read what every video of ``dataset`` is, without decoding more than its first frame.

    Args:
        dataset: what to look over.
        on_progress: told after each video how many are done, of how many.
    """
    paths = list(dict.fromkeys(example.path for example in dataset.examples))
    facts: dict[str, VideoInfo | str] = {}
    partial: dict[str, str] = {}
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:  # reading files lets go of Python's lock
        for path, (found, problem) in zip(paths, pool.map(_facts, paths), strict=True):
            facts[path] = found
            if problem:
                partial[path] = problem
            on_progress(len(facts), len(paths))
    rows: dict[str | None, ClassRow] = {}
    damaged: dict[str, str] = {}
    for example in dataset.examples:
        row = rows.setdefault(example.label, ClassRow(example.label))
        reason = _add(row, example, facts[example.path])
        if reason:
            damaged.setdefault(example.path, reason)
    return Survey(
        source=dataset.source,
        how_split=dataset.how_split,
        videos=len(paths),
        captions=sum(len(example.captions) for example in dataset.examples),
        classes=tuple(sorted(rows.values(), key=lambda row: (row.label is None, row.label or ""))),
        damaged=tuple(damaged.items()),
        partial=tuple(partial.items()),
    )


def contact_sheet(dataset: Dataset) -> Image.Image:
    """A row for each class: the first and the last frame of up to three examples that can be decoded."""
    of_label: dict[str, list[Example]] = {}
    for example in dataset.examples:
        of_label.setdefault(_NO_CLASS if example.label is None else example.label, []).append(example)
    return sheet([(label, list(_samples(of_label[label]))) for label in sorted(of_label)])


def _facts(path: str) -> tuple[VideoInfo | str, str]:
    """What a video is, or why it is damaged; and what is wrong with it otherwise."""
    (file,) = find_videos([path])
    if isinstance(file, tuple):
        return file[1].reason, ""
    planned = plan_video(file, Sampling(), [_PICTURE])
    if isinstance(planned[0], VideoFailed):
        return planned[0].reason, ""
    problems = [problem.reason for job in planned if not isinstance(job, VideoFailed) for problem in job.problems]
    return planned[0].video, "; ".join(problems)


def _add(row: ClassRow, example: Example, found: VideoInfo | str) -> str | None:
    """Count an example; why it is damaged, if it is."""
    row.examples += 1
    row.splits[example.split] += 1
    if isinstance(found, str):
        row.damaged += 1
        return found
    duration_s, rate = found.duration_s or 0.0, found.fps or 0.0
    start_s = example.start_s or 0.0
    if start_s >= duration_s:
        row.damaged += 1
        return f"a moment begins at {start_s:g} s, but the video ends at {duration_s:g} s"
    row.minutes += (min(duration_s, example.end_s or duration_s) - start_s) / 60
    row.fps = (min(rate, row.fps[0]), max(rate, row.fps[1])) if row.fps else (rate, rate)
    row.sizes[found.width or 0, found.height or 0] += 1
    return None


def _cells(row: ClassRow) -> tuple[str, ...]:
    low, high = (f"{rate:.4g}" for rate in row.fps or (0.0, 0.0))
    (width, height), _ = next(iter(row.sizes.most_common(1)), ((0, 0), 0))
    others = len(row.sizes) - 1
    return (
        _NO_CLASS if row.label is None else row.label,
        str(row.examples),
        f"{row.minutes:.1f}",
        "" if row.fps is None else low if low == high else f"{low}-{high}",
        "" if not row.sizes else f"{width} x {height}" + (f" and {others} other{'s' * (others > 1)}" if others else ""),
        str(row.damaged),
        *(str(row.splits[split]) for split in SPLITS),
    )


def _samples(examples: Sequence[Example]) -> Iterator[NDArray[np.uint8]]:
    """First and last frame of examples that are spread evenly over the class; others stand in for the damaged."""
    count = min(_SAMPLES, len(examples))
    chosen = [number * len(examples) // count for number in range(count)]
    shown = 0
    for number in [*chosen, *(number for number in range(len(examples)) if number not in chosen)]:
        if shown == count:
            return
        try:
            pair = _ends(examples[number])
        except (VideoError, UsageError):
            continue  # the survey says what is wrong with it
        yield from pair
        shown += 1


def _ends(example: Example) -> list[NDArray[np.uint8]]:
    meta = probe_file(example.path)
    start_s, end_s = example.start_s or 0.0, min(meta.end_s, example.end_s or meta.end_s)
    if start_s >= end_s:
        raise VideoError("probe", "the moment begins after the video's end")
    spans = [Span(start_s, start_s + _MOMENT_S), Span(max(start_s, end_s - _MOMENT_S), end_s)]
    return [frames[0] for frames in decode_seen(example.path, meta, spans, _PICTURE).frames]
