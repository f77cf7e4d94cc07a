"""What a run of annotators did, as an object, as text and as JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from schemas.records import path_text
from schemas.text import clock, column_lines, lines_text

_MAX_FAILURES = 20


@dataclass(slots=True)
class AnnotatorReport:
    """The counts of one annotator.

    Attributes:
        done: videos that it read.
        partial: videos of which it read some.
        failed: videos that it could not read.
        unchanged: videos that it had read before.
        rows: rows that it wrote.
        video_seconds: seconds of video that it read.
        busy_seconds: how long that took, in all processes together.
    """

    done: int = 0
    partial: int = 0
    failed: int = 0
    unchanged: int = 0
    rows: int = 0
    video_seconds: float = 0.0
    busy_seconds: float = 0.0


@dataclass(slots=True)
class AnnotateReport:
    """The counts of a run, by annotator.

    Attributes:
        failures: path, annotator and reason of what failed.
        interrupted: whether somebody stopped the run.
        left: the number of videos that each annotator has not come to, as the time was up; without those that have none.
    """

    annotators: dict[str, AnnotatorReport] = field(default_factory=dict)
    failures: list[tuple[str, str, str]] = field(default_factory=list)
    wall_seconds: float = 0.0
    interrupted: bool = False
    left: dict[str, int] = field(default_factory=dict)

    def changes(self) -> dict[str, int]:
        """The counts that the library's history keeps: the videos that each annotator read."""
        return {f"{name}_read": of.done for name, of in self.annotators.items()}

    def as_json(self) -> dict[str, Any]:
        """The object that ``--json`` prints."""
        annotators = {name: _rounded(asdict(of)) for name, of in self.annotators.items()}
        return {"annotators": annotators, "wall_seconds": round(self.wall_seconds, 3)}


def annotate_text(report: AnnotateReport) -> str:
    """The closing lines of a run."""
    return lines_text(annotate_lines(report))


def annotate_lines(report: AnnotateReport) -> list[str]:
    """The same, line by line."""
    rows = [
        (
            name,
            str(of.done),
            str(of.partial),
            str(of.failed),
            str(of.unchanged),
            str(of.rows),
            clock(of.video_seconds),
            f"{of.video_seconds / of.busy_seconds:.1f}" if of.busy_seconds and of.video_seconds else "",
        )
        for name, of in report.annotators.items()
    ]
    heading = ("annotator", "read", "partial", "failed", "unchanged", "rows", "of video", "video s per s and process")
    lines = list(column_lines(heading, rows))
    lines += [f"  {path_text(path)}: {name}: {reason}" for path, name, reason in report.failures[:_MAX_FAILURES]]
    if len(report.failures) > _MAX_FAILURES:
        lines.append(f"  and {len(report.failures) - _MAX_FAILURES} more: select path, annotation_error from videos")
    return lines


def _rounded(counts: dict[str, Any]) -> dict[str, Any]:
    return {name: round(value, 3) if isinstance(value, float) else value for name, value in counts.items()}
