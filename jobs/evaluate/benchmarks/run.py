"""Evaluates a library against a benchmark: videos found by their descriptions, or moments found by theirs."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from index.object_store import library_folder
from index.search.candidates import AllClips
from index.search.question import Question
from index.search.ranking import clips_to_rerank, rank
from index.search.scoring import ranked
from index.search.searcher import Searcher
from jobs.evaluate import metrics
from jobs.evaluate.benchmarks.layouts import read_annotations
from jobs.evaluate.benchmarks.published import published
from jobs.evaluate.benchmarks.results import TASKS, BenchmarkEvaluation, BenchmarkRow, Prediction, Query
from jobs.evaluate.benchmarks.videos import BenchmarkVideos, find_videos
from jobs.evaluate.library import PLAIN, RERANK, has_rerank_score
from jobs.evaluate.library_results import Unjudged
from jobs.evaluate.moment_metrics import detection_precision, moment_recall, temporal_iou
from jobs.evaluate.progress import EvaluationProgress, question_counter
from schemas.errors import UsageError
from schemas.records import Span
from schemas.search import SearchOptions

_TEXTS_PER_BATCH = 64  # embedded at once
_RANKS = (1, 5, 10)
_IOUS = (0.5, 0.7)
_PRECISION_IOUS = tuple(percent / 100 for percent in range(50, 100, 5))
_PRECISION_ANSWERS = 10  # that count for mAP, as QVHighlights has it
_ANSWERS = {"moments of a video": (1, 5), "moments of all videos": (1, 5, 10, 100)}  # the n of R@n
_NO_LENGTH = "its moment ends before it begins"


def evaluate_benchmark(
    benchmark: str,
    annotations: str | os.PathLike[str],
    videos: str,
    folder: str | os.PathLike[str],
    *,
    split: str | None = None,
    rerank: int = 100,
    embedder: str | None = None,
    say: Callable[[str], None] = lambda sentence: None,
    on_progress: Callable[[EvaluationProgress], None] = lambda progress: None,
) -> tuple[BenchmarkEvaluation, tuple[Prediction, ...]]:
    """Evaluate a library against a benchmark.

    Args:
        benchmark: one of `jobs.evaluate.benchmarks.results.TASKS`.
        annotations: its file, as its authors publish it; see `jobs.evaluate.benchmarks.layouts`.
        videos: the folder of its videos that was ingested.
        folder: the library's.
        split: see `jobs.evaluate.benchmarks.layouts.read_annotations`.
        rerank: how many of the best clips are ordered by the rerank score; 0 measures the dot product alone.
        embedder: where the library's embedder is now, if it has moved since the ingest.
        say: called with each sentence that a user should know besides the results.
        on_progress: called after each question.

    Returns:
        The results; and for moments the answers to each query by the last of the scores, in the order of the file.

    Raises:
        UsageError: the file cannot be used, the library has none of its videos, or ``rerank`` is negative.
        LibraryError: no library, or nothing published in it.
        ModelError: the embedder is not where it was, or is not what it was.
    """
    if rerank < 0:
        raise UsageError(f"got {rerank}, expected 0 or more", argument="rerank")
    queries, split = read_annotations(benchmark, Path(annotations), split)
    searcher = Searcher(library_folder(folder), embedder=embedder, say=say, candidates=AllClips())  # no rank is approximate
    snapshot = searcher.snapshot
    found = find_videos((query.video for query in queries), videos, snapshot.catalog)
    asked, left_out = _split_by_use(queries, found, of_moments=TASKS[benchmark] != "videos")
    if not asked:
        raise UsageError(f"got no query that can be asked: {left_out[0].reason}", argument="annotations", value=annotations)
    searcher.scorer.encoder.note_cut_texts([query.text for query in asked], "query")
    rerank = rerank if rerank and has_rerank_score(searcher.scorer, asked[0].text) else 0
    predictions: tuple[Prediction, ...] = ()
    if TASKS[benchmark] == "videos":
        rows = _videos(searcher, asked, found, rerank, question_counter(len(asked), on_progress))
    else:
        count = question_counter(len(asked) * (1 + bool(rerank)), on_progress)
        rows, predictions = _moments(searcher, benchmark, asked, found, rerank, count)
    return BenchmarkEvaluation(
        benchmark=benchmark,
        annotations=str(annotations),
        split=split,
        library=str(folder),
        snapshot=snapshot.number,
        embedder=snapshot.info.embedder,
        clips=len(searcher.scorer.clips),
        queries=len(queries),
        asked=len(asked),
        videos=len(found.ids) + len(found.reasons),
        missing=len(found.reasons),
        left_out=left_out,
        rerank=rerank,
        rows=rows,
        published=published(snapshot.info.embedder, benchmark),
    ), predictions


def _split_by_use(
    queries: Sequence[Query], found: BenchmarkVideos, *, of_moments: bool
) -> tuple[list[Query], tuple[Unjudged, ...]]:
    """The queries that can be asked, and the videos of the others."""
    asked: list[Query] = []
    reasons: Counter[tuple[str, str]] = Counter()
    for query in queries:
        if reason := found.reasons.get(query.video):
            reasons[query.video, reason] += 1
        elif of_moments and not query.windows:
            reasons[query.video, _NO_LENGTH] += 1
        else:
            asked.append(query)
    return asked, tuple(Unjudged(video, count, reason) for (video, reason), count in reasons.items())


def _in_batches(searcher: Searcher, queries: Sequence[Query]) -> Iterator[Query]:
    """The queries; the texts of the next ones are embedded together."""
    for number, query in enumerate(queries):
        if number % _TEXTS_PER_BATCH == 0:
            searcher.scorer.encoder.text_vectors([near.text for near in queries[number : number + _TEXTS_PER_BATCH]])
        yield query


def _videos(
    searcher: Searcher, queries: Sequence[Query], found: BenchmarkVideos, rerank: int, count: Callable[[], None]
) -> tuple[BenchmarkRow, ...]:
    """Each query looks for its video among all that were found; a video's score is that of its best clip."""
    timeline = searcher.scorer.timeline
    number_of = _video_numbers(searcher, found)
    passing = np.isin(timeline.video, list(number_of.values()))
    positions = np.flatnonzero(passing)
    begins = np.flatnonzero(np.diff(timeline.video[positions], prepend=-1))
    numbers = timeline.video[positions[begins]]
    ranks: dict[str, list[int]] = {PLAIN: [], RERANK: []}
    for query in _in_batches(searcher, queries):
        own = np.searchsorted(numbers, [number_of[query.video]])
        for score, order in _orders(searcher, query.text, passing, rerank):
            best = np.maximum.reduceat(order[positions], begins)
            ranks[score] += metrics.ranks(best[None], own).tolist()
        count()
    return tuple(BenchmarkRow(score, _rank_metrics(np.array(of_score))) for score, of_score in ranks.items() if of_score)


