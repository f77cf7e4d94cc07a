"""The results of evaluating a library."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Unjudged:
    """Moments of one video that the library cannot be judged by.

    Attributes:
        path: of their video.
        rows: how many moments.
        reason: why, in words.
    """

    path: str
    rows: int
    reason: str


@dataclass(frozen=True, slots=True)
class ActionRow:
    """One action: how well it is recognised.

    Attributes:
        label: the action.
        moments: how many the truth has.
        top1: share whose best label it is.
        top5: share for which it is among the five best.
        confused_with: the label that the others most often have; None where there are none.
    """

    label: str
    moments: int
    top1: float
    top5: float
    confused_with: str | None


@dataclass(frozen=True, slots=True)
class Recognition:
    """Action labels against the truth, each moment judged by the clip that overlaps it most.

    Attributes:
        moments: how many the truth names the action of.
        top1: share that is right (Russakovsky et al., 2015, "ImageNet Large Scale Visual Recognition").
        top5: share with the right one among the five best, or among as many as the library keeps.
        mean_class: mean of ``top1`` over the actions.
        kept: labels that the library keeps per clip, at most.
        actions: a row for each action of the truth, by name.
        unheard: actions of the truth that no clip of the library has as a label: they cannot be right.
        labels: actions of the truth and what clips were taken for, by name.
        matrix: row i counts the moments of label i by the label they were taken for.
    """

    moments: int
    top1: float
    top5: float
    mean_class: float
    kept: int
    actions: tuple[ActionRow, ...]
    unheard: tuple[str, ...]
    labels: tuple[str, ...]
    matrix: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class RetrievalRow:
    """Text-to-video retrieval by one score: each caption is a query for its moment's clip among the clips of all moments.

    The protocol is that of MSR-VTT (Xu et al., 2016; 1k-A of Yu et al., 2018).

    Attributes:
        score: ``plain`` for the dot product, ``rerank`` where the best are ordered by the rerank score.
        captions: how many queries.
        clips: how many clips they search.
        recall_at_1: share whose clip is the best.
        recall_at_5: share whose clip is among the five best.
        recall_at_10: share whose clip is among the ten best.
        median_rank: of the caption's own clip; 1 is the best.
    """

    score: str
    captions: int
    clips: int
    recall_at_1: float
    recall_at_5: float
    recall_at_10: float
    median_rank: float


@dataclass(frozen=True, slots=True)
class PrecisionRow:
    """One action as a text query over the clips of all videos that have moments.

    Attributes:
        label: the action, and the query.
        clips: how many show it.
        plain: `jobs.evaluate.moment_metrics.average_precision` by dot product.
        rerank: the same where the best are ordered by the rerank score; None without reranking.
    """

    label: str
    clips: int
    plain: float
    rerank: float | None


@dataclass(frozen=True, slots=True)
class MomentRow:
    """Moments found by their captions; see `jobs.evaluate.moment_metrics.moment_recall`.

    Attributes:
        score: as in `RetrievalRow`.
        among: ``own video``, as for ActivityNet Captions, or ``library``.
        moments: captions asked; those of moments that are less than 80 % of their video.
        iou: the least overlap that counts as found.
        recall_at_1: share that the best answer finds.
        recall_at_5: share that one of the five best finds.
    """

    score: str
    among: str
    moments: int
    iou: float
    recall_at_1: float
    recall_at_5: float


@dataclass(frozen=True, slots=True)
class LatencyRow:
    """The time that a part of a warm query takes.

    Attributes:
        stage: ``text model``, ``stage one``, ``rerank``, ``catalog`` or ``whole search``.
        queries: how many were timed.
        p50_ms: median, in milliseconds.
        p95_ms: 95th percentile, in milliseconds.
    """

    stage: str
    queries: int
    p50_ms: float
    p95_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """All results of a library.

    Attributes:
        library: its folder.
        snapshot: its snapshot.
        classifier: stamp of the model behind the labels.
        embedder: stamp of the model behind the vectors.
        clips: clips in the library.
        truth: the file of moments, as the user named it.
        rows: moments in it.
        judged: how many of them a clip of the library shows.
        unjudged: the others, by video.
        rerank: how many of the best clips were reranked; 0 where the library or the model has no rerank score.
        recognition: None where the truth names no action.
        retrieval: a row for each score; empty where the truth has no caption.
        precision: a row for each action; empty where it names none.
        mean_precision: mAP by score: ``plain``, and ``rerank`` where there is one.
        moments: a row for each score, IoU and place that is searched; empty without captions.
        index_recall_at_10: share of the true ten best clips that a search finds before any rerank; the truth is
            brute force over the stored embeddings.
        index_queries: queries that this was measured with.
        latency: a row for each stage.
    """

    library: str
    snapshot: int
    classifier: str
    embedder: str
    clips: int
    truth: str
    rows: int
    judged: int
    unjudged: tuple[Unjudged, ...]
    rerank: int
    recognition: Recognition | None
    retrieval: tuple[RetrievalRow, ...]
    precision: tuple[PrecisionRow, ...]
    mean_precision: dict[str, float]
    moments: tuple[MomentRow, ...]
    index_recall_at_10: float | None
    index_queries: int
    latency: tuple[LatencyRow, ...]
