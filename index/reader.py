"""A library that is opened once and asked often, with results as Arrow tables."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import pyarrow as pa

from index.search.channels import channels_of
from index.search.confidence import GENERIC_TEXTS
from index.search.distinct import knows_duplicates
from index.search.hits import DEFAULT_HITS, hits_options, hits_table
from index.search.marks import Marks
from index.search.passages import languages_of
from index.search.searcher import Searcher
from index.search.text_encoder import find_embedder
from index.sql.filters import TIMEOUT_S
from index.status import LibraryStatus, status_of
from index.storage.config import existing_library_config, read_library_config
from index.storage.paths import Library
from index.storage.working_copies import refresh
from pipeline.models.base import Embedder
from schemas.errors import UsageError
from schemas.search import Answer, Channel, SearchOptions, moment_json
from schemas.text import as_texts

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from index.search.examples import ExampleDecoder
    from schemas.models import ModelInput
    from schemas.options import Sampling

_LABEL = pa.struct([("label", pa.string()), ("score", pa.float32())])
_REASON = pa.struct([("channel", pa.string()), ("text", pa.string()), ("start_s", pa.float64()), ("end_s", pa.float64())])
_PART = pa.struct([("clip_id", pa.int64()), ("score", pa.float64()), ("start_s", pa.float64()), ("end_s", pa.float64())])

# The columns of a search's result: the attributes of `schemas.search.Moment`, in their order.
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
        ("reasons", pa.list_(_REASON)),
    ]
)

_MANY = ("like", "without", "channels", "then_channels")
_OPTIONS = tuple(field.name for field in fields(SearchOptions) if field.name != "texts")


class LibraryReader:
    """An open library, made by `vidsift.open_library`. Threads may share it; their calls run one after the other.

    The first search loads the embedder, which then stays loaded. After an ingest has published, the next call reads the new
    snapshot.

    Attributes:
        on_stage: told how many seconds each stage of a search or a query took: ``decode``, ``wait``, ``search``, ``sql``.
    """

    def __init__(
        self,
        folder: Path,
        *,
        embedder: str | None,
        memory_mb: int,
        say: Callable[[str], None],
        where_timeout_s: float = TIMEOUT_S,
        decode: ExampleDecoder | None = None,
    ) -> None:
        """Open the library; see `vidsift.open_library` and `index.search.searcher.Searcher` for the arguments."""
        self.on_stage: Callable[[str, float], None] = lambda stage, seconds: None
        self._lock = threading.RLock()
        self._library = Library(folder)
        self._named, self._memory_mb, self._say = embedder, memory_mb, say
        self._where_timeout_s, self._decode = where_timeout_s, decode
        self._ahead: dict[str, NDArray[np.uint8]] = {}
        self._model: tuple[str, Embedder] | None = None
        self._searcher: Searcher | None = None
        self._published: tuple[int, int] | None = None
        self._current()

    @property
    def snapshot(self) -> int:
        """The number of the snapshot that the next call reads."""
        with self._lock:
            return self._current().snapshot.number

    @property
    def knows_duplicates(self) -> bool:
        """Whether somebody has looked for duplicates, which `SearchOptions.distinct` needs."""
        with self._lock:
            return knows_duplicates(self._current().snapshot)

    @property
    def channels(self) -> tuple[Channel, ...]:
        """What a question can be looked for in."""
        with self._lock:
            return channels_of(self._current().snapshot)

    @property
    def languages(self) -> list[str]:
        """The languages of what is said and can be read, as BCP 47 has them."""
        with self._lock:
            return languages_of(self._current().snapshot)

    def ask(self, options: SearchOptions, marks: Marks | None = None) -> Answer:
        """The answer to a question, in the light of answers that were called right and wrong.

        Raises:
            UsageError: as for `search`; or a marked clip is not in the library.
            ModelError: as for `search`.
        """
        began = time.perf_counter()
        ahead = self._decoded_ahead(options)
        if ahead:
            began = self._took("decode", began)
        with self._lock:
            began = self._took("wait", began)
            self._ahead = ahead
            try:
                return self._current().search(options, marks)
            finally:
                self._ahead = {}
                self._took("search", began)

    def answer(self, *texts: str, **options: Any) -> Answer:
        """The same search as `search`, as an `Answer`: the moments, and whether the best one stands out.

        Raises:
            UsageError: as for `search`.
            ModelError: as for `search`.
        """
        return self.ask(_search_options(texts, options))

    def search(self, *texts: str, **options: Any) -> pa.Table:
        """The moments that fit all of ``texts`` best, best first; none where nothing stands out, as on the command line.

        Args:
            texts: what to look for, in words.
            options: attributes of `schemas.search.SearchOptions`: ``k``, ``by``, ``where``, ``like``, ``without``,
                ``then_text``, ``within_s``, ``rerank``, ``recall``, ``show_all``, ``channels``,
                ``then_channels``, ``distinct``. One text or example needs no tuple.

        Returns:
            A table with the columns of `MOMENTS`; with ``show_all=True`` it has rows also where nothing stands out.

        Raises:
            UsageError: there is no such option, or its value is not allowed.
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
        """The result of a query over videos, clips, labels and tags, which may only read.

        Args:
            query: SQL as DuckDB understands it.
            search: a text, or several that clips have to match together; the query sees the best clips as the table
                ``hits``.
            without: texts that these clips must not resemble.
            k: the number of clips in ``hits``.
            rerank: how many of them are ordered by the rerank score.
            timeout_s: seconds after which the query is stopped; None sets no limit.

        Raises:
            QueryError: the query is malformed, does more than read, or exceeds the time or memory limit.
        """
        began = time.perf_counter()
        with self._lock:
            began = self._took("wait", began)
            searcher = self._current()
            hits = None
            if search is not None:
                answer = searcher.search(hits_options(as_texts(search), as_texts(without), k=k, rerank=rerank))
                hits = hits_table(answer.moments)
            searcher.snapshot.catalog.show_hits(hits)
            try:
                return searcher.snapshot.catalog.sql(query, timeout_s=timeout_s)
            finally:
                self._took("sql", began)

    def rows(self, query: str, parameters: dict[str, object]) -> list[dict[str, Any]]:
        """The rows of a query with named ``parameters``, each as a dict by column.

        Raises:
            QueryError: the query is malformed, or does more than read.
        """
        with self._lock:
            rows: list[dict[str, Any]] = self._current().snapshot.catalog.sql(query, parameters).to_pylist()
            return rows

    def keywords(self) -> list[str]:
        """The keywords of SQL, in lower case."""
        with self._lock:
            return self._current().snapshot.catalog.keywords()

    def clips_of_video(self, video_id: str, options: SearchOptions | None = None) -> pa.Table:
        """All clips of a video in the order of time: clip_id, start_s, end_s, label, label_score and score.

        Args:
            video_id: of the video; one that is not there has no clips.
            options: the question that ``score`` (by dot product) is for; without one it is null.

        Raises:
            UsageError: as for `search`.
            ModelError: as for `search`.
        """
        with self._lock:
            searcher = self._current()
            clips = searcher.snapshot.catalog.sql(
                "select clip_id, start_s, end_s, label, label_score from clips where video_id = $video_id "
                "order by start_s, end_s",
                {"video_id": video_id},
            )
            scores: pa.Array = pa.nulls(len(clips), pa.float64())
            if options is not None and len(clips):
                scores = pa.array(searcher.scores_in_video(options, clips["clip_id"].to_numpy()), from_pandas=True)
            return clips.append_column("score", scores)

    def load(self) -> None:
        """Load the embedder now, so that the first search need not."""
        with self._lock:
            self._current().scorer.encoder.text_vectors(GENERIC_TEXTS)

    def status(self) -> LibraryStatus:
        """The library's videos and clips, the models that made it, and the videos that could not be indexed."""
        with self._lock:
            return status_of(self._library, self._current().snapshot)

    @contextmanager
    def let_go(self) -> Iterator[Path]:
        """Close the library's files while something else reads or writes them; the next call opens them again.

        Needed since DuckDB does not open a file twice in one process with different limits.

        Yields:
            The library's folder.
        """
        with self._lock:
            self._close_files()
            yield self._library.folder

    def close(self) -> None:
        """Close the library's files and release the embedder."""
        with self._lock:
            self._close_files()
            self._model = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._library.shown!r})"

    def _close_files(self) -> None:
        if self._searcher is not None:
            self._searcher.snapshot.catalog.close()
        self._searcher = self._published = None

    def _current(self) -> Searcher:
        """A searcher over the snapshot that is current now."""
        refresh(self._library.folder)
        published = _stamp(self._library.current_file)
        if self._searcher is None or published is None or published != self._published:
            opened = Searcher(
                self._library.folder,
                say=self._say,
                memory_mb=self._memory_mb,
                load=self._embedder,
                where_timeout_s=self._where_timeout_s,
                decode=None if self._decode is None else self._decoded,
            )  # where this raises, what was open stays open
            self._close_files()
            self._searcher, self._published = opened, published
        return self._searcher

    def _took(self, stage: str, began: float) -> float:
        """Tell how long a stage took, and give the time that it ended."""
        now = time.perf_counter()
        self.on_stage(stage, now - began)
        return now

    def _decoded_ahead(self, options: SearchOptions) -> dict[str, NDArray[np.uint8]]:
        """The frames of the files that are examples, where another process decodes them: nobody waits for that but who asks.

        Raises:
            UsageError: one cannot be used as an example.
        """
        from index.search.examples import clip_id_in

        decode, files = self._decode, [like for like in options.like if clip_id_in(like) is None]
        if not files or decode is None:
            return {}
        with self._lock:
            config = existing_library_config(self._library)
            model_input = self._current().scorer.encoder.embedder.preprocessing.input
        return {like: decode(like, model_input, config.sampling) for like in files}

    def _decoded(self, like: str, model_input: ModelInput, sampling: Sampling) -> NDArray[np.uint8]:
        """An example's frames, which have been decoded already."""
        frames = self._ahead.get(like)
        if frames is not None:
            return frames
        assert self._decode is not None
        return self._decode(like, model_input, sampling)

    def _embedder(self) -> Embedder:
        """The library's embedder, loaded once; loaded again where another library has taken the folder's place."""
        config = read_library_config(self._library)
        assert config is not None, "a library with a snapshot has its library.json"
        if self._model is None or self._model[0] != config.embedder.sha256:
            self._model = config.embedder.sha256, find_embedder(config, self._named)
        return self._model[1]


def _stamp(path: Path) -> tuple[int, int] | None:
    """The inode and modification time of a file, which change when it is replaced; None where there is no file."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns


def _search_options(texts: tuple[str, ...], options: dict[str, Any]) -> SearchOptions:
    if unknown := sorted(options.keys() - set(_OPTIONS)):
        raise UsageError(f"search: got {', '.join(unknown)}, expected {', '.join(_OPTIONS)}")
    as_tuples = {name: as_texts(options[name]) for name in _MANY if name in options}
    return SearchOptions(texts=texts, **{**options, **as_tuples})
