"""A library held against a truth: every figure against what was worked out by hand."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from jobs.evaluate.library import evaluate
from jobs.evaluate.library_report import evaluation_json, evaluation_text, write_evaluation
from jobs.evaluate.library_results import ActionRow, Evaluation, MomentRow, PrecisionRow, RetrievalRow, Unjudged
from jobs.evaluate.progress import EvaluationProgress
from schemas.errors import UsageError
from schemas.models import Label
from tests.helpers.made_library import Made, WordEmbedder, background, embedder, make_library

__all__ = ["embedder"]

JUMP, BOW = (Label("jumping", 0.8), Label("bowing", 0.1)), (Label("Taking_a  Bow", 0.7), Label("jumping", 0.2))
MIXED = (Label("jumping", 0.5), Label("running", 0.2), Label("taking a bow", 0.1))

TRUTH = """path,start_s,end_s,action,caption
/v/a.mp4,4,8,jumping,jumping
/v/a.mp4,12,16,taking a bow,red
/v/b.mp4,0,8,taking a bow,kitchen
/v/c.mp4,0,4,flying,
/v/gone.mp4,0,4,jumping,cheering
"""
"""Found: jumping by the second window; red behind the best of b; kitchen first; and b is one moment that fills its video."""


def films() -> list[Made]:
    labels = [JUMP, JUMP, MIXED, BOW, BOW, JUMP]
    made = [Made(n, "a", 4.0 * n, 4.0 * n + 4, {"jumping": 0.9 if n == 1 else 0.1}, labels[n]) for n in range(6)]
    made[3] = Made(3, "a", 12.0, 16.0, {"red": 0.6}, MIXED)
    made.append(Made(10, "b", 0.0, 4.0, {"kitchen": 0.7, "red": 0.7}, BOW))
    made.append(Made(11, "b", 4.0, 8.0, {"kitchen": 0.3}, BOW))
    made.append(Made(20, "c", 0.0, 4.0, {"cheering": 0.9}, JUMP))
    made.append(Made(21, "c", 12.0, 16.0, {"red": 0.75}, JUMP))  # as late as the red moment of a, in another video
    return made + background(40)


class Words(WordEmbedder):
    """Knows actions as well: a text that is no word is like what says nothing."""

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        known = {"taking a bow": "red", "flying": "cheering"}
        return super().embed_texts([known.get(text, text) for text in texts])


@pytest.fixture
def measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Evaluation:
    return run(tmp_path, monkeypatch)


def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **options: Any) -> Evaluation:
    monkeypatch.setattr("index.search.text_encoder.locate", lambda *arguments: None)
    monkeypatch.setattr("index.search.text_encoder.load_text_embedder", lambda *arguments: Words())
    library = make_library(tmp_path / "library", films())
    (tmp_path / "truth.csv").write_text(TRUTH)
    return evaluate(tmp_path / "truth.csv", library, **options)


def test_what_is_judged_is_said(measured: Evaluation, tmp_path: Path) -> None:
    assert (measured.rows, measured.judged, measured.clips, measured.snapshot) == (5, 4, 50, 1)
    assert measured.unjudged == (Unjudged("/v/gone.mp4", 1, "not in the library"),)
    assert (measured.classifier, measured.embedder, measured.rerank) == ("c@11111111", "e@22222222", 0)
    assert measured.truth == str(tmp_path / "truth.csv")


def test_labels(measured: Evaluation) -> None:
    """Of the clips 1, 3, 10 and 20: right, third, right (in capitals, with an underscore), and a label that is not there."""
    found = measured.recognition
    assert found is not None
    assert (found.moments, found.top1, found.top5, found.kept) == (4, 0.5, 0.75, 3)
    assert found.mean_class == pytest.approx((0 + 1 + 0.5) / 3)
    assert found.actions == (
        ActionRow("flying", 1, 0.0, 0.0, "jumping"),
        ActionRow("jumping", 1, 1.0, 1.0, None),
        ActionRow("taking a bow", 2, 0.5, 1.0, "jumping"),
    )
    assert found.unheard == ("flying",)
    assert found.labels == ("flying", "jumping", "taking a bow")
    assert found.matrix == ((0, 1, 0), (0, 1, 0), (0, 1, 1))


def test_clips_found_by_caption(measured: Evaluation) -> None:
    """Clips 1, 3, 10 and 20 are looked among: jumping and kitchen come first, red second, behind clip 10."""
    (row,) = measured.retrieval
    assert row == RetrievalRow("plain", 3, 4, 2 / 3, 1.0, 1.0, 1.0)


def test_actions_as_queries(measured: Evaluation) -> None:
    """Taking a bow is clips 3, 10 and 11, and asks for what is red: 21, 10, 3, then the rest, which is not red."""
    assert [row.label for row in measured.precision] == ["flying", "jumping", "taking a bow"]
    flying, jumping, bow = measured.precision
    assert flying == PrecisionRow("flying", 1, 1.0, None)
    assert jumping == PrecisionRow("jumping", 1, 1.0, None)
    assert bow.clips == 3
    assert bow.plain == pytest.approx((1 / 2 + 2 / 3 + 3 / 10) / 3)
    assert measured.mean_precision == {"plain": pytest.approx((2 + bow.plain) / 3)}


def test_moments(measured: Evaluation) -> None:
    """That of b fills its video, and is not asked for; red is found first in its own video, and third in the library."""
    own = [row for row in measured.moments if row.among == "own video"]
    library = [row for row in measured.moments if row.among == "library"]
    assert [(row.iou, row.recall_at_1, row.recall_at_5) for row in own] == [(0.3, 1, 1), (0.5, 1, 1), (0.7, 1, 1)]
    assert [(row.iou, row.recall_at_1, row.recall_at_5) for row in library] == [(0.3, 0.5, 1), (0.5, 0.5, 1), (0.7, 0.5, 1)]
    assert {row.moments for row in measured.moments} == {2}
    assert isinstance(own[0], MomentRow)


def test_latency_names_its_parts(measured: Evaluation) -> None:
    rows = {row.stage: row for row in measured.latency}
    assert list(rows) == ["text model", "stage one", "catalog", "whole search"]
    assert sum(rows[stage].queries for stage in ("text model", "whole search")) == 4  # five texts, one of which warms up
    assert all(0 < row.p50_ms <= row.p95_ms for row in rows.values())


def test_reranking_is_measured_beside_the_dot_product(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rerank score knows that clip 3 is the red one; where it was not asked, the dot product's order stays."""

    def exact(snapshot: object, model: object, texts: Sequence[str], ids: Sequence[int]) -> NDArray[np.float32]:
        own = {"red": 3, "jumping": 1, "kitchen": 10, "taking a bow": 11}
        return np.array([[9.0 if own.get(text) == i else i / 1e5 for i in ids] for text in texts], np.float32)

    monkeypatch.setattr("index.search.rerank.rerank_scores", exact)
    found = run(tmp_path, monkeypatch, rerank=2)
    assert found.rerank == 2
    plain, rerank = found.retrieval
    assert (plain.score, plain.recall_at_1) == ("plain", 2 / 3)
    assert (rerank.score, rerank.recall_at_1, rerank.recall_at_5) == ("rerank", 1.0, 1.0)
    bow = found.precision[2]
    assert bow.rerank == pytest.approx(bow.plain)  # clip 11 is not among the two best
    assert set(found.mean_precision) == {"plain", "rerank"}
    assert [row.score for row in found.moments] == ["plain"] * 6 + ["rerank"] * 6
    assert "rerank" in [row.stage for row in found.latency]
    assert run(tmp_path, monkeypatch, rerank=0).rerank == 0