def _video_numbers(searcher: Searcher, found: BenchmarkVideos) -> dict[str, int]:
    """By name, the number of a video in the searcher's timeline."""
    timeline = searcher.scorer.timeline
    rows = searcher.snapshot.catalog.sql(
        "select video_id, min(clip_id) as clip_id from clips where video_id in (select unnest($ids)) group by video_id",
        {"ids": list(found.ids.values())},
    ).to_pylist()
    positions = np.flatnonzero(timeline.among(np.array([row["clip_id"] for row in rows])))
    number_of_clip = dict(zip(timeline.ids[positions].tolist(), timeline.video[positions].tolist(), strict=True))
    number_of_id = {row["video_id"]: number_of_clip[row["clip_id"]] for row in rows}
    return {name: number_of_id[video_id] for name, video_id in found.ids.items()}


def _orders(
    searcher: Searcher, text: str, passing: NDArray[np.bool_], rerank: int
) -> Iterator[tuple[str, NDArray[np.float64]]]:
    """By each score, float64 [clips]: what a search for videos sorts the ``passing`` clips by, for all of them."""
    options = SearchOptions(texts=(text,), by="video", k=max(_RANKS), rerank=rerank)
    scores = searcher.scorer.score(searcher.scorer.encoder.encode(Question(options.texts)))
    ranking = rank([scores], passing, options.gap_s)
    yield PLAIN, ranked(ranking.score, ranking.reranked, passing)
    if rerank:
        reranked = searcher.scorer.rerank(scores, clips_to_rerank(ranking, options))
        ranking = rank([reranked], passing, options.gap_s)
        yield RERANK, ranked(ranking.score, ranking.reranked, passing)


