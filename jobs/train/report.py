"""The report of a training, as an object, as JSON and as text."""

from __future__ import annotations

from dataclasses import dataclass
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
    """

    command: str
    output: Path
    clips: dict[Split, int]
    left_out: tuple[LeftOut, ...]
    trained: TrainingResult


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
        "seconds": round(report.trained.seconds, 1),
    }


def training_text(report: TrainReport) -> str:
    """A training's outcome for people."""
    trained = report.trained
    lines = [f"{split:<6} {count:>7} clips" for split, count in report.clips.items()]
    for name, measures in (("validation", trained.best), ("test", trained.test)):
        if measures:
            values = ", ".join(f"{key.replace('_', ' ')} {value:.3f}" for key, value in measures.items() if key != "epoch")
            lines.append(f"{name}: {values}" + (f" (epoch {measures['epoch']:g}, the best)" if "epoch" in measures else ""))
    if report.left_out:
        lines.append(f"left out or damaged: {len(report.left_out)}, named above and in the model card's count")
    lines.append(f"{report.output}: trained in {trained.seconds / 60:.1f} minutes, {trained.dtype}")
    return lines_text(lines)
