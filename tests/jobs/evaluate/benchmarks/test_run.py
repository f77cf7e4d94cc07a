"""A library on benchmarks: every metric against what was worked out by hand."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from index.search.searcher import Searcher
from jobs.evaluate.benchmarks.predictions import write_predictions
from jobs.evaluate.benchmarks.report import benchmark_json, benchmark_text, write_benchmark
from jobs.evaluate.benchmarks.results import BenchmarkEvaluation, Prediction
from jobs.evaluate.benchmarks.run import evaluate_benchmark
from jobs.evaluate.library_results import Unjudged
from jobs.evaluate.progress import EvaluationProgress
from schemas.errors import UsageError
from schemas.search import SearchOptions
from tests.helpers.made_library import Made, WordEmbedder, background, embedder, make_library

__all__ = ["embedder"]

pytestmark = pytest.mark.usefixtures("embedder")

FILMS = [
    Made(0, "a", 0.0, 4.0, {"jumping": 0.2}),
    Made(1, "a", 4.0, 8.0, {"jumping": 0.9, "kitchen": 0.3}),
    Made(2, "b", 0.0, 4.0, {"jumping": 0.5, "red": 0.6, "kitchen": 0.2}),
    Made(3, "c", 0.0, 4.0, {"red": 0.7, "kitchen": 0.1}),
    Made(4, "other", 0.0, 4.0, {"jumping": 0.95}),  # in the library, and not of the benchmark
]
CSV = "key,vid_key,video_id,sentence\nr0,m0,a,jumping\nr1,m1,b,red\nr2,m2,c,kitchen\nr3,m3,gone,cheering\n"
"""Jumping finds a at once, red has b second, kitchen has c third; of the fourth there is no video."""


def evaluated(
    folder: Path, benchmark: str, annotations: str, films: Sequence[Made], **options: Any
) -> tuple[BenchmarkEvaluation, tuple[Prediction, ...]]:
    suffix = ".csv" if benchmark == "msrvtt" else ".txt"
    source = folder / f"annotations{suffix}"
    source.write_text(annotations)
    return evaluate_benchmark(benchmark, source, "/v", make_library(folder / "library", films), **options)


def metrics_of(evaluation: BenchmarkEvaluation) -> dict[str, float]:
    """Of the only score."""
    (row,) = evaluation.rows
    assert row.score == "plain"
    return row.metrics


def test_videos_found_by_their_descriptions(tmp_path: Path) -> None:
    found, predictions = evaluated(tmp_path, "msrvtt", CSV, FILMS)
    assert metrics_of(found) == {"R@1": 1 / 3, "R@5": 1.0, "R@10": 1.0, "median rank": 2.0}
    assert predictions == ()
    assert (found.queries, found.asked, found.videos, found.missing, found.clips, found.rerank) == (4, 3, 4, 1, 5, 0)
    assert found.left_out == (Unjudged("gone", 1, "not in the library"),)
    assert (found.benchmark, found.split, found.snapshot, found.published) == ("msrvtt", None, 1, None)


def test_ties_are_no_success(tmp_path: Path) -> None:
    films = [Made(number, name, 0.0, 4.0, {"red": 0.5}) for number, name in enumerate("abc")]
    found, _ = evaluated(tmp_path, "msrvtt", "video_id,sentence\na,red\n", [*films, Made(9, "d", 0, 4, {"red": 0.9})])
    assert metrics_of(found)["median rank"] == 1  # it is the only video of the benchmark
    found, _ = evaluated(tmp_path, "msrvtt", "video_id,sentence\na,red\nb,red\nc,red\n", films)
    assert metrics_of(found) == {"R@1": 0.0, "R@5": 1.0, "R@10": 1.0, "median rank": 3.0}


@pytest.mark.parametrize("rerank", [0, 4])
def test_ranks_are_those_of_a_search_by_video(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rerank: int) -> None:
    """With a rerank score for the best clips only, and videos of several clips, among others that do not count."""

    def exact(snapshot: object, model: object, texts: Sequence[str], rows: NDArray[np.int64]) -> NDArray[np.float32]:
        return np.array([[(row * 37 + len(text)) % 101 for row in rows] for text in texts], np.float32)

    if rerank:
        monkeypatch.setattr("index.search.rerank.rerank_scores", exact)
    rng = np.random.default_rng(4)
    words = ("jumping", "red", "kitchen", "cheering")
    films = [
        Made(number, f"v{number // 3}", 4.0 * (number % 3), 4.0 * (number % 3) + 4, dict(zip(words, of_clip, strict=True)))
        for number, of_clip in enumerate(rng.uniform(0, 0.49, (90, 4)).tolist())
    ]
    queries = [(f"v{number}", words[number % 4]) for number in range(0, 30, 2)]
    lines = "".join(f"{video},{word}\n" for video, word in queries)
    found, _ = evaluated(tmp_path, "msrvtt", f"video_id,sentence\n{lines}", films, rerank=rerank)
    searcher = Searcher(tmp_path / "library")
    videos = ", ".join(f"'{video}'" for video, _ in queries)
    ranks = []
    for video, word in queries:
        options = SearchOptions(
            texts=(word,), by="video", k=10, rerank=rerank, show_all=True, where=f"video_id in ({videos})"
        )
        order = [moment.video_id for moment in searcher.search(options).moments]
        ranks.append(order.index(video) + 1 if video in order else 11)
    expected = {f"R@{n}": float(np.mean(np.array(ranks) <= n)) for n in (1, 5, 10)}
    assert 0 < expected["R@5"] < expected["R@10"] < 1
    row = found.rows[-1]
    assert row.score == ("rerank" if rerank else "plain")
    assert {name: row.metrics[name] for name in expected} == expected


def test_descriptions_of_one_video_are_one_query(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    class Paragraphs(WordEmbedder):
        def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
            asked.extend(texts)
            return super().embed_texts([text.split()[-1] if " " not in text else "red" for text in texts])

    monkeypatch.setattr("index.search.text_encoder.load_text_embedder", lambda *arguments: Paragraphs())
    data = {"v_b": {"sentences": ["red", "then jumping"]}, "v_c": {"sentences": ["red"]}}
    found, _ = evaluated(tmp_path, "activitynet", json.dumps(data), FILMS)
    assert {"red then jumping", "red"} <= set(asked)
    assert metrics_of(found) == {"R@1": 0.5, "R@5": 1.0, "R@10": 1.0, "median rank": 1.5}


# The last three videos are not of the benchmarks.
MOMENTS = [
    Made(0, "p_0.0_16.0", 0.0, 4.0, {"jumping": 0.1, "red": 0.8}),
    Made(1, "p_0.0_16.0", 4.0, 8.0, {"jumping": 0.7}),
    Made(2, "p_0.0_16.0", 8.0, 12.0, {"jumping": 0.2, "red": 0.5}),
    Made(3, "p_0.0_16.0", 12.0, 16.0, {"jumping": 0.6}),
    Made(4, "q_0.0_16.0", 0.0, 4.0, {"kitchen": 0.1}),
    Made(5, "q_0.0_16.0", 4.0, 8.0, {"kitchen": 0.7, "jumping": 0.65}),
    Made(6, "q_0.0_16.0", 8.0, 12.0, {"kitchen": 0.2}),
    *(Made(7 + n, f"other{n}", 0.0, 4.0, {word: 0.9}) for n, word in enumerate(("jumping", "red", "kitchen"))),
]


def qvhighlights(qid: int, query: str, vid: str, windows: list[list[float]]) -> dict[str, Any]:
    return {"qid": qid, "query": query, "duration": 150, "vid": vid, "relevant_windows": windows}


QV = [
    qvhighlights(11, "jumping", "p_0.0_16.0", [[4, 8], [12, 16]]),  # both are found at once: AP 1 at every IoU
    qvhighlights(12, "kitchen", "q_0.0_16.0", [[4, 10]]),  # IoU 2/3: right from 0.5 to 0.65
    qvhighlights(13, "red", "p_0.0_16.0", [[8, 12]]),  # second: AP 1/2 at every IoU
    qvhighlights(14, "red", "gone_0.0_16.0", [[8, 12]]),
]


def lines_of(objects: Sequence[dict[str, Any]]) -> str:
    return "".join(f"{json.dumps(one)}\n" for one in objects)


def test_qvhighlights(tmp_path: Path) -> None:
    told: list[EvaluationProgress] = []
    found, predictions = evaluated(tmp_path, "qvhighlights", lines_of(QV), MOMENTS, on_progress=told.append)
    assert metrics_of(found) == pytest.approx(
        {
            "R@1 0.5": 2 / 3,
            "R@1 0.7": 1 / 3,
            "R@5 0.5": 1.0,
            "R@5 0.7": 2 / 3,
            "mAP 0.5": (1 + 1 + 0.5) / 3,
            "mAP 0.75": (1 + 0 + 0.5) / 3,
            "mAP": (1 + 0.4 + 0.5) / 3,
        }
    )
    assert (found.queries, found.asked, found.videos, found.missing) == (4, 3, 3, 1)
    assert [prediction.query.query_id for prediction in predictions] == [11, 12, 13]
    assert [(one.done, one.total) for one in told] == [(1, 3), (2, 3), (3, 3)]


def test_charades_sta_is_asked_in_each_video(tmp_path: Path) -> None:
    text = "p_0.0_16.0 12.0 16.0##jumping\nq_0.0_16.0 4.0 8.0##kitchen\nq_0.0_16.0 5.0 5.0##red\n"
    found, _ = evaluated(tmp_path, "charades-sta", text, MOMENTS)
    values = metrics_of(found)
    assert (values["R@1 0.5"], values["R@5 0.7"], values["mAP"]) == (0.5, 1.0, 0.75)
    assert (found.queries, found.asked, found.missing) == (3, 2, 0)
    assert found.left_out == (Unjudged("q_0.0_16.0", 1, "its moment ends before it begins"),)


TVR = [
    {"desc_id": 5, "desc": "jumping", "vid_name": "q_0.0_16.0", "duration": 16.0, "ts": [4, 8], "type": "v"},  # second
    {"desc_id": 6, "desc": "kitchen", "vid_name": "q_0.0_16.0", "duration": 16.0, "ts": [4, 10], "type": "t"},
    {"desc_id": 7, "desc": "red", "vid_name": "q_0.0_16.0", "duration": 16.0, "ts": [0.0, 1.5], "type": "vt"},  # never
]


def test_tvr_is_asked_of_all_videos_of_the_benchmark(tmp_path: Path) -> None:
    extra = {"desc_id": 8, "desc": "red", "vid_name": "p_0.0_16.0", "duration": 16.0, "ts": [0, 4], "type": "v"}
    found, predictions = evaluated(tmp_path, "tvr", lines_of([*TVR, extra]), MOMENTS)
    assert metrics_of(found) == pytest.approx(
        {
            "R@1 0.5": 2 / 4,
            "R@1 0.7": 1 / 4,
            "R@5 0.5": 3 / 4,
            "R@5 0.7": 2 / 4,
            "R@10 0.5": 3 / 4,
            "R@10 0.7": 2 / 4,
            "R@100 0.5": 3 / 4,
            "R@100 0.7": 2 / 4,
            "mAP 0.5": (0.5 + 1 + 0 + 1) / 4,
            "mAP 0.75": (0.5 + 0 + 0 + 1) / 4,
            "mAP": (0.5 + 0.4 + 0 + 1) / 4,
        }
    )
    assert {video for prediction in predictions for video, _, _ in prediction.answers} == {"p_0.0_16.0", "q_0.0_16.0"}


def test_qvhighlights_predictions(tmp_path: Path) -> None:
    _, predictions = evaluated(tmp_path, "qvhighlights", lines_of(QV), MOMENTS)
    path = write_predictions("qvhighlights", predictions, tmp_path)
    assert path == tmp_path / "predictions.jsonl"
    first, second, _ = [json.loads(line) for line in path.read_text().splitlines()]
    assert list(first) == ["qid", "query", "vid", "pred_relevant_windows"]
    assert (first["qid"], first["query"], first["vid"]) == (11, "jumping", "p_0.0_16.0")
    assert [window[:2] for window in first["pred_relevant_windows"]] == [[4, 8], [12, 16], [8, 12], [0, 4]]
    assert [window[2] for window in first["pred_relevant_windows"]] == pytest.approx([0.7, 0.6, 0.2, 0.1], abs=1e-3)
    assert second["pred_relevant_windows"][0][:2] == [4, 8]


def test_tvr_predictions(tmp_path: Path) -> None:
    _, predictions = evaluated(tmp_path, "tvr", lines_of(TVR[:1]), MOMENTS)
    path = write_predictions("tvr", predictions, tmp_path)
    assert path == tmp_path / "predictions.json"
    found = json.loads(path.read_text())
    assert found["video2idx"] == {"q_0.0_16.0": 0}
    (entry,) = found["VCMR"]
    assert (entry["desc_id"], entry["desc"]) == (5, "jumping")
    assert [prediction[:3] for prediction in entry["predictions"]] == [[0, 4, 8], [0, 0, 4], [0, 8, 12]]
    assert [prediction[3] for prediction in entry["predictions"]] == pytest.approx([0.65, 0, 0], abs=1e-3)
    assert write_predictions("msrvtt", (), tmp_path) is None


def test_scores_of_predictions_never_rise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clips without a rerank score come after those with one, whatever their cosines: a script that sorts must see that."""

    def exact(snapshot: object, model: object, texts: Sequence[str], rows: NDArray[np.int64]) -> NDArray[np.float32]:
        return np.array([[(row // 5) / 1000 for row in rows] for _ in texts], np.float32)

    monkeypatch.setattr("index.search.rerank.rerank_scores", exact)
    films = [
        Made(n, "a", 30.0 * (n // 5) + 4 * (n % 5), 30.0 * (n // 5) + 4 * (n % 5) + 4, {"jumping": 0.9 - (n // 5) / 100})
        for n in range(150)  # thirty scenes of five clips; the hundred best clips, of twenty scenes, are reranked
    ]
    found, predictions = evaluated(tmp_path, "tvr", lines_of([TVR[0] | {"vid_name": "a"}]), films, rerank=2)
    assert [row.score for row in found.rows] == ["plain", "rerank"]
    (prediction,) = predictions
    options = SearchOptions(texts=("jumping",), k=100, rerank=2, show_all=True)
    searched = Searcher(tmp_path / "library").search(options).moments
    assert [span.start_s for _, span, _ in prediction.answers] == [moment.start_s for moment in searched]
    assert searched[-1].score > searched[0].score
    scores = [score for _, _, score in prediction.answers]
    assert scores == sorted(scores, reverse=True)


def test_the_text_says_all_of_it(tmp_path: Path) -> None:
    from dataclasses import replace

    from jobs.evaluate.benchmarks.results import Published

    found, predictions = evaluated(tmp_path, "msrvtt", CSV, FILMS)
    found = replace(found, published=Published("xclip", 0.104, "a table"))
    lines = benchmark_text(found).splitlines()
    assert lines[0].endswith("library (snapshot 1, 5 clips) on msrvtt, " + found.annotations + ": 3 of 4 queries asked")
    assert lines[1:] == [
        "embedder e@22222222, 3 of 4 videos, 1 missing",
        "  left out: gone (1 query): not in the library",
        "",
        "videos found by their descriptions",
        "score      R@1    R@5    R@10   median rank",
        "---------  -----  -----  -----  -----------",
        "plain      0.333  1.000  1.000  2",
        "published  0.104",
        "",
        "published: xclip, a table",
        "",
        "not reranked: --rerank is 0, or the library has no features for the rerank score",
    ]
    (tmp_path / "out").mkdir()
    write_benchmark(found, predictions, tmp_path / "out", "vidsift evaluate")
    kept = json.loads((tmp_path / "out" / "results.json").read_text())
    assert kept.pop("command") == "vidsift evaluate"
    assert kept == json.loads(json.dumps(benchmark_json(found)))
    assert kept["rows"] == [{"score": "plain", "metrics": metrics_of(found)}]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["results.json", "results.md"]


def test_moments_are_printed_by_iou(tmp_path: Path) -> None:
    found, _ = evaluated(tmp_path, "qvhighlights", lines_of(QV), [*MOMENTS, *background(5)])
    lines = benchmark_text(found).splitlines()
    assert "score  R@1 0.5  R@1 0.7  R@5 0.5  R@5 0.7  mAP 0.5  mAP 0.75  mAP" in lines
    assert "plain  0.667    0.333    1.000    0.667    0.833    0.500     0.633" in lines


def test_what_cannot_be_asked(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="rerank: got -1, expected 0 or more"):
        evaluated(tmp_path, "msrvtt", CSV, FILMS, rerank=-1)
    with pytest.raises(UsageError, match="got no query that can be asked: its moment ends before it begins"):
        evaluated(tmp_path, "charades-sta", "q_0.0_16.0 5.0 5.0##red\n", MOMENTS)
