"""The libraries that are served: each opened once, asked by several users at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pyarrow as pa

from index.history import HistoryEntry, history
from index.reader import LibraryReader
from index.search.marks import Marks
from index.status import LibraryStatus
from index.storage.paths import Library
from index.storage.running_ingest import RunningIngest, read_running_ingest
from index.storage.working_copies import copy_of, refresh
from schemas.records import Span
from schemas.search import Answer, Channel, SearchOptions
from schemas.sql import CHANNELS
from server.examples import decode_example
from server.media.video_file import VideoFile
from server.problems import Problem
from server.rows import moment_span, video_file

SQL_TIMEOUT_S = 30.0
"""The longest that a user's query may take."""

WHERE_TIMEOUT_S = 5.0
"""The longest that a search's condition may take: other searches wait meanwhile."""

_SQL_MEMORY_MB = 1024

# Seconds between two looks for a new snapshot of a library in an object store.
_REFRESH_S = 10.0

# Answers that are kept for the pages of their moments.
_ANSWERS = 16


class ServedLibrary:
    """One library, through three readers: a search, a query and a look-up do not wait for each other.

    Attributes:
        name: names it in addresses.
        folder: where it is.
    """

    def __init__(self, name: str, folder: Path, *, embedder: str | None, say: Callable[[str], None]) -> None:
        """Open it.

        Raises:
            LibraryError: no library, or nothing published in it.
        """
        self.name, self.folder = name, folder
        self._search, self._sql, self._look_up = (
            LibraryReader(
                folder,
                embedder=embedder,
                memory_mb=_SQL_MEMORY_MB,
                say=say,
                where_timeout_s=WHERE_TIMEOUT_S,
                decode=decode_example,
            )
            for _ in range(3)
        )
        self._remembered: dict[str, tuple[int, list[dict[str, Any]]]] = {}
        self._answers: dict[tuple[SearchOptions, Marks], tuple[int, Answer]] = {}
        self._answering = threading.Lock()
        self.is_loaded = threading.Event()

    def tell_stages(self, told: Callable[[str, float], None]) -> None:
        """Tell how many seconds each stage of searches and of users' queries takes."""
        self._search.on_stage = self._sql.on_stage = told

    def load(self) -> None:
        """Load the text model, so that the first search need not wait for it.

        Raises:
            ModelError: it is not where it was, or is not what it was.
        """
        self._search.load()
        self.is_loaded.set()

    @property
    def snapshot(self) -> int:
        """The number of the snapshot that is answered from."""
        return self._look_up.snapshot

    def status(self) -> LibraryStatus:
        """What the library holds."""
        return self._look_up.status()

    def running_ingest(self) -> RunningIngest | None:
        """How far an ingest into the library is; None where none is running."""
        return read_running_ingest(Library(self.folder))

    def history(self) -> list[HistoryEntry]:
        """Its snapshots, the latest first."""
        return history(self.folder)

    def search(self, options: SearchOptions, marks: Marks) -> Answer:
        """The answer to a question.

        Raises:
            UsageError: the question cannot be answered as it is.
            ModelError: the embedder cannot be loaded.
        """
        snapshot = self.snapshot
        answer = self._search.ask(options, marks)
        self.is_loaded.set()
        with self._answering:
            self._answers.pop((options, marks), None)
            self._answers[options, marks] = snapshot, answer
            while len(self._answers) > _ANSWERS:
                del self._answers[next(iter(self._answers))]
        return answer

    def last_answer(self, options: SearchOptions, marks: Marks) -> Answer:
        """The answer that `search` gave to this question, if it was one of the last; else searched now."""
        with self._answering:
            known = self._answers.get((options, marks))
        return known[1] if known is not None and known[0] == self.snapshot else self.search(options, marks)

    @property
    def channels(self) -> tuple[Channel, ...]:
        """What a question can be looked for in."""
        return self._look_up.channels

    @property
    def knows_duplicates(self) -> bool:
        """Whether answers that show the same footage can be told."""
        return self._look_up.knows_duplicates

    @property
    def languages(self) -> list[str]:
        """The languages of what is said and can be read."""
        return self._look_up.languages

    def sql(self, query: str, timeout_s: float = SQL_TIMEOUT_S) -> pa.Table:
        """The result of a user's query.

        Raises:
            QueryError: it is malformed, does more than read, or takes too long.
        """
        return self._sql.sql(query, timeout_s=timeout_s)

    def rows(self, query: str, **parameters: object) -> list[dict[str, Any]]:
        """The result of a query of this program's own."""
        return self._look_up.rows(query, parameters)

    def remembered_rows(self, query: str) -> list[dict[str, Any]]:
        """The result of a query of this program's own, computed once for each snapshot."""
        snapshot = self.snapshot
        known = self._remembered.get(query)
        if known is None or known[0] != snapshot:
            known = self._remembered[query] = snapshot, self.rows(query)
        return known[1]

    def video_row(self, video_id: str) -> dict[str, Any]:
        """The row of a video.

        Raises:
            Problem: there is none (404).
        """
        rows = self.rows("from videos where video_id = $video_id", video_id=video_id)
        if not rows:
            raise Problem(HTTPStatus.NOT_FOUND, f"the library {self.name!r} has no video {video_id!r}; search again")
        return rows[0]

    def clips_of_video(self, video_id: str, options: SearchOptions | None) -> pa.Table:
        """The clips of a video, with their scores for a question; see `index.reader.LibraryReader.clips_of_video`."""
        reader = self._look_up if options is None else self._search
        return reader.clips_of_video(video_id, options)

    def channels_of_video(self, video_id: str) -> dict[str, list[dict[str, Any]]]:
        """The rows of a video in ``shots``, ``speech`` and ``screen_text``, by table, in the order of time."""
        query = "select * exclude (video_id, path) from {} where video_id = $video_id order by start_s, end_s"
        return {table.name: self.rows(query.format(table.name), video_id=video_id) for table in CHANNELS}

    def clip_row(self, clip_id: int) -> dict[str, Any]:
        """The row of a clip.

        Raises:
            Problem: there is none (404).
        """
        rows = self.rows("from clips where clip_id = $clip_id", clip_id=clip_id) if clip_id < 2**63 else []
        if not rows:
            raise Problem(HTTPStatus.NOT_FOUND, f"the library {self.name!r} has no clip {clip_id}; search again")
        return rows[0]

    def moment(self, clip_id: int, start_s: float | None, end_s: float | None) -> tuple[VideoFile, Span]:
        """The file that a clip is from, and the clip's span, or another one of the same video.

        Raises:
            Problem: there is no such clip (404), or the video has no such span (400).
        """
        clip = self.clip_row(clip_id)
        video = self.video_row(clip["video_id"])
        return video_file(video), moment_span(clip, video, start_s, end_s)

    def keywords(self) -> list[str]:
        """The keywords of SQL, in lower case."""
        return self._look_up.keywords()

    def close(self) -> None:
        """Close all readers."""
        for reader in (self._search, self._sql, self._look_up):
            reader.close()