def test_progress_counts_every_question(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[EvaluationProgress] = []
    run(tmp_path, monkeypatch, on_progress=told.append)
    assert [(one.done, one.total) for one in told] == [(n, 10) for n in range(1, 11)]  # 3 captions, 3 actions, 2 x 2
    assert str(told[-1]).startswith("asked 10 of 10 questions, ")


def test_a_truth_without_captions_or_without_actions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("index.search.text_encoder.locate", lambda *arguments: None)
    monkeypatch.setattr("index.search.text_encoder.load_text_embedder", lambda *arguments: Words())
    library = make_library(tmp_path / "library", films())
    (tmp_path / "t.csv").write_text("path,start_s,end_s,action\n/v/a.mp4,4,8,jumping\n")
    found = evaluate(tmp_path / "t.csv", library)
    assert (found.retrieval, found.moments) == ((), ())
    assert found.recognition is not None
    (tmp_path / "t.csv").write_text("path,start_s,end_s,caption\n/v/a.mp4,4,8,jumping\n")
    found = evaluate(tmp_path / "t.csv", library)
    assert (found.recognition, found.precision, found.mean_precision) == (None, (), {})
    assert found.retrieval[0].recall_at_1 == 1
    with pytest.raises(UsageError, match="rerank: got -1, expected 0 or more"):
        evaluate(tmp_path / "t.csv", library, rerank=-1)


def test_the_text_says_all_of_it(measured: Evaluation, tmp_path: Path) -> None:
    lines = evaluation_text(measured).splitlines()
    assert lines[0].endswith("truth.csv: 4 of 5 moments judged")
    assert lines[2:4] == ["  left out: /v/gone.mp4 (1 moment): not in the library", ""]
    assert "labels: top-1 0.500, top-5 0.750, mean class 0.500, 4 moments (top-5 of the 3 that the library keeps)" in lines
    assert "taking a bow  2        0.500  1.000  jumping" in lines
    assert "no clip of the library is ever labelled: flying; the classifier may not know them" in lines
    assert "plain  3         4      0.667  1.000  1.000  1" in lines
    assert "library    plain  0.500    0.500    0.500    1.000    1.000    1.000" in lines
    assert "own video  plain  1.000    1.000    1.000    1.000    1.000    1.000" in lines
    assert lines[-1] == "not reranked: --rerank is 0, or the library has no features for the rerank score"


def test_results_are_kept(measured: Evaluation, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    write_evaluation(measured, tmp_path / "out", "vidsift evaluate truth.csv")
    found = json.loads((tmp_path / "out" / "results.json").read_text())
    assert found.pop("command") == "vidsift evaluate truth.csv"
    assert found == evaluation_json(measured)
    assert found["recognition"]["top1"] == 0.5
    text = (tmp_path / "out" / "results.md").read_text()
    assert evaluation_text(measured) in text
    assert "Krishna et al., 2017" in text
    with Image.open(tmp_path / "out" / "confusion.png") as picture:
        assert picture.width > 200


def test_what_could_not_be_measured_is_null(measured: Evaluation) -> None:
    from dataclasses import replace

    row = PrecisionRow("x", 0, math.nan, None)
    assert evaluation_json(replace(measured, precision=(row,)))["precision"] == [
        {"label": "x", "clips": 0, "plain": None, "rerank": None}
    ]
