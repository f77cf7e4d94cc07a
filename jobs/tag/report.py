"""Reports of tagging and teaching, as objects and as text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from schemas.text import clock, column_lines, columns_text, lines_text, short_path


@dataclass(frozen=True, slots=True)
class TagReport:
    """The clips that a tag finds in a library, in numbers.

    Attributes:
        tag: its name.
        clips: how many clips were scored: all that a search can find.
        likely: how many of them have a score of 0.5 or more.
        best_score: the highest score, from 0 to 1.
        path: the video of the clip with that score.
        start_s: start of that clip.
        end_s: end of that clip.
        prompt: the texts that the name stands for; None for a taught tag.
        model: stamp of the embedder that scored it.
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
class TaughtTag:
    """A taught tag: its examples, its accuracy, and the clips that it finds.

    Attributes:
        tag: its name.
        moments: labeled moments that clips show; moments that overlap count once.
        clips: clips that show them: the positives.
        others: clips of other tags' moments: negatives.
        presumed: unlabeled clips that were sampled from the library as further negatives.
        accuracy: balanced accuracy: the mean of the share of positives judged likely and the share of negatives judged
            unlikely. Each clip is judged by a probe that was fitted without the clips of its moment. 0.5 is chance.
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
    """The outcome of teaching.

    Attributes:
        taught: a row for each tag.
        folds: folds of the cross-validation.
        top_accuracy: share of the labeled clips whose highest cross-validated probability is of a tag that they show; None
            where only one tag was taught.
    """

    taught: tuple[TaughtTag, ...]
    folds: int
    top_accuracy: float | None


def tags_text(reports: Sequence[TagReport]) -> str:
    """A table of the clips that tags find."""
    rows = [
        (
            report.tag,
            f"{report.likely} of {report.clips}",
            f"{report.best_score:.3f}",
            f"{clock(report.start_s)}-{clock(report.end_s)}",
            short_path(report.path),
        )
        for report in reports
    ]
    return columns_text(("tag", "likely clips", "best", "time", "path"), rows)


def teach_text(report: TeachReport) -> str:
    """Tables of taught tags: their examples, their accuracy, and the clips that they find."""
    names = ("tag", "moments", "clips", "others", "presumed", "accuracy")
    rows = [(tag.tag, *(str(getattr(tag, name)) for name in names[1:-1]), f"{tag.accuracy:.3f}") for tag in report.taught]
    lines = [
        *column_lines(names, rows),
        f"accuracy: cross-validated in {report.folds} folds, each moment in one of them; 0.5 is chance",
    ]
    if report.top_accuracy is not None:
        lines.append(f"the best of the {len(rows)} tags is right for {report.top_accuracy:.1%} of the labelled clips")
    return "\n".join([lines_text(lines), "", tags_text([tag.found for tag in report.taught])])
