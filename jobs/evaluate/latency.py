"""What a warm query costs, part by part, and what the index misses of an exact search."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from index.search.scoring import Question, Scorer
from index.search.searcher import Searcher
from index.snapshot.snapshot import Snapshot
from index.sql.catalog import Catalog
from index.storage.paths import Library
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
        texts: at most a hundred of them are taken, from all over; the first warms up.
        rerank: how many clips are ordered by the model's own score; 0 leaves that part out.
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
        timed("text model", partial(scorer.text_vectors, [text]))
        timed("stage one", partial(scorer.score, Question((text,))))
        scored = scorer.score(Question((text,)))
        best = np.argsort(-scored.plain[0], kind="stable")
        if rerank:
            timed("rerank", partial(scorer.refine, scored, best[:rerank]))
        timed("catalog", partial(_look_up, catalog, scorer.windows.ids[best[:_ANSWERS]].tolist()))
    return tuple(
        LatencyRow(stage, len(taken), float(np.percentile(taken, 50)), float(np.percentile(taken, 95)))
        for stage, taken in times.items()
        if taken
    )


def index_recall(folder: Path, snapshot: Snapshot, scorer: Scorer, texts: Sequence[str]) -> tuple[float | None, int]:
    """Share of the true ten best that the index finds, and with how many of ``texts`` that was measured.

    The truth is a dot product with every embedding that the library stores; an answer as good as the tenth best is right.
    None for a library that has no tables.
    """
    from index.storage.tables import Tables

    library = Library(folder)
    if not (library.clips / "_delta_log").is_dir():
        return None, 0
    index = snapshot.vectors()
    queries = scorer.text_vectors(_spread(texts))
    found = np.array([[clip_id for clip_id, _ in index.search(query, _BEST)] for query in queries], np.int64)
    scores = np.full(found.shape, -np.inf, np.float32)
    best = np.full((len(queries), 0), -np.inf, np.float32)
    files = Tables(library).parquet_files()[1]
    for ids, vectors in _stored(files, scorer.windows.ids, index.dim):
        true = queries @ vectors.T
        best = -np.sort(-np.concatenate([best, true], axis=1), axis=1)[:, :_BEST]
        order = np.argsort(ids)
        at = order[np.minimum(np.searchsorted(ids, found, sorter=order), len(ids) - 1)]
        here = ids[at] == found
        scores[here] = np.take_along_axis(true, at, axis=1)[here]
    return float((scores >= best[:, -1:] - _SAME_SCORE).mean()), len(queries)


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


def _look_up(catalog: Catalog, ids: Sequence[int]) -> object:
    return catalog.sql("select * from clips where clip_id in (select unnest($ids))", {"ids": ids})


def _spread(texts: Sequence[str]) -> list[str]:
    return [texts[number] for number in np.unique(np.linspace(0, len(texts) - 1, min(_QUERIES, len(texts))).astype(int))]
