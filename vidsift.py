"""vidsift from Python: what the commands do, and libraries that are opened once and asked often.

from vidsift import ingest, open_library

ingest(["videos/"], "videos.vidsift")
library = open_library("videos.vidsift")
library.search("people baking a cake").to_pandas()
library.sql("select label, count(*) as clips from clips group by label")
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from index.object_store import library_folder
from index.reader import LibraryReader
from index.search.highlights import HighlightOptions, highlights
from jobs.annotate.annotate import annotate
from jobs.duplicates.duplicates import find_duplicates
from jobs.duplicates.report import DuplicateReport
from jobs.evaluate.library import evaluate
from jobs.evaluate.library_results import Evaluation
from jobs.ingest.ingest import ingest
from jobs.tag.report import TagReport, TeachReport
from jobs.tag.tag import tag, untag
from jobs.tag.teach import teach
from schemas.errors import VidsiftError
from schemas.search import Moment

__all__ = [
    "LibraryHandle",
    "VidsiftError",
    "annotate",
    "evaluate",
    "find_duplicates",
    "ingest",
    "open_library",
    "tag",
    "teach",
    "untag",
]


def open_library(
    folder: str | os.PathLike[str],
    *,
    embedder: str | None = None,
    memory_mb: int = 4096,
    say: Callable[[str], None] = lambda note: None,
) -> LibraryHandle:
    """Open a library that an ingest has made.

    Args:
        folder: the library's.
        embedder: where its embedder is now, if it has moved since the ingest.
        memory_mb: memory that SQL may use, in MB.
        say: called with each sentence that a user should know besides the answers.

    Raises:
        LibraryError: no library, or nothing published in it.
    """
    return LibraryHandle(library_folder(folder), embedder=embedder, memory_mb=memory_mb, say=say)


class LibraryHandle(LibraryReader):
    """An open library that can be tagged, taught and evaluated too. Made by `open_library`."""

    def evaluate(self, truth: str | os.PathLike[str], *, rerank: int = 100) -> Evaluation:
        """Evaluate the library against a file of moments; see `jobs.evaluate.library.evaluate`.

        Args:
            truth: a CSV file with path, start_s, end_s, and any of action and caption.
            rerank: how many of the best clips are ordered by the rerank score.

        Raises:
            UsageError: the file cannot be used, or the library has none of its videos.
        """
        with self.let_go() as folder:
            return evaluate(truth, folder, rerank=rerank, embedder=self._named, say=self._say)

    def find_duplicates(self) -> DuplicateReport:
        """Look for footage that several videos share; see `jobs.duplicates.duplicates.find_duplicates`.

        Raises:
            LibraryError: another job is writing the library.
        """
        with self.let_go() as folder:
            return find_duplicates(folder)

    def highlights(
        self,
        video: str | None = None,
        *,
        where: str | None = None,
        k: int | None = None,
        seconds: float | None = None,
    ) -> tuple[Moment, ...]:
        """Moments that stand out of their own video, and differ from each other; see `index.search.highlights.highlights`.

        Args:
            video: path of the video; None for all.
            where: an SQL condition that every clip has to meet.
            k: how many at most; None is five, or as many as fit into ``seconds``.
            seconds: how long they may be together.

        Raises:
            UsageError: neither a video nor a condition, or the library has no such video.
            QueryError: the condition cannot be used.
        """
        with self.let_go() as folder:
            return highlights(folder, HighlightOptions(video=video, where=where, k=k, seconds=seconds))

    def tag(self, *names: str, prompts: str | Sequence[str] = ()) -> list[TagReport]:
        """Score every clip for each name, as SQL sees in ``tags`` from then on; see `jobs.tag.tag.tag`.

        Raises:
            UsageError: a name or a prompt is not valid, or the library has no clips.
            LibraryError: another job is writing the library.
            ModelError: the embedder is not where it was, or is not what it was.
        """
        with self.let_go() as folder:
            return tag(folder, names, prompts=prompts, embedder=self._named, say=self._say)

    def teach(self, examples: str | os.PathLike[str], name: str | None = None, *, seed: int = 0) -> TeachReport:
        """Teach the library tags by labeled moments; see `jobs.tag.teach.teach`.

        Args:
            examples: a CSV file with path, start_s, end_s and tag.
            name: the one tag to teach; None teaches all that the file has.
            seed: of the sampled negatives and the folds.

        Raises:
            UsageError: something in the file is not valid, or a tag has fewer than two moments.
            LibraryError: another job is writing the library.
        """
        with self.let_go() as folder:
            return teach(folder, examples, name, seed=seed)
