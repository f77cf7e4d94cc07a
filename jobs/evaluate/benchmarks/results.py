"""The benchmarks by name, and the results of a library on one of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from jobs.evaluate.library_results import Unjudged
from schemas.records import Span

Task = Literal["videos", "moments of a video", "moments of all videos"]

TASKS: dict[str, Task] = {
    "msrvtt": "videos",
    "msvd": "videos",
    "didemo": "videos",
    "activitynet": "videos",
    "charades-sta": "moments of a video",
    "qvhighlights": "moments of a video",
    "tvr": "moments of all videos",
}
"""What each benchmark's queries look for: their video, a moment of their video, or a moment of any of its videos."""


@dataclass(frozen=True, slots=True)
class Query:
    """A query of a benchmark.

    Attributes:
        query_id: as its file numbers it; else its place in the file, from 0.
        text: the words.
        video: the name of the video that it is about.
        windows: the moments that it describes; none where the benchmark looks for videos.
        split: the split that its file puts it in; None where the file names no splits.
    """

    query_id: int
    text: str
    video: str
    windows: tuple[Span, ...] = ()
    split: str | None = None


@dataclass(frozen=True, slots=True)
class Prediction:
    """The answers to a query of a moment benchmark.

    Attributes:
        answers: (name of the video, moment, score), best first; scores never rise.
    """

    query: Query
    answers: tuple[tuple[str, Span, float], ...]


@dataclass(frozen=True, slots=True)
class BenchmarkRow:
    """The metrics by one score.

    Attributes:
        score: ``plain`` for the dot product; ``rerank`` where the best clips are ordered by the rerank score.
        metrics: by name. Of videos: ``R@1``, ``R@5``, ``R@10`` and ``median rank``. Of moments: ``R@1 0.5``, which is R@1 at
            an IoU of 0.5, and so on; ``mAP 0.5``, ``mAP 0.75``, and ``mAP``, the mean over the IoUs from 0.5 to 0.95.
    """

    score: str
    metrics: dict[str, float]


@dataclass(frozen=True, slots=True)
class Published:
    """A published R@1 of a model on a benchmark.

    Attributes:
        model: the model.
        recall_at_1: from 0 to 1.
        source: where it was published, and how it was measured as far as that is stated.
    """

    model: str
    recall_at_1: float
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkEvaluation:
    """The results of a library on a benchmark.

    Attributes:
        benchmark: its name on the command line.
        annotations: its file, as the user named it.
        split: the split that was asked, as the user or the file names it; None where the whole file was.
        library: the library's folder.
        snapshot: its snapshot.
        embedder: stamp of the model behind the vectors.
        clips: clips in the library.
        queries: queries of the split.
        asked: how many of them were asked: those of which the library has the video.
        videos: videos that the queries are about.
        missing: how many of them are not in the library, or have no clips there.
        left_out: the videos that have queries that were not asked, and why.
        rerank: how many of the best clips were reranked; 0 where the library or the model has no rerank score.
        rows: a row for each score.
        published: the figure for the library's embedder; None where none is known.
    """

    benchmark: str
    annotations: str
    split: str | None
    library: str
    snapshot: int
    embedder: str
    clips: int
    queries: int
    asked: int
    videos: int
    missing: int
    left_out: tuple[Unjudged, ...]
    rerank: int
    rows: tuple[BenchmarkRow, ...]
    published: Published | None
