"""The report of a training, as an object, as JSON and as text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jobs.datasets.examples import Split
from jobs.train.clip_cache import LeftOut
from jobs.train.trainer import TrainingResult
from schemas.text import lines_text


@dataclass(frozen=True, slots=True)
class TrainReport:
    """The outcome of a training command.

    Attributes:
        command: ``finetune``, ``pretrain`` or ``align``.
        output: the checkpoint's folder.
        clips: clips per split.
        left_out: videos that could not be used, or not whole.
        trained: the measures.
        extra: the command's own options, by name.
    """

    command: str
    output: Path
    clips: dict[Split, int]
    left_out: tuple[LeftOut, ...]
    trained: TrainingResult
    extra: dict[str, Any] = field(default_factory=dict)


def full_spread(output_dim: int) -> float:
    """The spread of outputs that lie evenly on the sphere: 1 over the root of their dimension, 0.0221 for 2,048."""
    return 1 / math.sqrt(output_dim)


def spread_rows(watched: Sequence[dict[str, float]], num_rows: int) -> list[dict[str, float]]:
    """At most ``num_rows`` rows of `TrainingResult.watched` with a spread, evenly chosen, the last among them."""
    rows = [row for row in watched if "spread" in row]
    if len(rows) <= num_rows:
        return rows
    return [rows[round(number * (len(rows) - 1) / (num_rows - 1))] for number in range(num_rows)]


def training_json(report: TrainReport) -> dict[str, Any]:
    """A training's outcome for programs."""
    return {
        "command": report.command,
        "output": str(report.output),
        "clips": dict(report.clips),
        "left_out": [{"path": video.path, "reason": video.reason} for video in report.left_out],
        "best": report.trained.best,
        "test": report.trained.test,
        "curve": list(report.trained.curve),
        **({"watched": list(report.trained.watched)} if report.trained.watched else {}),
        **({"silent_examples": report.extra["silent_examples"]} if "silent_examples" in report.extra else {}),
        "seconds": round(report.trained.seconds, 1),
    }


def training_text(report: TrainReport) -> str:
    """A training's outcome for people."""
    trained = report.trained
    lines = [f"{split:<6} {count:>7} clips" for split, count in report.clips.items()]
    for name, measures in (("validation", trained.best), ("test", trained.test)):
        if measures:
            values = ", ".join(f"{key.replace('_', ' ')} {value:.3f}" for key, value in measures.items() if key != "epoch")
            lines.append(
                f"{name}: {values}" + (f" (epoch {measures['epoch']:g}, the {trained.kept})" if "epoch" in measures else "")
            )
    if rows := spread_rows(trained.watched, num_rows=5):
        spreads, directions = (", ".join(f"{row[name]:.4g}" for row in rows) for name in ("spread", "directions"))
        lines.append(
            f"spread of the outputs: {spreads} ({full_spread(report.extra['output_dim']):.4g} is full, 0 is collapsed)"
        )
        lines.append(f"their directions: {directions} (1 is collapsed)")
    if "silent_examples" in report.extra:
        lines.append(f"taken for silent: {report.extra['silent_examples']} examples")
    if report.left_out:
        lines.append(f"left out or damaged: {len(report.left_out)}, named above and in the model card's count")
    lines.append(f"{report.output}: trained in {trained.seconds / 60:.1f} minutes, {trained.dtype}")
    return lines_text(lines)
