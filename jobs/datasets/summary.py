"""Summarises a dataset: how much there is of each class, and which videos are damaged."""

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
_MAX_SAMPLES = 3  # of each class on a contact sheet
_PICTURE = ModelInput(1, Geometry(resize=120, crop=None))
_INSTANT_S = 1e-4  # shorter than any frame


@dataclass(slots=True)
class ClassSummary:
    """The examples of one class.

    Attributes:
        label: the class; None for examples without a label.
        examples: how many there are.
        minutes: their total length, without damaged ones.
        fps: the lowest and the highest frame rate; None where all are damaged.
        sizes: how many examples have which width and height.
        damaged: how many examples are of no use.
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
    """The summary of a dataset.

    Attributes:
        source: as the user gave it.
        how_split: a sentence that says where the splits come from.
        videos: how many files the examples are moments of.
        captions: how many captions there are.
        classes: in the order of their names.
        damaged: path and reason of videos that are of no use.
        partial: path and reason of videos that can be used in part.
    """

    source: str
    how_split: str
    videos: int
    captions: int
    classes: tuple[ClassSummary, ...]
    damaged: tuple[tuple[str, str], ...]
    partial: tuple[tuple[str, str], ...]

    def as_json(self) -> dict[str, Any]:
        """The summary for programs."""
        data = asdict(self)
        for row, of_class in zip(data["classes"], self.classes, strict=True):
            row["minutes"] = round(row["minutes"], 3)
            row["fps"] = row["fps"] and [round(rate, 3) for rate in row["fps"]]
            row["sizes"] = {f"{width}x{height}": count for (width, height), count in of_class.sizes.most_common()}
            row["splits"] = {split: of_class.splits[split] for split in SPLITS}
        for name in ("damaged", "partial"):
            data[name] = [{"path": path_text(path), "reason": reason} for path, reason in data[name]]
        return data

    def __str__(self) -> str:
        """The summary for people."""
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
    """Summarise a dataset, decoding no more than the first frame of each video.

    Args:
        dataset: what to summarise.
        on_progress: called after each video with how many are done, of how many.
    """
    paths = list(dict.fromkeys(example.path for example in dataset.examples))
    info_of: dict[str, VideoInfo | str] = {}
    partial: dict[str, str] = {}
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:  # reading files releases the interpreter's lock
        for path, (info, problem) in zip(paths, pool.map(_inspect, paths), strict=True):
            info_of[path] = info
            if problem:
                partial[path] = problem
            on_progress(len(info_of), len(paths))
    rows: dict[str | None, ClassSummary] = {}
    damaged: dict[str, str] = {}
    for example in dataset.examples:
        row = rows.setdefault(example.label, ClassSummary(example.label))
        reason = _add(row, example, info_of[example.path])
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


def _inspect(path: str) -> tuple[VideoInfo | str, str]:
    """A video's description, or the reason why it is of no use; and problems with a part of it, or an empty text."""
    (file,) = find_videos([path])
    if isinstance(file, tuple):
        return file[1].reason, ""
    jobs = plan_video(file, Sampling(), [_PICTURE])
    if isinstance(jobs[0], VideoFailed):
        return jobs[0].reason, ""
    problems = [problem.reason for job in jobs if not isinstance(job, VideoFailed) for problem in job.problems]
    return jobs[0].video, "; ".join(problems)


def _add(row: ClassSummary, example: Example, info: VideoInfo | str) -> str | None:
    """Count an example in the row of its class; the reason where it is damaged, else None."""
    row.examples += 1
    row.splits[example.split] += 1
    if isinstance(info, str):
        row.damaged += 1
        return info
    duration_s, rate = info.duration_s or 0.0, info.fps or 0.0
    start_s = example.start_s or 0.0
    if start_s >= duration_s:
        row.damaged += 1
        return f"a moment begins at {start_s:g} s, but the video ends at {duration_s:g} s"
    row.minutes += (min(duration_s, example.end_s or duration_s) - start_s) / 60
    row.fps = (min(rate, row.fps[0]), max(rate, row.fps[1])) if row.fps else (rate, rate)
    row.sizes[info.width or 0, info.height or 0] += 1
    return None


def _cells(row: ClassSummary) -> tuple[str, ...]:
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
    """First and last frame of up to three examples, evenly spread over the class; others replace damaged ones."""
    count = min(_MAX_SAMPLES, len(examples))
    chosen = [number * len(examples) // count for number in range(count)]
    num_drawn = 0
    for number in [*chosen, *(number for number in range(len(examples)) if number not in chosen)]:
        if num_drawn == count:
            return
        try:
            pair = _ends(examples[number])
        except (VideoError, UsageError):
            continue  # the summary names it as damaged
        yield from pair
        num_drawn += 1


def _ends(example: Example) -> list[NDArray[np.uint8]]:
    """The first and the last frame of an example."""
    meta = probe_file(example.path)
    start_s, end_s = example.start_s or 0.0, min(meta.end_s, example.end_s or meta.end_s)
    if start_s >= end_s:
        raise VideoError("probe", "the moment begins after the video's end")
    spans = [Span(start_s, start_s + _INSTANT_S), Span(max(start_s, end_s - _INSTANT_S), end_s)]
    return [frames[0] for frames in decode_seen(example.path, meta, spans, _PICTURE).frames]
