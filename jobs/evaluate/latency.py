"""Times the stages of a warm query, and measures how many of the best clips a search finds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from index.search.question import Question
from index.search.scoring import ClipScores
from index.search.searcher import Searcher
from index.sql.catalog import Catalog
from index.storage.paths import Library
from index.storage.working_copies import copy_of
from jobs.evaluate.library_results import LatencyRow
from schemas.search import SearchOptions

_QUERIES = 100  # at most
_ANSWERS = 10  # whose rows the catalog is asked for
_BEST = 10
_SAME_SCORE = 1e-6


def time_queries(searcher: Searcher, texts: Sequence[str], rerank: int) -> tuple[LatencyRow, ...]:
    """Time the parts of a warm query with every other text, and whole searches with those between.

    Args:
        searcher: of the library; it must not have been asked these texts before, or the text model would not be timed.
        texts: at most a hundred of them are taken, evenly spaced; the first one warms up.
        rerank: how many clips get a rerank score; 0 leaves that part out.
    """
    scorer, catalog = searcher.scorer, searcher.snapshot.catalog
    first, *others = _spread(texts)
    searcher.search(SearchOptions(texts=(first,), rerank=rerank))  # loads the models, and what is kept between questions
    times: dict[str, list[float]] = {name: [] for name in ("text model", "stage one", "rerank", "catalog", "whole search")}

    def timed(stage: str, work: Callable[[], object]) -> None:
        began = time.perf_counter()
        work()
        times[stage].append(1000 * (time.perf_counter() - began))

    for number, text in enumerate(others):
        if number % 2:
            timed("whole search", partial(searcher.search, SearchOptions(texts=(text,), rerank=rerank)))
            continue
        timed("text model", partial(scorer.encoder.text_vectors, [text]))
        timed("stage one", partial(_score, searcher, text))
        scores = _score(searcher, text)
        best = np.argsort(-scores.cosines[0], kind="stable")
        if rerank:
            timed("rerank", partial(scorer.rerank, scores, best[:rerank]))
        timed("catalog", partial(_look_up, catalog, scores.timeline.ids[best[:_ANSWERS]].tolist()))
    return tuple(
        LatencyRow(stage, len(taken), float(np.percentile(taken, 50)), float(np.percentile(taken, 95)))
        for stage, taken in times.items()
        if taken
    )


def index_recall(folder: Path, searcher: Searcher, texts: Sequence[str]) -> tuple[float | None, int]:
    """Share of the true ten best clips that a search finds, and with how many of ``texts`` that was measured.

    Measured on the path that answers, before any rerank: the candidates, and the ten of them with the highest dot product.
    The truth is a dot product with every embedding that the tables hold; a clip as good as the tenth best is right. None
    for a library that has no tables here, as one in an object store.
    """
    from index.storage.tables import Tables

    library = Library(folder)
    if copy_of(folder) is not None or not (library.clips / "_delta_log").is_dir():
        return None, 0
    scorer = searcher.scorer
    texts = _spread(texts)
    queries = scorer.encoder.text_vectors(texts)
    answered = np.full((len(texts), _BEST), -1, np.int64)  # clip ids; -1 where there are fewer than ten
    for number, text in enumerate(texts):
        ids = _ten_best(searcher, text)
        answered[number, : len(ids)] = ids
    scores = np.full(answered.shape, -np.inf, np.float32)
    best = np.full((len(queries), 0), -np.inf, np.float32)
    files = Tables(library).parquet_files()[1]
    for ids, vectors in _stored(files, scorer.clips.ids(), queries.shape[1]):
        true = queries @ vectors.T
        best = -np.sort(-np.concatenate([best, true], axis=1), axis=1)[:, :_BEST]
        order = np.argsort(ids)
        at = order[np.minimum(np.searchsorted(ids, answered, sorter=order), len(ids) - 1)]
        here = ids[at] == answered
        scores[here] = np.take_along_axis(true, at, axis=1)[here]
    right = scores[:, : best.shape[1]] >= best[:, -1:] - _SAME_SCORE
    return float(right.mean()), len(queries)


def _ten_best(searcher: Searcher, text: str) -> NDArray[np.int64]:
    """Ids of the ten best clips for ``text`` among the candidates, best first; fewer where there are fewer."""
    scores = _score(searcher, text)
    return scores.timeline.ids[np.argsort(-scores.score, kind="stable")[:_BEST]]


def _stored(
    files: Sequence[str], visible: NDArray[np.int64], dim: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
    """Ids int64 [n] and embeddings float32 [n, dim] of the visible clips, as Parquet holds them, in batches."""
    for file in files:
        for batch in pq.ParquetFile(file).iter_batches(16_384, columns=["clip_id", "embedding"]):
            ids = batch["clip_id"].to_numpy()
            vectors = batch["embedding"].flatten().to_numpy(zero_copy_only=False).reshape(-1, dim)
            seen = np.isin(ids, visible)
            if seen.any():
                yield ids[seen], vectors[seen]


def _score(searcher: Searcher, text: str) -> ClipScores:
    """The dot products of a text with its candidates: a search up to the rerank."""
    question = searcher.scorer.encoder.encode(Question((text,)))
    options = SearchOptions(texts=(text,))
    return searcher.scorer.score(question, searcher.candidates([question], None, options).timeline)


def _look_up(catalog: Catalog, ids: Sequence[int]) -> object:
    return catalog.sql("select * from clips where clip_id in (select unnest($ids))", {"ids": ids})


def _spread(texts: Sequence[str]) -> list[str]:
    return [texts[number] for number in np.unique(np.linspace(0, len(texts) - 1, min(_QUERIES, len(texts))).astype(int))]
