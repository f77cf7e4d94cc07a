"""A search's result as a table that SQL can join with the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa

from index.search.searcher import Searcher
from index.snapshot.snapshot import Snapshot
from index.sql.catalog import Catalog
from index.storage.paths import Library
from schemas.search import Moment, SearchOptions, check_words
from schemas.sql import HITS

DEFAULT_HITS = 1_000

_ARROW = {"BIGINT": pa.int64(), "INTEGER": pa.int32(), "DOUBLE": pa.float64(), "FLOAT": pa.float32(), "VARCHAR": pa.string()}
_SCHEMA = pa.schema([(column.name, _ARROW[column.type]) for column in HITS.columns])


def hits_options(
    texts: Sequence[str], without: Sequence[str] = (), *, k: int = DEFAULT_HITS, rerank: int = 100
) -> SearchOptions:
    """The question that fills ``hits``: by clip, in pictures, and without the check for confidence: SQL can filter."""
    check_words("--search", texts, "say what to look for, such as 'people baking a cake'")
    check_words("--search-not", without, "say what not to find, such as 'a kitchen'")
    return SearchOptions(
        texts=tuple(texts), without=tuple(without), by="clip", k=k, rerank=rerank, show_all=True, channels=("pictures",)
    )


def hits_table(clips: Sequence[Moment]) -> pa.Table:
    """The answers of a search by clip as the table ``hits``."""
    return pa.Table.from_pylist([{name: getattr(clip, name) for name in _SCHEMA.names} for clip in clips], schema=_SCHEMA)


def open_catalog(
    folder: Path,
    search: SearchOptions | None,
    *,
    embedder: str | None = None,
    memory_mb: int = 4096,
    say: Callable[[str], None] = lambda note: None,
) -> Catalog:
    """Open the catalog of the library in ``folder``; with a search, its results are the table ``hits``.

    Args:
        folder: the library's.
        search: the question, made by `hits_options`; None leaves ``hits`` out.
        embedder: where the library's embedder is now, if not where it was at ingest.
        memory_mb: how much memory queries may take.
        say: told notes for the user, one sentence each.

    Raises:
        LibraryError: no library, or nothing published in it.
        ModelError: the embedder is not where it was, or is not what it was.
    """
    if search is None:
        return Snapshot(Library(folder), memory_mb=memory_mb).catalog
    searcher = Searcher(folder, embedder=embedder, say=say, memory_mb=memory_mb)
    catalog = searcher.snapshot.catalog
    catalog.show_hits(hits_table(searcher.search(search).moments))
    return catalog
