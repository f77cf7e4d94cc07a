"""What tags find and how well they were learnt, as objects and as text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from schemas.text import clock, column_lines, columns_text, lines_text, short_path


def tags_text(found: Sequence[TagReport]) -> str:
    """What tags find, one a line."""
    rows = [
        (
            one.tag,
            f"{one.likely} of {one.clips}",
            f"{one.best_score:.3f}",
            f"{clock(one.start_s)}-{clock(one.end_s)}",
            short_path(one.path),
        )
        for one in found
    ]
    return columns_text(("tag", "likely clips", "best", "time", "path"), rows)


def teach_text(report: TeachReport) -> str:
    """What tags were taught with, how well they were learnt, and what they find."""
    names = ("tag", "moments", "clips", "others", "presumed", "accuracy")
    rows = [(one.tag, *(str(getattr(one, name)) for name in names[1:-1]), f"{one.accuracy:.3f}") for one in report.taught]
    lines = [
        *column_lines(names, rows),
        f"accuracy: cross-validated in {report.folds} parts, whole moments apart; 0.5 is chance",
    ]
    if report.top_accuracy is not None:
        lines.append(f"the best of the {len(rows)} tags is right for {report.top_accuracy:.1%} of the marked clips")
    return "\n".join([lines_text(lines), "", tags_text([one.found for one in report.taught])])


@dataclass(frozen=True, slots=True)
class TagReport:
    """What a tag finds in a library.

    Attributes:
        clips: clips that were scored: all that can be found.
        likely: those of them with a score of 0.5 or more.
        best_score: the highest score.
        path: the video of the clip that has it.
        start_s: where that clip begins.
        end_s: where it ends.
        prompt: the texts that the name stands for; None for a taught one.
        model: what scored it.
    """

    tag: str
    clips: int
    likely: int
    best_score: float
    path: str
    start_s: float
    end_s: float
    prompt: str | None
    model: str


@dataclass(frozen=True, slots=True)
class Taught:
    """What a tag was taught with, how well it was learnt, and what it finds.

    Attributes:
        moments: marked moments that have clips; those that overlap count once.
        clips: clips that show them.
        others: clips of other tags' moments that it was told from.
        presumed: clips without any mark that it was told from too, on the presumption that they show something else.
        accuracy: the mean of two shares: of the tag's clips, those judged likely; of the others, those judged not. Each is
            judged by a probe that has seen no clip of the same moment. 0.5 is chance.
        found: what the tag finds in the library.
    """

    tag: str
    moments: int
    clips: int
    others: int
    presumed: int
    accuracy: float
    found: TagReport


@dataclass(frozen=True, slots=True)
class TeachReport:
    """What came of teaching.

    Attributes:
        folds: parts that the cross-validation was in.
        top_accuracy: share of the marked clips whose highest probability, cross-validated, is a tag that they show; None
            where only one tag was taught.
    """

    taught: tuple[Taught, ...]
    folds: int
    top_accuracy: float | None
