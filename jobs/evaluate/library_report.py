"""The evaluation of a library as text for people, as JSON for programs, and as files to keep."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from jobs.evaluate.library_results import Evaluation, MomentRow, Recognition, Unjudged
from jobs.evaluate.results_folder import ConfusionMatrix, ResultsPage, share_text, without_nan, write_page
from schemas.text import column_lines, lines_text

NOT_RERANKED = "not reranked: --rerank is 0, or the library has no features for the rerank score"

_MAX_NAMED = 20

_NOTES = (
    "Each moment of the truth is judged by the library's clip that overlaps it most.",
    "Retrieval: each caption looks for its moment's clip among the clips of all moments, as on MSR-VTT (Xu et al., 2016; "
    "1k-A of Yu et al., 2018). Clips that score the same as the right one come before it.",
    "mAP: each action is a query over all clips of the videos that the truth speaks of; a clip is right where it and a "
    "moment of that action have at least half of the shorter of the two in common. Average precision is not interpolated "
    "(Manning et al., 2008).",
    "Moments: share of captions for which one of the best 1 or 5 moments overlaps the true one by at least the IoU "
    "(Gao et al., 2017), in its own video as for ActivityNet Captions (Krishna et al., 2017), and in the whole library. "
    "Moments that take up 80 % of their video or more are left out.",
    "plain is the dot product of separate embeddings; rerank orders the best clips by the rerank score.",
)


def evaluation_json(evaluation: Evaluation) -> dict[str, Any]:
    """An evaluation for programs: the attributes of `Evaluation`; None for what could not be measured."""
    data: dict[str, Any] = without_nan(asdict(evaluation))
    return data


def evaluation_text(evaluation: Evaluation) -> str:
    """An evaluation for people: tables, and notes on them."""
    lines = [
        f"{evaluation.library} (snapshot {evaluation.snapshot}, {evaluation.clips} clips) on {evaluation.truth}: "
        f"{evaluation.judged} of {evaluation.rows} moments judged",
        f"classifier {evaluation.classifier}, embedder {evaluation.embedder}",
    ]
    lines += left_out_lines(evaluation.unjudged, "moment", "moments")
    if evaluation.recognition:
        lines += ["", *_recognition(evaluation.recognition)]
    if evaluation.retrieval:
        rows = [
            (row.score, str(row.captions), str(row.clips), *_share_texts(row.recall_at_1, row.recall_at_5, row.recall_at_10),
             f"{row.median_rank:g}")
            for row in evaluation.retrieval
        ]  # fmt: skip
        lines += [
            "",
            "clips found by caption",
            *column_lines(("score", "captions", "clips", "R@1", "R@5", "R@10", "median rank"), rows),
        ]
    if evaluation.precision:
        lines += ["", "actions as queries", *_precision(evaluation)]
    if evaluation.moments:
        lines += ["", f"moments found by caption ({evaluation.moments[0].moments} captions)", *_moments(evaluation.moments)]
    if evaluation.index_recall_at_10 is not None:
        lines += ["", f"before any rerank, a search finds {evaluation.index_recall_at_10:.3f} of the ten best clips "
                      f"({evaluation.index_queries} queries, brute force over the stored embeddings)"]  # fmt: skip
    if evaluation.latency:
        rows = [(row.stage, str(row.queries), f"{row.p50_ms:.1f}", f"{row.p95_ms:.1f}") for row in evaluation.latency]
        lines += ["", *column_lines(("warm query", "queries", "p50 ms", "p95 ms"), rows)]
    if not evaluation.rerank:
        lines += ["", NOT_RERANKED]
    return lines_text(lines)


def left_out_lines(unjudged: Sequence[Unjudged], one: str, many: str) -> list[str]:
    """The videos that are left out, the first of them by name; ``one`` and ``many`` are what is left out of them."""
    named, rest = unjudged[:_MAX_NAMED], unjudged[_MAX_NAMED:]
    lines = [
        f"  left out: {video.path} ({video.rows} {one if video.rows == 1 else many}): {video.reason}" for video in named
    ]
    if rest:
        lines.append(f"  left out: {len(rest)} more videos ({sum(video.rows for video in rest)} {many})")
    return lines


def _recognition(recognition: Recognition) -> list[str]:
    kept = "" if recognition.kept >= 5 else f" (top-5 of the {recognition.kept} that the library keeps)"
    rows = [
        (row.label, str(row.moments), *_share_texts(row.top1, row.top5), row.confused_with or "")
        for row in recognition.actions
    ]
    lines = [
        f"labels: top-1 {recognition.top1:.3f}, top-5 {recognition.top5:.3f}, mean class {recognition.mean_class:.3f}, "
        f"{recognition.moments} moments{kept}",
        *column_lines(("action", "moments", "top-1", "top-5", "most taken for"), rows),
    ]
    if recognition.unheard:
        lines.append(
            f"no clip of the library is ever labelled: {', '.join(recognition.unheard)}; the classifier may not know them"
        )
    return lines


def _precision(evaluation: Evaluation) -> list[str]:
    scores = tuple(evaluation.mean_precision)
    rows = [
        (row.label, str(row.clips), *_share_texts(row.plain, *([] if row.rerank is None else [row.rerank])))
        for row in evaluation.precision
    ]
    means = ", ".join(f"{score} {value:.3f}" for score, value in evaluation.mean_precision.items())
    return [f"mAP: {means}", *column_lines(("action", "clips", *(f"AP {score}" for score in scores)), rows)]


def _moments(rows: Sequence[MomentRow]) -> list[str]:
    """A line for each score and place that is searched, with R@1 and R@5 side by side for each IoU."""
    ious = sorted({row.iou for row in rows})
    by_line: dict[tuple[str, str], dict[float, MomentRow]] = {}
    for row in rows:
        by_line.setdefault((row.among, row.score), {})[row.iou] = row
    names = ("in", "score", *(f"R@{n} {iou:g}" for n in (1, 5) for iou in ious))
    return column_lines(
        names,
        [
            (*key, *_share_texts(*(of_iou[iou].recall_at_1 for iou in ious), *(of_iou[iou].recall_at_5 for iou in ious)))
            for key, of_iou in sorted(by_line.items(), key=lambda line: (line[0][0] == "library", line[0][1]))
        ],
    )


def _share_texts(*shares: float) -> tuple[str, ...]:
    return tuple(map(share_text, shares))


def write_evaluation(evaluation: Evaluation, folder: Path, command: str) -> None:
    """Keep an evaluation in a folder; see `jobs.evaluate.results_folder.write_page`.

    Args:
        evaluation: the results.
        folder: where to write; it must exist.
        command: the command that measured them, as it was typed.

    Raises:
        UsageError: a file cannot be written.
    """
    matrix = None
    if evaluation.recognition is not None:
        labels, counts = evaluation.recognition.labels, evaluation.recognition.matrix
        matrix = ConfusionMatrix(labels, counts, "Confusion matrix: true actions by predicted ones")
    page = ResultsPage(
        title=evaluation.library,
        data=evaluation_json(evaluation),
        text=evaluation_text(evaluation),
        notes=[f"- {note}" for note in _NOTES],
        matrix=matrix,
    )
    write_page(page, folder, command)
