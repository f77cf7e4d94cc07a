"""The results of a benchmark as text for people, as JSON for programs, and as files to keep."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from jobs.evaluate.benchmarks.predictions import write_predictions
from jobs.evaluate.benchmarks.results import TASKS, BenchmarkEvaluation, Prediction
from jobs.evaluate.library_report import NOT_RERANKED, left_out_lines
from jobs.evaluate.results_folder import ResultsPage, share_text, without_nan, write_page
from schemas.text import column_lines, lines_text

_HEADINGS = {
    "videos": "videos found by their descriptions",
    "moments of a video": "moments found in their own videos",
    "moments of all videos": "moments found among all videos",
}
_NOTES = {
    "videos": (
        "Each query looks for its video among all videos of the benchmark that the library has; a video's score is its best "
        "clip's, as in `vidsift search --by video`. Videos that score the same as the right one come before it.",
        "Published figures were measured with other frames, and partly on other videos: they are a guide.",
    ),
    "moments of a video": (
        "Each query is asked within its own video. R@n: share of queries for which one of the best n moments overlaps a "
        "true one by at least the IoU. mAP as QVHighlights defines it (Lei et al., 2021), over the ten best moments; "
        "without an IoU it is the mean over the IoUs from 0.5 to 0.95.",
    ),
    "moments of all videos": (
        "Each query is asked of all videos of the benchmark that the library has, as TVR's VCMR (Lei et al., 2020). R@n: "
        "share of queries for which one of the best n moments is in the right video and overlaps the true one by at least "
        "the IoU. mAP over the ten best moments; without an IoU it is the mean over the IoUs from 0.5 to 0.95.",
    ),
}


def benchmark_json(evaluation: BenchmarkEvaluation) -> dict[str, Any]:
    """The results for programs: the attributes of `BenchmarkEvaluation`."""
    data: dict[str, Any] = without_nan(asdict(evaluation))
    return data


def benchmark_text(evaluation: BenchmarkEvaluation) -> str:
    """The results for people."""
    split = "" if evaluation.split is None else f" ({evaluation.split})"
    names = list(evaluation.rows[0].metrics)
    rows = [(row.score, *(_cell(name, row.metrics[name]) for name in names)) for row in evaluation.rows]
    if evaluation.published is not None:
        cells = {"R@1": share_text(evaluation.published.recall_at_1)}
        rows.append(("published", *(cells.get(name, "") for name in names)))
    lines = [
        f"{evaluation.library} (snapshot {evaluation.snapshot}, {evaluation.clips} clips) on {evaluation.benchmark}, "
        f"{evaluation.annotations}{split}: {evaluation.asked} of {evaluation.queries} queries asked",
        f"embedder {evaluation.embedder}, {evaluation.videos - evaluation.missing} of {evaluation.videos} videos, "
        f"{evaluation.missing} missing",
        *left_out_lines(evaluation.left_out, "query", "queries"),
        "",
        _HEADINGS[TASKS[evaluation.benchmark]],
        *column_lines(("score", *names), rows),
    ]
    if evaluation.published is not None:
        lines += ["", f"published: {evaluation.published.model}, {evaluation.published.source}"]
    if not evaluation.rerank:
        lines += ["", NOT_RERANKED]
    return lines_text(lines)


def _cell(name: str, value: float) -> str:
    return f"{value:g}" if name == "median rank" else share_text(value)


def write_benchmark(evaluation: BenchmarkEvaluation, predictions: Sequence[Prediction], folder: Path, command: str) -> None:
    """Keep the results in a folder, with the predictions where the benchmark has a layout for them.

    Args:
        evaluation: the results.
        predictions: the answers to its queries.
        folder: where to write; it must exist.
        command: the command that measured them, as it was typed.

    Raises:
        UsageError: a file cannot be written.
    """
    page = ResultsPage(
        title=f"{evaluation.library} on {evaluation.benchmark}",
        data=benchmark_json(evaluation),
        text=benchmark_text(evaluation),
        notes=[f"- {note}" for note in _NOTES[TASKS[evaluation.benchmark]]],
        matrix=None,
    )
    write_page(page, folder, command)
    write_predictions(evaluation.benchmark, predictions, folder)
