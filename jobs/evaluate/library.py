"""Evaluates a library against moments that a user has listed: labels, retrieval, moments, the index, and latency."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from index.object_store import library_folder
from index.search.question import Question
from index.search.scoring import Scorer, ranked
from index.search.searcher import Searcher
from index.sql.catalog import Catalog
from jobs.evaluate import metrics
from jobs.evaluate.ground_truth import GroundTruth, GroundTruthMoment, read_truth
from jobs.evaluate.latency import index_recall, time_queries
from jobs.evaluate.library_results import (
    ActionRow,
    Evaluation,
    MomentRow,
    PrecisionRow,
    Recognition,
    RetrievalRow,
)
from jobs.evaluate.model_results import class_row
from jobs.evaluate.moment_metrics import average_precision, moment_recall, temporal_iou
from jobs.evaluate.progress import EvaluationProgress, question_counter
from jobs.overlap import shows
from schemas.errors import UsageError
from schemas.records import Span
from schemas.search import SearchOptions

PLAIN, RERANK = "plain", "rerank"
IOUS = (0.3, 0.5, 0.7)

# Moments that take up more of their video are left out of moment retrieval: finding the video would be finding them.
_WHOLE_SHARE = 0.8

_TEXTS_PER_BATCH = 64  # embedded at once

Floats = NDArray[np.float64]


def evaluate(
    truth: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    *,
    rerank: int = 100,
    embedder: str | None = None,
    say: Callable[[str], None] = lambda sentence: None,
    on_progress: Callable[[EvaluationProgress], None] = lambda progress: None,
) -> Evaluation:
    """Evaluate a library against a file of moments.

    Args:
        truth: the file; see `jobs.evaluate.ground_truth.read_truth`.
        folder: the library's.
        rerank: how many of the best clips are ordered by the rerank score; 0 measures the dot product alone.
        embedder: where the library's embedder is now, if it has moved since the ingest.
        say: called with each sentence that a user should know besides the results.
        on_progress: called after each question.

    Raises:
        UsageError: the file cannot be used, the library has none of its videos, or ``rerank`` is negative.
        LibraryError: no library, or nothing published in it.
        ModelError: the embedder is not where it was, or is not what it was.
    """
    if rerank < 0:
        raise UsageError(f"got {rerank}, expected 0 or more", argument="rerank")
    truth, folder = Path(truth), library_folder(folder)
    searcher = Searcher(folder, embedder=embedder, say=say)
    snapshot = searcher.snapshot
    moments = read_truth(truth, snapshot.catalog)
    captions = [(moment, caption) for moment in moments.judged for caption in moment.captions]
    actions = sorted({moment.label for moment in moments.judged if moment.label is not None})
    texts = list(dict.fromkeys([caption for _, caption in captions] + actions))
    searcher.scorer.encoder.note_cut_texts(texts, "caption")
    rerank = rerank if rerank and has_rerank_score(searcher.scorer, texts[0]) else 0
    scores = (PLAIN, RERANK) if rerank else (PLAIN,)
    part_captions = [(moment, caption) for moment, caption in captions if moment.share < _WHOLE_SHARE]
    count = question_counter(len(captions) + len(actions) + 2 * len(scores) * len(part_captions), on_progress)
    latency = time_queries(searcher, texts, rerank)
    recall, num_queries = index_recall(folder, searcher, texts)
    precision = tuple(_precision(searcher.scorer, moments, action, rerank, count) for action in actions)
    return Evaluation(
        library=str(folder),
        snapshot=snapshot.number,
        classifier=snapshot.info.classifier,
        embedder=snapshot.info.embedder,
        clips=len(searcher.scorer.clips),
        truth=str(truth),
        rows=moments.rows,
        judged=len(moments.judged),
        unjudged=moments.unjudged,
        rerank=rerank,
        recognition=_recognition(snapshot.catalog, moments.judged) if actions else None,
        retrieval=tuple(_retrieval(searcher.scorer, moments, captions, rerank, count)) if captions else (),
        precision=precision,
        mean_precision=_mean_precision(precision, rerank),
        moments=tuple(_moments(searcher, part_captions, rerank, count)) if part_captions else (),
        index_recall_at_10=recall,
        index_queries=num_queries,
        latency=latency,
    )


def has_rerank_score(scorer: Scorer, text: str) -> bool:
    """Whether the library and its model have a rerank score."""
    return bool(scorer.rerank(scorer.score(scorer.encoder.encode(Question((text,)))), np.arange(1)).reranked.any())


def _recognition(catalog: Catalog, judged: Sequence[GroundTruthMoment]) -> Recognition:
    """The labels of the judged moments' clips against the moments' actions, whatever their case and underscores."""
    named = [(moment, _normalized(moment.label)) for moment in judged if moment.label is not None]
    rows = catalog.sql(
        "select clip_id, label from labels where clip_id in (select unnest($ids)) order by clip_id, rank",
        {"ids": [moment.clip_id for moment, _ in named]},
    )
    of_clip: dict[int, list[str]] = {}
    for row in rows.to_pylist():
        of_clip.setdefault(row["clip_id"], []).append(_normalized(row["label"]))
    known = {_normalized(label) for label in catalog.sql("select distinct label from labels")["label"].to_pylist()}
    given = [of_clip.get(moment.clip_id, ["(no label)"]) for moment, _ in named]
    true = [label for _, label in named]
    labels = sorted({*true, *(best[0] for best in given)})
    row_of = {label: number for number, label in enumerate(labels)}
    targets, predicted = np.array([row_of[label] for label in true]), np.array([row_of[best[0]] for best in given])
    matrix = metrics.confusion_matrix(targets, predicted, len(labels))
    in_five = np.array([label in best[:5] for label, best in zip(true, given, strict=True)])
    actions = []
    for label in sorted(set(true)):
        row = class_row(labels, row_of[label], matrix[row_of[label]])
        top5 = float(in_five[targets == row_of[label]].mean())
        actions.append(ActionRow(label, row.clips, row.top1, top5, row.confused_with))
    return Recognition(
        moments=len(named),
        top1=float((targets == predicted).mean()),
        top5=float(in_five.mean()),
        mean_class=metrics.mean_class_accuracy(matrix),
        kept=max(map(len, given)),
        actions=tuple(actions),
        unheard=tuple(sorted(set(true) - known)),
        labels=tuple(labels),
        matrix=tuple(tuple(map(int, row)) for row in matrix),
    )


def _normalized(label: str | None) -> str:
    """A label in lower case, its words separated by one blank."""
    return " ".join((label or "").replace("_", " ").casefold().split())


def _retrieval(
    scorer: Scorer,
    truth: GroundTruth,
    captions: Sequence[tuple[GroundTruthMoment, str]],
    rerank: int,
    count: Callable[[], None],
) -> Iterator[RetrievalRow]:
    """Each caption is a query over the clips of all moments, each clip once."""
    timeline = scorer.timeline
    ids = np.unique([moment.clip_id for moment in truth.judged])
    candidates = np.flatnonzero(timeline.among(ids))
    place = {int(timeline.ids[position]): number for number, position in enumerate(candidates)}
    own_clips = np.array([place[moment.clip_id] for moment, _ in captions])
    tables: dict[str, list[Floats]] = {PLAIN: [], RERANK: []}
    for number, (_, caption) in enumerate(captions):
        if number % _TEXTS_PER_BATCH == 0:
            scorer.encoder.text_vectors([text for _, text in captions[number : number + _TEXTS_PER_BATCH]])
        for score, row in _scores(scorer, caption, candidates, rerank).items():
            tables[score].append(row)
        count()
    for score, rows in tables.items():
        if rows:
            table = np.stack(rows)
            at_1, at_5, at_10 = (metrics.recall_at(table, k, own_clips) for k in (1, 5, 10))
            median_rank = metrics.median_rank(table, own_clips)
            yield RetrievalRow(score, len(captions), len(candidates), at_1, at_5, at_10, median_rank)


def _scores(scorer: Scorer, text: str, candidates: NDArray[np.int64], rerank: int) -> dict[str, Floats]:
    """float64 [candidates] by dot product, and with the best ``rerank`` of them ordered by the rerank score."""
    scores = scorer.score(scorer.encoder.encode(Question((text,))))
    plain = scores.cosines[0][candidates]
    rows = {PLAIN: plain}
    if rerank:
        best = candidates[np.argsort(-plain, kind="stable")[:rerank]]
        reranked = scorer.rerank(scores, best)
        free = np.zeros(len(scorer.timeline), bool)
        free[candidates] = True
        rows[RERANK] = ranked(reranked.score, reranked.reranked, free)[candidates]
    return rows


def _precision(scorer: Scorer, truth: GroundTruth, action: str, rerank: int, count: Callable[[], None]) -> PrecisionRow:
    """One action as a query over the clips of all videos that have moments."""
    timeline = scorer.timeline
    candidates = np.flatnonzero(timeline.among(np.array([clip for of in truth.clips.values() for clip, _ in of])))
    relevant = np.isin(timeline.ids[candidates], _relevant_clips(truth, action))
    rows = _scores(scorer, action, candidates, rerank)
    count()
    precision = {score: average_precision(row, relevant) for score, row in rows.items()}
    return PrecisionRow(action, int(relevant.sum()), precision[PLAIN], precision.get(RERANK))


def _relevant_clips(truth: GroundTruth, action: str) -> NDArray[np.int64]:
    """Ids of the clips that show a moment of an action."""
    clip_ids: list[int] = []
    for moment in truth.judged:
        if moment.label == action:
            of_video = truth.clips[moment.video_id]
            start_s, end_s = np.array([span for _, span in of_video]).T
            shown = shows(moment.span, start_s, end_s)
            clip_ids += [clip_id for (clip_id, _), is_shown in zip(of_video, shown, strict=True) if is_shown]
    return np.array(clip_ids, np.int64)


def _mean_precision(rows: Sequence[PrecisionRow], rerank: int) -> dict[str, float]:
    judged = [row for row in rows if row.clips]
    if not judged:
        return {}
    means = {PLAIN: float(np.mean([row.plain for row in judged]))}
    return means | ({RERANK: float(np.mean([row.rerank for row in judged if row.rerank is not None]))} if rerank else {})


def _moments(
    searcher: Searcher, captions: Sequence[tuple[GroundTruthMoment, str]], rerank: int, count: Callable[[], None]
) -> Iterator[MomentRow]:
    """Each caption is a search for moments, in its own video and in the whole library."""
    for score, depth in ((PLAIN, 0), (RERANK, rerank)):
        if score == RERANK and not rerank:
            continue
        for among in ("own video", "library"):
            ious: list[list[float]] = []
            for moment, caption in captions:
                video = moment.video_id.replace("'", "''")
                where = f"video_id = '{video}'" if among == "own video" else None
                options = SearchOptions(texts=(caption,), k=5, rerank=depth, show_all=True, where=where)
                answer = searcher.search(options)
                ious.append(
                    [
                        temporal_iou(moment.span, Span(hit.start_s, hit.end_s)) if hit.video_id == moment.video_id else 0.0
                        for hit in answer.moments
                    ]
                )
                count()
            for min_iou in IOUS:
                at_1, at_5 = (moment_recall(ious, n, min_iou) for n in (1, 5))
                yield MomentRow(score, among, len(captions), min_iou, at_1, at_5)
