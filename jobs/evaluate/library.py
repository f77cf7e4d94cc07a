"""Measure a library against what its user knows: labels, retrieval, moments, the index, and what a query costs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from index.search.question import Question
from index.search.scoring import Scorer, ranked
from index.search.searcher import Searcher
from index.sql.catalog import Catalog
from jobs.evaluate import metrics
from jobs.evaluate.ground_truth import GroundTruthMoment, Truth, read_truth
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
from jobs.evaluate.moment_metrics import average_precision, moment_recall, overlap, shows
from schemas.errors import UsageError
from schemas.records import Span
from schemas.search import SearchOptions

PLAIN, RERANK = "plain", "rerank"
IOUS = (0.3, 0.5, 0.7)

# A moment that fills its video is found by finding the video.
_WHOLE_SHARE = 0.8

_TEXTS = 64  # embedded at once

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Judging:
    """A moment of an evaluation."""

    done: int
    total: int
    elapsed_s: float

    def __str__(self) -> str:
        return f"asked {self.done} of {self.total} questions, {self.elapsed_s:.0f} s so far"


def evaluate(
    truth: Path,
    folder: Path,
    *,
    rerank: int = 100,
    embedder: str | None = None,
    say: Callable[[str], None] = lambda sentence: None,
    on_progress: Callable[[Judging], None] = lambda progress: None,
) -> Evaluation:
    """Hold a library against a file of moments.

    Args:
        truth: as for `jobs.evaluate.ground_truth.read_truth`.
        folder: the library's.
        rerank: how many of the best clips the model's own score orders; 0 measures the dot product alone.
        embedder: where the library's embedder is now, if not where it was at ingest.
        say: told what a user should know besides, a sentence each.
        on_progress: told how far it is.

    Raises:
        UsageError: the file cannot be used, the library has none of its videos, or ``rerank`` is negative.
        LibraryError: no library, or nothing published in it.
        ModelError: the embedder is not where it was, or is not what it was.
    """
    if rerank < 0:
        raise UsageError(f"--rerank: got {rerank}, expected 0 or more")
    searcher = Searcher(folder, embedder=embedder, say=say)
    snapshot = searcher.snapshot
    found = read_truth(truth, snapshot.catalog)
    captions = [(one, caption) for one in found.judged for caption in one.captions]
    actions = sorted({one.label for one in found.judged if one.label is not None})
    asked = list(dict.fromkeys([caption for _, caption in captions] + actions))
    searcher.scorer.encoder.note_cut_texts(asked, "caption")
    rerank = rerank if rerank and _reranks(searcher.scorer, asked[0]) else 0
    scores = (PLAIN, RERANK) if rerank else (PLAIN,)
    parts = [(one, caption) for one, caption in captions if one.share < _WHOLE_SHARE]
    tell = _counter(len(captions) + len(actions) + 2 * len(scores) * len(parts), on_progress)
    latency = time_queries(searcher, asked, rerank)
    recall, checked = index_recall(folder, searcher, asked)
    precision = tuple(_precision(searcher.scorer, found, action, rerank, tell) for action in actions)
    return Evaluation(
        library=str(folder),
        snapshot=snapshot.number,
        classifier=snapshot.info.classifier,
        embedder=snapshot.info.embedder,
        clips=len(searcher.scorer.timeline),
        truth=str(truth),
        rows=found.rows,
        judged=len(found.judged),
        unjudged=found.unjudged,
        rerank=rerank,
        recognition=_recognition(snapshot.catalog, found.judged) if actions else None,
        retrieval=tuple(_retrieval(searcher.scorer, found, captions, rerank, tell)) if captions else (),
        precision=precision,
        mean_precision=_mean_precision(precision, rerank),
        moments=tuple(_moments(searcher, parts, rerank, tell)) if parts else (),
        index_recall_at_10=recall,
        index_queries=checked,
        latency=latency,
    )


def _counter(total: int, on_progress: Callable[[Judging], None]) -> Callable[[], None]:
    began, done = time.monotonic(), 0

    def tell() -> None:
        nonlocal done
        done += 1
        on_progress(Judging(done, total, time.monotonic() - began))

    return tell


def _reranks(scorer: Scorer, text: str) -> bool:
    """Whether there is a score of the model's own to rerank by."""
    return bool(scorer.rerank(scorer.score(scorer.encoder.encode(Question((text,)))), np.arange(1)).reranked.any())


