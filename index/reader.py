"""A library opened once and asked often, with results as Arrow tables."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa

from index.search.hits import DEFAULT_HITS, hits_options, hits_table
from index.search.searcher import Searcher
from index.search.text_encoder import find_embedder
from index.status import LibraryStatus, status_of
from index.storage.config import read_library_config
from index.storage.paths import Library
from pipeline.models.base import Embedder
from schemas.errors import UsageError
from schemas.search import Answer, SearchOptions, moment_json

_LABEL = pa.struct([("label", pa.string()), ("score", pa.float32())])
_PART = pa.struct([("clip_id", pa.int64()), ("score", pa.float64()), ("start_s", pa.float64()), ("end_s", pa.float64())])

# A search's result: the attributes of `schemas.search.Moment`, in their order.
MOMENTS = pa.schema(
    [
        ("rank", pa.int32()),
        ("score", pa.float64()),
        ("path", pa.string()),
        ("video_id", pa.string()),
        ("clip_id", pa.int64()),
        ("start_s", pa.float64()),
        ("end_s", pa.float64()),
        ("label", pa.string()),
        ("label_score", pa.float32()),
        ("confidence", pa.float64()),
        ("best_start_s", pa.float64()),
        ("best_end_s", pa.float64()),
        ("windows", pa.int32()),
        ("labels", pa.list_(_LABEL)),
        ("moments", pa.int32()),
        ("parts", pa.list_(_PART)),
        ("track", pa.int32()),
    ]
)

_MANY = ("like", "without")
_OPTIONS = tuple(field.name for field in fields(SearchOptions) if field.name != "texts")


class LibraryReader:
    """An open library, in which threads take turns. Made by `vidsift.open_library`.

    The embedder is loaded by the first search, and what is loaded stays. When an ingest publishes, the next call sees it.
    """

    def __init__(self, folder: Path, *, embedder: str | None, memory_mb: int, say: Callable[[str], None]) -> None:
        """See `vidsift.open_library`."""
        self._turn = threading.RLock()
        self._library = Library(folder)
        self._named, self._memory_mb, self._say = embedder, memory_mb, say
        self._model: tuple[str, Embedder] | None = None
        self._searcher: Searcher | None = None
        self._published: tuple[int, int] | None = None
        self._current()

    @property
    def snapshot(self) -> int:
        """The number of the snapshot that answers now."""
        with self._turn:
            return self._current().snapshot.number

    def answer(self, *texts: str, **options: Any) -> Answer:
        """As `search`, with what is known of the answer as a whole, such as whether anything stands out.

        Raises:
            UsageError: as `search` does.
        """
        with self._turn:
            return self._current().search(_search_options(texts, options))

    def search(self, *texts: str, **options: Any) -> pa.Table:
        """The moments that fit all of ``texts`` best, best first; none where nothing stands out, as on the command line.

        Args:
            texts: what is looked for, in words.
            options: attributes of `schemas.search.SearchOptions`: ``k``, ``by``, ``where``, ``like``, ``without``,
                ``then_text``, ``within_s``, ``rerank``, ``show_all``. One text or example needs no tuple.

        Returns:
            The columns of `MOMENTS`; with ``show_all=True`` rows also where nothing stands out.

        Raises:
            UsageError: there is no such option, or it has no such value.
            ModelError: the embedder is not where it was, or is not what it was.
        """
        rows = [moment_json(moment) for moment in self.answer(*texts, **options).moments]
        return pa.Table.from_pylist(rows, schema=MOMENTS)

    def sql(
        self,
        query: str,
        search: str | Sequence[str] | None = None,
        *,
        without: str | Sequence[str] = (),
        k: int = DEFAULT_HITS,
        rerank: int = 100,
        timeout_s: float | None = None,
    ) -> pa.Table:
        """The result of a query over videos, clips, labels and tags, reading only.

        Args:
            query: SQL as DuckDB understands it.
            search: a text, or several that are meant together, whose best clips the query sees as the table ``hits``.
            without: what these must not resemble.
            k: how many clips ``hits`` has.
            rerank: how many of them the model's own score orders.
            timeout_s: seconds after which the query is ended; None lets it run.

        Raises:
            QueryError: it is malformed, asks for more than reading, or takes too much.
        """
        with self._turn:
            searcher = self._current()
            hits = None
            if search is not None:
                answer = searcher.search(hits_options(_texts(search), _texts(without), k=k, rerank=rerank))
                hits = hits_table(answer.moments)
            searcher.snapshot.catalog.show_hits(hits)
            return searcher.snapshot.catalog.sql(query, timeout_s=timeout_s)

    def status(self) -> LibraryStatus:
        """What the library holds, which models made it, and what could not be indexed."""
        with self._turn:
            return status_of(self._library, self._current().snapshot)

    @contextmanager
    def let_go(self) -> Iterator[Path]:
        """Let go of the library's files while something else reads or writes them: the next call opens them again.

        DuckDB opens no file twice in one process with different limits.

        Yields:
            The library's folder.
        """
        with self._turn:
            self._let_go_of_files()
            yield self._library.folder

    def close(self) -> None:
        """Let go of its files and models."""
        with self._turn:
            self._let_go_of_files()
            self._model = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self._library.folder)!r})"

    def _let_go_of_files(self) -> None:
        if self._searcher is not None:
            self._searcher.snapshot.catalog.close()
        self._searcher = self._published = None

    def _current(self) -> Searcher:
        """What answers from the snapshot that is current now."""
        published = _stamp(self._library.current_file)
        if self._searcher is None or published is None or published != self._published:
            opened = Searcher(
                self._library.folder, say=self._say, memory_mb=self._memory_mb, load=self._embedder
            )  # raises before anything is let go of
            self._let_go_of_files()
            self._searcher, self._published = opened, published
        return self._searcher

    def _embedder(self) -> Embedder:
        """The library's embedder, loaded once; again only where another library has taken the folder's place."""
        identity = read_library_config(self._library)
        assert identity is not None, "a library with a snapshot has its library.json"
        if self._model is None or self._model[0] != identity.embedder.sha256:
            self._model = identity.embedder.sha256, find_embedder(identity, self._named)
        return self._model[1]


def _stamp(path: Path) -> tuple[int, int] | None:
    """What changes when a file is replaced; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


def _texts(given: str | Sequence[str]) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given)


def _search_options(texts: tuple[str, ...], options: dict[str, Any]) -> SearchOptions:
    if unknown := sorted(options.keys() - set(_OPTIONS)):
        raise UsageError(f"search: got {', '.join(unknown)}, expected {', '.join(_OPTIONS)}")
    several = {name: _texts(options[name]) for name in _MANY if name in options}
    return SearchOptions(texts=texts, **{**options, **several})