def _rank_metrics(ranks: NDArray[np.int64]) -> dict[str, float]:
    recalls = {f"R@{n}": float((ranks <= n).mean()) for n in _RANKS}
    return recalls | {"median rank": float(np.median(ranks))}


def _moments(
    searcher: Searcher,
    benchmark: str,
    queries: Sequence[Query],
    found: BenchmarkVideos,
    rerank: int,
    count: Callable[[], None],
) -> tuple[tuple[BenchmarkRow, ...], tuple[Prediction, ...]]:
    """Each query is a search for moments, in its own video or in all that were found; the last score's answers as well."""
    task = TASKS[benchmark]
    if task == "moments of a video":  # those of one video after each other: its clips are looked up once
        order = sorted(range(len(queries)), key=lambda number: queries[number].video)
    else:
        order = list(range(len(queries)))
    name_of = {video_id: name for name, video_id in found.ids.items()}
    everywhere = _condition(found.ids.values()) if len(found.ids) < _num_videos(searcher) else None
    num_answers = max(*_ANSWERS[task], _PRECISION_ANSWERS)
    rows = []
    predictions: list[Prediction] = []
    for score, depth in ((PLAIN, 0), (RERANK, rerank))[: 1 + bool(rerank)]:
        predictions = []
        for query in _in_batches(searcher, [queries[number] for number in order]):
            where = _condition([found.ids[query.video]]) if task == "moments of a video" else everywhere
            options = SearchOptions(texts=(query.text,), k=num_answers, rerank=depth, show_all=True, where=where)
            moments = searcher.search(options).moments
            scores = np.minimum.accumulate([moment.score for moment in moments]).tolist()
            answers = [
                (name_of[moment.video_id], Span(moment.start_s, moment.end_s), of_answer)
                for moment, of_answer in zip(moments, scores, strict=True)
            ]
            predictions.append(Prediction(query, tuple(answers)))
            count()
        rows.append(BenchmarkRow(score, _moment_metrics(predictions, _ANSWERS[task])))
    in_file = sorted(zip(order, predictions, strict=True), key=lambda pair: pair[0])
    return tuple(rows), tuple(prediction for _, prediction in in_file)


def _condition(video_ids: Iterable[str]) -> str:
    """The condition that a clip is of one of these videos."""
    quoted = ("'" + video_id.replace("'", "''") + "'" for video_id in video_ids)
    return f"video_id in ({', '.join(quoted)})"


def _num_videos(searcher: Searcher) -> int:
    """How many videos of the library have clips."""
    return len(np.unique(searcher.scorer.timeline.video))


def _moment_metrics(predictions: Sequence[Prediction], recall_at: Sequence[int]) -> dict[str, float]:
    """The metrics of moments by name; see `jobs.evaluate.benchmarks.results.BenchmarkRow`.

    Args:
        predictions: at least one.
        recall_at: the n of R@n.
    """
    ious = [_ious(prediction) for prediction in predictions]
    best_ious = [of_query.max(axis=1).tolist() for of_query in ious]  # with any of a query's moments
    recalls = {f"R@{n} {iou:g}": moment_recall(best_ious, n, iou) for n in recall_at for iou in _IOUS}
    precisions = [
        float(np.mean([detection_precision(of_query[:_PRECISION_ANSWERS], iou) for of_query in ious]))
        for iou in _PRECISION_IOUS
    ]
    shown = {f"mAP {iou:g}": precisions[_PRECISION_IOUS.index(iou)] for iou in (0.5, 0.75)}
    return recalls | shown | {"mAP": float(np.mean(precisions))}


def _ious(prediction: Prediction) -> NDArray[np.float64]:
    """float64 [answers, moments]: the IoU of each answer with each of the query's moments; 0 in another video."""
    query = prediction.query
    rows = [
        [temporal_iou(span, window) if video == query.video else 0.0 for window in query.windows]
        for video, span, _ in prediction.answers
    ]
    return np.array(rows, np.float64).reshape(len(prediction.answers), len(query.windows))