def _recognition(catalog: Catalog, judged: Sequence[GroundTruthMoment]) -> Recognition:
    """Labels of the judged moments' clips; capital letters and underscores make no difference."""
    named = [(one, _plain(one.label)) for one in judged if one.label is not None]
    rows = catalog.sql(
        "select clip_id, label from labels where clip_id in (select unnest($ids)) order by clip_id, rank",
        {"ids": [one.clip_id for one, _ in named]},
    )
    of_clip: dict[int, list[str]] = {}
    for row in rows.to_pylist():
        of_clip.setdefault(row["clip_id"], []).append(_plain(row["label"]))
    heard = {_plain(label) for label in catalog.sql("select distinct label from labels")["label"].to_pylist()}
    given = [of_clip.get(one.clip_id, ["(no label)"]) for one, _ in named]
    true = [label for _, label in named]
    labels = sorted({*true, *(best[0] for best in given)})
    place = {label: number for number, label in enumerate(labels)}
    targets, predicted = np.array([place[label] for label in true]), np.array([place[best[0]] for best in given])
    matrix = metrics.confusion_matrix(targets, predicted, len(labels))
    in_five = np.array([label in best[:5] for label, best in zip(true, given, strict=True)])
    told = []
    for label in sorted(set(true)):
        row = class_row(labels, place[label], matrix[place[label]])
        of_five = float(in_five[targets == place[label]].mean())
        told.append(ActionRow(label, row.clips, row.top1, of_five, row.confused_with))
    return Recognition(
        moments=len(named),
        top1=float((targets == predicted).mean()),
        top5=float(in_five.mean()),
        mean_class=metrics.mean_class_accuracy(matrix),
        kept=max(map(len, given)),
        actions=tuple(told),
        unheard=tuple(sorted(set(true) - heard)),
        labels=tuple(labels),
        matrix=tuple(tuple(map(int, row)) for row in matrix),
    )


def _plain(label: str | None) -> str:
    return " ".join((label or "").replace("_", " ").casefold().split())


def _retrieval(
    scorer: Scorer, truth: Truth, captions: Sequence[tuple[GroundTruthMoment, str]], rerank: int, tell: Callable[[], None]
) -> Iterator[RetrievalRow]:
    """Each caption against the clips of all moments, each clip once."""
    timeline = scorer.timeline
    ids = np.unique([one.clip_id for one in truth.judged])
    candidates = np.flatnonzero(timeline.among(ids))
    at = {int(timeline.ids[position]): number for number, position in enumerate(candidates)}
    own = np.array([at[one.clip_id] for one, _ in captions])
    tables: dict[str, list[Floats]] = {PLAIN: [], RERANK: []}
    for number, (_, caption) in enumerate(captions):
        if number % _TEXTS == 0:
            scorer.encoder.text_vectors([text for _, text in captions[number : number + _TEXTS]])
        for score, row in _scores(scorer, caption, candidates, rerank).items():
            tables[score].append(row)
        tell()
    for score, rows in tables.items():
        if rows:
            table = np.stack(rows)
            one, five, ten = (metrics.recall_at(table, k, own) for k in (1, 5, 10))
            middle = metrics.median_rank(table, own)
            yield RetrievalRow(score, len(captions), len(candidates), one, five, ten, middle)


def _scores(scorer: Scorer, text: str, candidates: NDArray[np.int64], rerank: int) -> dict[str, Floats]:
    """float64 [candidates] by dot product, and with the best ``rerank`` of them ordered by the model's own score."""
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


def _precision(scorer: Scorer, truth: Truth, action: str, rerank: int, tell: Callable[[], None]) -> PrecisionRow:
    timeline = scorer.timeline
    spans = {
        video: [one.span for one in truth.judged if (one.video_id, one.label) == (video, action)] for video in truth.clips
    }
    shown = [clip for video, of in truth.clips.items() for clip, span in of if any(shows(span, one) for one in spans[video])]
    candidates = np.flatnonzero(timeline.among(np.array([clip for of in truth.clips.values() for clip, _ in of])))
    relevant = np.isin(timeline.ids[candidates], np.array(shown, np.int64))
    rows = _scores(scorer, action, candidates, rerank)
    tell()
    found = {score: average_precision(row, relevant) for score, row in rows.items()}
    return PrecisionRow(action, int(relevant.sum()), found[PLAIN], found.get(RERANK))


def _mean_precision(rows: Sequence[PrecisionRow], rerank: int) -> dict[str, float]:
    judged = [row for row in rows if row.clips]
    if not judged:
        return {}
    means = {PLAIN: float(np.mean([row.plain for row in judged]))}
    return means | ({RERANK: float(np.mean([row.rerank for row in judged if row.rerank is not None]))} if rerank else {})


def _moments(
    searcher: Searcher, captions: Sequence[tuple[GroundTruthMoment, str]], rerank: int, tell: Callable[[], None]
) -> Iterator[MomentRow]:
    """Each caption asked of its own video, and of the whole library, as a search by moments answers it."""
    for score, depth in ((PLAIN, 0), (RERANK, rerank)):
        if score == RERANK and not rerank:
            continue
        for among in ("own video", "library"):
            overlaps = []
            for judged, caption in captions:
                video = judged.video_id.replace("'", "''")
                where = f"video_id = '{video}'" if among == "own video" else None
                options = SearchOptions(texts=(caption,), k=5, rerank=depth, show_all=True, where=where)
                answer = searcher.search(options)
                found = [(moment.video_id, Span(moment.start_s, moment.end_s)) for moment in answer.moments]
                overlaps.append(
                    [overlap(judged.span, span) if video_id == judged.video_id else 0.0 for video_id, span in found]
                )
                tell()
            for iou in IOUS:
                one, five = (moment_recall(overlaps, n, iou) for n in (1, 5))
                yield MomentRow(score, among, len(captions), iou, one, five)
