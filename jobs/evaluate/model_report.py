"""The evaluation of a model as text for people, as JSON for programs, and as files to keep."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from jobs.evaluate.model_results import ClassifierResults, EmbedderResults, PairRow
from jobs.evaluate.results_folder import ConfusionMatrix, ResultsPage, share_text, without_nan, write_page
from schemas.records import path_text
from schemas.text import column_lines, lines_text

_MAX_NAMED = 20

_PROTOCOLS = {
    "single": "One clip of each example: the window in its middle, cut from the centre.",
    "multi": "Probabilities are means over 5 clips evenly spread over each example and 3 crops of each, as for VideoMAE "
    "(Tong et al., 2022); where the clips or the crops would be the same, they are shown once.",
    "captions": "Each caption looks for its clip among as many clips as there are captions, as on MSR-VTT (Xu et al., 2016; "
    "1k-A of Yu et al., 2018), in which no other clip is known to fit it. The rerank score (exact) "
    "adapts the text to the clip, as the model does; plain is the dot product of separate embeddings.",
}


def results_json(results: ClassifierResults | EmbedderResults) -> dict[str, Any]:
    """Results for programs; None for what could not be measured."""
    data: dict[str, Any] = without_nan(asdict(results))
    for name in ("left_out", "damaged"):
        data[name] = [{"path": path_text(path), "reason": reason} for path, reason in data[name]]
    return data


def results_text(results: ClassifierResults | EmbedderResults) -> str:
    """Results for people: tables, and notes on them."""
    lines = [f"{results.model} on {results.source}", f"measured: {results.why}"]
    lines += _classifier(results) if isinstance(results, ClassifierResults) else _embedder(results)
    for heading, videos in (("left out", results.left_out), ("damaged in part", results.damaged)):
        lines += [f"{heading}: {path_text(path)}: {reason}" for path, reason in videos[:_MAX_NAMED]]
        lines += [f"{heading}: {len(videos) - _MAX_NAMED} more"] if len(videos) > _MAX_NAMED else []
    return lines_text(lines)


def _classifier(results: ClassifierResults) -> list[str]:
    rows = [(row.label, str(row.clips), share_text(row.top1), row.confused_with or "") for row in results.classes]
    lines = [
        f"{results.clips} examples, {results.views} view{'s' * results.views.isdecimal()}" + _shuffled(results.shuffled),
        f"top-1 {share_text(results.top1)}, top-5 {share_text(results.top5)}, "
        f"mean class accuracy {share_text(results.mean_class)}",
        "",
        *column_lines(("class", "examples", "top-1", "most confused with"), rows),
        "",
    ]
    if results.pairs:
        pairs = [(*_pair(row), share_text(row.right)) for row in results.pairs]
        lines += [*column_lines(("within a pair", "examples", "right"), pairs), ""]
    if results.unknown:
        names = ", ".join(f"{label} ({count})" for label, count in results.unknown.items())
        lines.append(f"left out, as the model does not know their labels: {sum(results.unknown.values())}: {names}")
    return lines


def _embedder(results: EmbedderResults) -> list[str]:
    rows = [
        (row.score, *map(share_text, (row.recall_at_1, row.recall_at_5, row.recall_at_10)), f"{row.median_rank:.1f}")
        for row in results.retrieval
    ]
    fewer = f" ({results.wanted} were asked for; more cannot be told apart or decoded)"
    lines = [
        f"{results.clips} examples" + _shuffled(results.shuffled),
        f"clips found by caption: {results.captions} captions"
        + (fewer if results.captions < results.wanted else "")
        + f", mean of {results.draws} draw{'s' * (results.draws > 1)}",
        "",
        *column_lines(("score", "R@1", "R@5", "R@10", "median rank"), rows),
        "",
    ]
    if results.kinds:
        kinds = [
            (
                row.kind,
                str(row.values),
                str(row.clips),
                share_text(row.exact),
                share_text(row.plain),
                share_text(1 / row.values),
            )
            for row in results.kinds
        ]
        lines += [*column_lines(("fact named", "values", "examples", "exact", "plain", "by chance"), kinds), ""]
    if results.pairs:
        pairs = [(*_pair(row), share_text(row.right), share_text(row.plain)) for row in results.pairs]
        lines += [*column_lines(("within a pair", "examples", "exact", "plain"), pairs), ""]
    if results.unspoken:
        lines.append(f"not asked for, as no caption speaks of them alone: {_some(results.unspoken)}")
    return lines


def _some(names: Sequence[str]) -> str:
    more = len(names) - _MAX_NAMED
    return ", ".join(names[:_MAX_NAMED]) + (f" and {more} more" if more > 0 else "")


def _pair(row: PairRow) -> tuple[str, str]:
    return f"{row.first} / {row.second}", str(row.clips)


def _shuffled(shuffled: bool) -> str:
    return ", frames shown in a random order" if shuffled else ""


def write_results(results: ClassifierResults | EmbedderResults, folder: Path, command: str) -> None:
    """Keep results in a folder; see `jobs.evaluate.results_folder.write_page`.

    Args:
        results: the results.
        folder: where to write; it must exist.
        command: the command that measured them, as it was typed.

    Raises:
        UsageError: a file cannot be written.
    """
    protocol, matrix = "captions", None
    if isinstance(results, ClassifierResults):
        protocol = results.views
        matrix = ConfusionMatrix(results.labels, results.matrix, "Confusion matrix: true classes by predicted ones")
    page = ResultsPage(
        title=results.model,
        data=results_json(results),
        text=results_text(results),
        notes=[_PROTOCOLS[protocol]],
        matrix=matrix,
    )
    write_page(page, folder, command)
