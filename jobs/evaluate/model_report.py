"""What was measured of a model, as text for people, JSON for programs and files to keep."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from jobs.evaluate.model_results import ClassifierResults, EmbedderResults, PairRow
from jobs.images import confusion
from schemas.errors import UsageError
from schemas.records import path_text
from schemas.text import column_lines as columns
from schemas.text import lines_text, printable

_MAX_NAMED = 20

_PROTOCOLS = {
    "single": "One clip of each example: the window in its middle, cut from the centre.",
    "multi": "Probabilities are means over 5 clips evenly spread over each example and 3 crops of each, as for VideoMAE "
    "(Tong et al., 2022); where the clips or the crops would be the same, they are shown once.",
    "captions": "Each caption looks for its clip among as many clips as there are captions, as on MSR-VTT (Xu et al., 2016; "
    "1k-A of Yu et al., 2018), in which no other clip is known to fit it. The exact score conditions the text on the clip, "
    "as the model does; the plain one is the dot product of separate embeddings.",
}


def write_results(results: ClassifierResults | EmbedderResults, folder: Path, command: str) -> None:
    """Write results.json and results.md, and of a classifier confusion.png, into a folder that is there.

    Args:
        results: what was measured.
        folder: where to.
        command: what measured it, as it was typed.

    Raises:
        UsageError: a file cannot be written.
    """
    found = json.dumps({"command": command, **results_json(results)}, indent=1, ensure_ascii=False)
    classifier = isinstance(results, ClassifierResults)
    lines = [f"# {printable(results.model)}", "", f"    {printable(command)}", "", "```", results_text(results), "```", ""]
    lines += [_PROTOCOLS[results.views if isinstance(results, ClassifierResults) else "captions"], ""]
    lines += ["![Confusion matrix: true classes by predicted ones](confusion.png)", ""] if classifier else []
    for name, text in (("results.json", f"{found}\n"), ("results.md", "\n".join(lines))):
        try:
            (folder / name).write_text(text, encoding="utf-8", errors="replace")
        except OSError as exc:
            raise UsageError(f"{str(folder / name)!r} cannot be written: {exc.strerror}; give another --output") from exc
    if isinstance(results, ClassifierResults):
        confusion(np.array(results.matrix, np.int64), results.labels, folder / "confusion.png")


def results_json(results: ClassifierResults | EmbedderResults) -> dict[str, Any]:
    """What ``--json`` prints."""
    found = asdict(results)
    for name in ("left_out", "damaged"):
        found[name] = [{"path": path_text(path), "reason": reason} for path, reason in found[name]]
    for pair in found["pairs"]:
        pair.update({name: None for name in ("right", "plain") if pair[name] is not None and math.isnan(pair[name])})
    return found


def results_text(results: ClassifierResults | EmbedderResults) -> str:
    """Tables, and what is to be said of them."""
    lines = [f"{results.model} on {results.source}", f"measured: {results.why}"]
    lines += _classifier(results) if isinstance(results, ClassifierResults) else _embedder(results)
    for what, found in (("left out", results.left_out), ("damaged in part", results.damaged)):
        lines += [f"{what}: {path_text(path)}: {reason}" for path, reason in found[:_MAX_NAMED]]
        lines += [f"{what}: {len(found) - _MAX_NAMED} more"] if len(found) > _MAX_NAMED else []
    return lines_text(lines)


def _classifier(results: ClassifierResults) -> list[str]:
    rows = [(row.label, str(row.clips), _share(row.top1), row.confused_with or "") for row in results.classes]
    lines = [
        f"{results.clips} examples, {results.views} view" + _shuffled(results.shuffled),
        f"top-1 {_share(results.top1)}, top-5 {_share(results.top5)}, mean class accuracy {_share(results.mean_class)}",
        "",
        *columns(("class", "examples", "top-1", "most confused with"), rows),
        "",
    ]
    if results.pairs:
        told = [(*_pair(row), _share(row.right)) for row in results.pairs]
        lines += [*columns(("within a pair", "examples", "right"), told), ""]
    if results.unknown:
        names = ", ".join(f"{label} ({count})" for label, count in results.unknown.items())
        lines.append(f"left out, as the model does not know their labels: {sum(results.unknown.values())}: {names}")
    return lines


def _embedder(results: EmbedderResults) -> list[str]:
    rows = [
        (row.score, *map(_share, (row.recall_at_1, row.recall_at_5, row.recall_at_10)), f"{row.median_rank:.1f}")
        for row in results.retrieval
    ]
    fewer = f" ({results.wanted} were asked for; more cannot be told apart or decoded)"
    lines = [
        f"{results.clips} examples" + _shuffled(results.shuffled),
        f"clips found by caption: {results.captions} captions"
        + (fewer if results.captions < results.wanted else "")
        + f", mean of {results.draws} draw{'s' * (results.draws > 1)}",
        "",
        *columns(("score", "R@1", "R@5", "R@10", "median rank"), rows),
        "",
    ]
    if results.kinds:
        kinds = [
            (row.kind, str(row.values), str(row.clips), _share(row.exact), _share(row.plain), _share(1 / row.values))
            for row in results.kinds
        ]
        lines += [*columns(("fact named", "values", "examples", "exact", "plain", "by chance"), kinds), ""]
    if results.pairs:
        told = [(*_pair(row), _share(row.right), _share(row.plain)) for row in results.pairs]
        lines += [*columns(("within a pair", "examples", "exact", "plain"), told), ""]
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


def _share(value: float | None) -> str:
    return "" if value is None or math.isnan(value) else f"{value:.3f}"
