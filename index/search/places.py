"""Answers of several channels as moments: with the clips that show them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from index.search.fusion import Found
from index.search.passages import Passage
from index.snapshot.snapshot import Snapshot
from schemas.models import Label
from schemas.records import Span
from schemas.search import Moment, Part, SearchOptions


class Places:
    """The clips of the videos in which something was found."""

    def __init__(self, snapshot: Snapshot, is_passing: NDArray[np.bool_] | None) -> None:
        self._snapshot, self._is_passing = snapshot, is_passing
        self._clips: dict[str, list[dict[str, Any]]] = {}

    def shown(self, passages: Iterable[Passage], most: int) -> Iterator[Passage]:
        """The best passages that clips which meet the condition show."""
        count = 0
        waiting = list(passages)
        for begin in range(0, len(waiting), most):
            batch = waiting[begin : begin + most]
            self._read({passage.video_id for passage in batch})
            for passage in batch:
                if self._clip_at(passage.video_id, Span(passage.start_s, passage.end_s)) is not None:
                    yield passage
                    count += 1
                if count == most:
                    return

    def moments(
        self, answers: Iterable[tuple[Found, tuple[Found, ...]]], options: SearchOptions, tracks: Mapping[str, int]
    ) -> tuple[Moment, ...]:
        """The best ``k`` answers as moments, clips or videos."""
        answers = list(answers)
        per_video = Counter(one.video_id for one, _ in answers)
        taken: set[object] = set()
        moments: list[Moment] = []
        for one, parts in answers:
            clip = self._clip_of(one)
            key = {"moment": len(taken), "clip": clip["clip_id"], "video": one.video_id}[options.by]
            if key in taken:
                continue
            taken.add(key)
            moment = self._moment(one, parts, clip, tracks)
            if options.by == "clip":
                moment = replace(moment, start_s=clip["start_s"], end_s=clip["end_s"])
            if options.by == "video":
                moment = replace(moment, moments=per_video[one.video_id])
            moments.append(replace(moment, rank=len(moments) + 1))
            if len(moments) == options.k:
                break
        return tuple(moments)

    def _moment(self, one: Found, parts: Sequence[Found], clip: dict[str, Any], tracks: Mapping[str, int]) -> Moment:
        """An answer; what pictures found there keeps its clip and its labels."""
        if one.moment is not None:
            moment = replace(one.moment, score=one.score, confidence=one.confidence, reasons=one.reasons, parts=())
        else:
            labels = () if clip["label"] is None else (Label(clip["label"], clip["label_score"]),)
            moment = Moment(
                0, one.score, clip["path"], one.video_id, clip["clip_id"], *one.span, clip["label"], clip["label_score"],
                one.confidence, clip["start_s"], clip["end_s"], 1, labels, track=tracks.get(clip["path"]),
                reasons=one.reasons,
            )  # fmt: skip
        moment = replace(moment, start_s=one.span.start_s, end_s=one.span.end_s)
        if len(parts) == 1:
            return moment
        return replace(moment, parts=tuple(Part(self._clip_of(of)["clip_id"], of.score, *of.span) for of in parts))

    def _clip_of(self, one: Found) -> dict[str, Any]:
        """The clip that shows an answer best."""
        self._read({one.video_id})
        if one.moment is not None:
            return next(clip for clip in self._clips[one.video_id] if clip["clip_id"] == one.moment.clip_id)
        clip = self._clip_at(one.video_id, one.span)
        assert clip is not None, "`shown` left out passages without a clip"
        return clip

    def _clip_at(self, video_id: str, span: Span) -> dict[str, Any] | None:
        """The passing clip that shares the most seconds with ``span``, of equal ones the first; None if none does."""
        best, best_s = None, 0.0
        for clip in self._clips[video_id]:
            shared_s = min(clip["end_s"], span.end_s) - max(clip["start_s"], span.start_s)
            if shared_s > best_s:
                best, best_s = clip, shared_s
        return best

    def _read(self, video_ids: set[str]) -> None:
        """Read the passing clips of videos that have not been read yet."""
        new = sorted(video_ids - self._clips.keys())
        if not new:
            return
        rows = self._snapshot.catalog.sql(
            "select clip_id, video_id, path, start_s, end_s, label, label_score from clips "
            "where video_id in (select unnest($video_ids)) order by video_id, start_s, end_s",
            {"video_ids": new},
        )
        if self._is_passing is not None and len(rows):
            rows = rows.filter(self._is_passing[self._snapshot.clips().rows_of(rows["clip_id"].to_numpy())])
        self._clips |= {video_id: [] for video_id in new}
        for row in rows.to_pylist():
            self._clips[row["video_id"]].append(row)
