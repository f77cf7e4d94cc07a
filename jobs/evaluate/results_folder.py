"""Keeps an evaluation in a folder: JSON for programs, a page in Markdown, and the confusion matrix as a picture."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jobs.images import confusion
from schemas.errors import UsageError
from schemas.text import printable


@dataclass(frozen=True, slots=True)
class ConfusionMatrix:
    """A confusion matrix that is drawn.

    Attributes:
        labels: the classes, by name.
        counts: row i counts what is of class i by the class it was taken for.
        caption: alternative text of the picture.
    """

    labels: Sequence[str]
    counts: Sequence[Sequence[int]]
    caption: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultsPage:
    """The content of a results folder.

    Attributes:
        title: the page's heading, on one line.
        data: the results for programs.
        text: the results for people.
        notes: paragraphs or list items below them.
        matrix: None where no class was recognised.
    """

    title: str
    data: dict[str, Any]
    text: str
    notes: Sequence[str]
    matrix: ConfusionMatrix | None


def write_page(page: ResultsPage, folder: Path, command: str) -> None:
    """Write results.json, results.md and, where there is a matrix, confusion.png into a folder that exists.

    Args:
        page: the results.
        folder: where to write.
        command: the command that measured them, as it was typed.

    Raises:
        UsageError: a file cannot be written.
    """
    data = json.dumps({"command": command, **page.data}, indent=1, ensure_ascii=False)
    lines = [
        f"# {printable(page.title)}",
        "",
        f"    {printable(command)}",
        "",
        "```",
        page.text,
        "```",
        "",
        *page.notes,
    ]
    if page.matrix is not None:
        lines += ["", f"![{page.matrix.caption}](confusion.png)"]
    for name, text in (("results.json", f"{data}\n"), ("results.md", "\n".join([*lines, ""]))):
        try:
            (folder / name).write_text(text, encoding="utf-8", errors="replace")
        except OSError as exc:
            raise UsageError(f"{str(folder / name)!r} cannot be written: {exc.strerror}; give another folder") from exc
    if page.matrix is not None:
        confusion(np.array(page.matrix.counts, np.int64), page.matrix.labels, folder / "confusion.png")


def without_nan(value: Any) -> Any:
    """The value for JSON: None in place of every NaN, in nested dictionaries and lists too."""
    if isinstance(value, dict):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def share_text(share: float | None) -> str:
    """A share with three digits; an empty cell for what could not be measured."""
    return "" if share is None or math.isnan(share) else f"{share:.3f}"
