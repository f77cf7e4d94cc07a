"""An evaluation as text for people, JSON for programs, and files to keep."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from jobs.evaluate.library_results import Evaluation, MomentRow, Recognition
from jobs.images import confusion
from schemas.errors import UsageError
from schemas.text import column_lines, lines_text, printable

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
    "plain is the dot product of separate embeddings; rerank orders the best clips by the model's own score.",
)


def evaluation_json(found: Evaluation) -> dict[str, Any]:
    """What ``--json`` prints: the attributes of `Evaluation`; null for what could not be measured."""
    cleaned: dict[str, Any] = _cleaned(asdict(found))
    return cleaned


def _cleaned(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _cleaned(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_cleaned(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def evaluation_text(found: Evaluation) -> str:
    """Tables, and what is to be said of them."""
    lines = [
        f"{found.library} (snapshot {found.snapshot}, {found.clips} clips) on {found.truth}: "
        f"{found.judged} of {found.rows} moments judged",
        f"classifier {found.classifier}, embedder {found.embedder}",
    ]
    for one in found.unjudged[:_MAX_NAMED]:
        lines.append(f"  left out: {one.path} ({one.rows} moment{'s' * (one.rows != 1)}): {one.reason}")
    if len(found.unjudged) > _MAX_NAMED:
        rest = found.unjudged[_MAX_NAMED:]
        lines.append(f"  left out: {len(rest)} more videos ({sum(one.rows for one in rest)} moments)")
    if found.recognition:
        lines += ["", *_recognition(found.recognition)]
    if found.retrieval:
        rows = [
            (row.score, str(row.captions), str(row.clips), *_shares(row.recall_at_1, row.recall_at_5, row.recall_at_10),
             f"{row.median_rank:g}")
            for row in found.retrieval
        ]  # fmt: skip
        lines += [
            "",
            "clips found by caption",
            *column_lines(("score", "captions", "clips", "R@1", "R@5", "R@10", "median rank"), rows),
        ]
    if found.precision:
        lines += ["", "actions as queries", *_precision(found)]
    if found.moments:
        lines += ["", f"moments found by caption ({found.moments[0].moments} captions)", *_moments(found.moments)]
    if found.index_recall_at_10 is not None:
        lines += ["", f"before any rerank, a search finds {found.index_recall_at_10:.3f} of the ten best clips "
                      f"({found.index_queries} queries, brute force over the stored embeddings)"]  # fmt: skip
    if found.latency:
        rows = [(row.stage, str(row.queries), f"{row.p50_ms:.1f}", f"{row.p95_ms:.1f}") for row in found.latency]
        lines += ["", *column_lines(("warm query", "queries", "p50 ms", "p95 ms"), rows)]
    if not found.rerank:
        lines += ["", "not reranked: --rerank is 0, or the library has no features for the model's own score"]
    return lines_text(lines)


def _recognition(found: Recognition) -> list[str]:
    kept = "" if found.kept >= 5 else f" (top-5 of the {found.kept} that the library keeps)"
    rows = [(row.label, str(row.moments), *_shares(row.top1, row.top5), row.confused_with or "") for row in found.actions]
    lines = [
        f"labels: top-1 {found.top1:.3f}, top-5 {found.top5:.3f}, mean class {found.mean_class:.3f}, "
        f"{found.moments} moments{kept}",
        *column_lines(("action", "moments", "top-1", "top-5", "most taken for"), rows),
    ]
    if found.unheard:
        lines.append(
            f"no clip of the library is ever labelled: {', '.join(found.unheard)}; the classifier may not know them"
        )
    return lines


def _precision(found: Evaluation) -> list[str]:
    scores = tuple(found.mean_precision)
    rows = [
        (row.label, str(row.clips), *_shares(row.plain, *([] if row.rerank is None else [row.rerank])))
        for row in found.precision
    ]
    means = ", ".join(f"{score} {value:.3f}" for score, value in found.mean_precision.items())
    return [f"mAP: {means}", *column_lines(("action", "clips", *(f"AP {score}" for score in scores)), rows)]


def _moments(found: Sequence[MomentRow]) -> list[str]:
    """R@1 and R@5 side by side for each IoU."""
    ious = sorted({row.iou for row in found})
    lines: dict[tuple[str, str], dict[float, MomentRow]] = {}
    for row in found:
        lines.setdefault((row.among, row.score), {})[row.iou] = row
    names = ("in", "score", *(f"R@{n} {iou:g}" for n in (1, 5) for iou in ious))
    return column_lines(
        names,
        [
            (*key, *_shares(*(by[iou].recall_at_1 for iou in ious), *(by[iou].recall_at_5 for iou in ious)))
            for key, by in sorted(lines.items(), key=lambda line: (line[0][0] == "library", line[0][1]))
        ],
    )


def _shares(*values: float) -> tuple[str, ...]:
    return tuple("" if math.isnan(value) else f"{value:.3f}" for value in values)


def write_evaluation(found: Evaluation, folder: Path, command: str) -> None:
    """Write results.json, results.md and, where actions were judged, confusion.png into a folder that is there.

    Args:
        found: what was measured.
        folder: where to.
        command: what measured it, as it was typed.

    Raises:
        UsageError: a file cannot be written.
    """
    data = json.dumps({"command": command, **evaluation_json(found)}, indent=1, ensure_ascii=False)
    lines = [
        f"# {printable(found.library)}",
        "",
        f"    {printable(command)}",
        "",
        "```",
        evaluation_text(found),
        "```",
        "",
        *(f"- {note}" for note in _NOTES),
    ]
    if found.recognition:
        lines += ["", "![Confusion matrix: true actions by predicted ones](confusion.png)"]
    for name, text in (("results.json", f"{data}\n"), ("results.md", "\n".join([*lines, ""]))):
        try:
            (folder / name).write_text(text, encoding="utf-8", errors="replace")
        except OSError as exc:
            raise UsageError(f"{str(folder / name)!r} cannot be written: {exc.strerror}; give another --output") from exc
    if found.recognition:
        confusion(np.array(found.recognition.matrix, np.int64), found.recognition.labels, folder / "confusion.png")
