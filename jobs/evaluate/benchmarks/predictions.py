"""Writes predictions as the benchmarks' own scripts read them: QVHighlights' JSON lines, TVR's JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from jobs.evaluate.benchmarks.results import Prediction
from schemas.errors import UsageError

_DIGITS = 3  # of seconds


def write_predictions(benchmark: str, predictions: Sequence[Prediction], folder: Path) -> Path | None:
    """Write predictions into a folder that exists.

    Args:
        benchmark: its name on the command line.
        predictions: those of all queries that were asked.
        folder: where to write.

    Returns:
        The file; None where the benchmark has no layout for predictions.

    Raises:
        UsageError: the file cannot be written.
    """
    if benchmark not in _WRITERS:
        return None
    name, text_of = _WRITERS[benchmark]
    try:
        (folder / name).write_text(text_of(predictions), encoding="utf-8")
    except OSError as exc:
        raise UsageError(f"{str(folder / name)!r} cannot be written: {exc.strerror}; give another folder") from exc
    return folder / name


def _qvhighlights(predictions: Sequence[Prediction]) -> str:
    """A line for each query, without saliency scores: the script then leaves highlight detection out."""
    lines = []
    for prediction in predictions:
        query = prediction.query
        windows = [[*_seconds(span), score] for _, span, score in prediction.answers]
        line = {"qid": query.query_id, "query": query.text, "vid": query.video, "pred_relevant_windows": windows}
        lines.append(f"{json.dumps(line)}\n")
    return "".join(lines)


def _tvr(predictions: Sequence[Prediction]) -> str:
    """Moments of all videos (VCMR), with numbers for the videos that are named."""
    names = {prediction.query.video for prediction in predictions}
    names |= {video for prediction in predictions for video, _, _ in prediction.answers}
    number_of = {name: number for number, name in enumerate(sorted(names))}
    entries = [
        {
            "desc_id": prediction.query.query_id,
            "desc": prediction.query.text,
            "predictions": [[number_of[video], *_seconds(span), score] for video, span, score in prediction.answers],
        }
        for prediction in predictions
    ]
    return f"{json.dumps({'video2idx': number_of, 'VCMR': entries})}\n"


def _seconds(times: Iterable[float]) -> list[float]:
    return [round(time_s, _DIGITS) for time_s in times]


_WRITERS: dict[str, tuple[str, Callable[[Sequence[Prediction]], str]]] = {
    "qvhighlights": ("predictions.jsonl", _qvhighlights),
    "tvr": ("predictions.json", _tvr),
}