class ServedLibraries:
    """The libraries by name, in the order in which they were given; the first one answers who names none."""

    def __init__(self, folders: Sequence[Path], *, embedder: str | None, say: Callable[[str], None]) -> None:
        """Open the libraries in ``folders``.

        Raises:
            LibraryError: one is no library, or has nothing published.
        """
        self._libraries: dict[str, ServedLibrary] = {}
        said = set[str]()

        def say_once(sentence: str) -> None:
            if sentence not in said:
                said.add(sentence)
                say(sentence)

        self._closed = threading.Event()
        for folder in folders:
            name = _distinct(folder.absolute().name or "library", self._libraries)
            self._libraries[name] = ServedLibrary(name, folder, embedder=embedder, say=say_once)

        if any(copy_of(folder) for folder in folders):
            threading.Thread(target=self._refresh, args=(folders,), name="refresh-libraries", daemon=True).start()

    def _refresh(self, folders: Sequence[Path]) -> None:
        """Look for new snapshots of libraries in object stores, so that nobody is answered from an old one."""
        while not self._closed.wait(_REFRESH_S):
            for folder in folders:
                refresh(folder)

    def __iter__(self) -> Any:
        """The libraries in order."""
        return iter(self._libraries.values())

    def __len__(self) -> int:
        """How many there are."""
        return len(self._libraries)

    @property
    def names(self) -> list[str]:
        """Their names in order."""
        return list(self._libraries)

    def named(self, name: str | None) -> ServedLibrary:
        """The library of that name; the first one for None or an empty name.

        Raises:
            Problem: there is no such library (404).
        """
        if not name:
            return next(iter(self._libraries.values()))
        if name not in self._libraries:
            raise Problem(HTTPStatus.NOT_FOUND, f"library: got {name!r}, expected one of {', '.join(self._libraries)}")
        return self._libraries[name]

    def close(self) -> None:
        """Close all of them."""
        self._closed.set()
        for library in self._libraries.values():
            library.close()


def _distinct(name: str, taken: dict[str, ServedLibrary]) -> str:
    number = 2
    distinct = name
    while distinct in taken:
        distinct, number = f"{name}-{number}", number + 1
    return distinct
