"""Ingests without Ray, models or video: files of text that say what becomes of them, and a run that does as they say.

All else is the real thing: what has changed, the ledger, the tables, publishing.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pytest
from numpy.typing import NDArray

import jobs.ingest.ingest
import jobs.tag.tag
from index.storage.config import LibraryConfig, write_library_config
from index.storage.paths import Library
from pipeline.sources.hashing import content_hash
from pipeline.write import write_clips
from schemas.models import Label
from schemas.records import (
    ClipRow,
    JobFailed,
    Outcome,
    Problem,
    Span,
    SpanDone,
    VideoFailed,
    VideoFile,
    VideoInfo,
    VideoStatus,
    clip_id_of,
    video_id_of,
)
from schemas.rerank_features import ClipFeatures, FeatureLayout
from tests.helpers.stand_in_run import StandInRun
from tests.helpers.tagged_library import DIM, IDENTITY, MadeUpEmbedder, unit

LAYOUT = FeatureLayout("int8", 2, DIM)
WITH_FEATURES = replace(IDENTITY, features="int8")

# whole: all is well. damaged: the last clip cannot be decoded. broken: no video at all. killer: ends each worker that
# reads it. half: likewise, but only from the middle on. unlucky: broken off as long as `MadeUpRun.out_of_luck`.
Kind = Literal["whole", "damaged", "broken", "killer", "half", "unlucky"]
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True)
class Content:
    """What a file holds. Files of different content may have one size."""

    kind: Kind
    num_clips: int
    seed: int

    def __bytes__(self) -> bytes:
        return f"{self.kind} {self.num_clips} {self.seed}".ljust(64 + self.seed % 2).encode()

    @staticmethod
    def read(path: str | Path) -> Content:
        kind, num_clips, seed = Path(path).read_text(encoding="ascii").split()
        assert kind in KINDS
        return Content(kind, int(num_clips), int(seed))

    @property
    def ends(self) -> tuple[VideoStatus, int]:
        """The status that its video ends with, and how many clips; an unlucky one's when luck is back."""
        if self.kind == "damaged":
            return ("partial" if self.num_clips > 1 else "failed"), self.num_clips - 1
        if self.kind == "half":
            return ("partial" if self.num_clips > 1 else "failed"), self.num_clips // 2
        return ("failed", 0) if self.kind in ("broken", "killer") else ("indexed", self.num_clips)

    def embedding(self, number: int) -> NDArray[np.float32]:
        return unit(*np.random.default_rng([self.seed, self.num_clips, number]).normal(size=DIM))

    def label(self, number: int) -> Label:
        return Label(f"label {(self.seed + number) % 3}", float(np.float32(0.5 + 0.01 * number)))

    def features(self, number: int) -> ClipFeatures:
        values = np.random.default_rng([self.seed, self.num_clips, number, 1]).normal(size=(1, LAYOUT.tokens, DIM))
        return ClipFeatures(LAYOUT, LAYOUT.encode(self.embedding(number)[None], values.astype(np.float32)).tobytes())


def span_of(number: int) -> Span:
    return Span(2.0 * number, 2.0 * number + 2.0)


class MadeUpRun(StandInRun):
    """Does as the files say.

    Attributes:
        out_of_luck: unlucky videos fail.
        breaks_after: how many outcomes come back before the job fails; None lets it end.
        library: where rows are written.
    """

    lost_reason = "it ends the process that reads it"
    out_of_luck = False
    breaks_after: int | None = None
    library: Path

    def outcomes(
        self,
        files: Sequence[VideoFile],
        taken: frozenset[str] = frozenset(),
        is_time_up: Callable[[], bool] = lambda: False,
    ) -> Iterator[Outcome | None]:
        """What comes back, in an odd order that is the same for the same files; rows of several videos in one file."""
        done: list[Outcome] = []
        rows: list[ClipRow] = []
        for file in files:
            of_file, of_rows = self._read(file, taken)
            done += of_file
            rows += of_rows
        shuffled = random.Random(len(done) + 7 * len(rows))
        shuffled.shuffle(rows)
        library = Library(self.library)
        classifier, embedder = IDENTITY.classifier.stamp, IDENTITY.embedder.stamp
        for start in range(0, len(rows), 4):
            written = write_clips(
                rows[start : start + 4],
                library.clips,
                classifier=classifier,
                embedder=embedder,
                features_folder=library.features,
            )
            done.append(written)
        shuffled.shuffle(done)
        for number, outcome in enumerate(done):
            if number == self.breaks_after:
                yield JobFailed("the disk is full")
            yield outcome

    def _read(self, file: VideoFile, taken: frozenset[str]) -> tuple[list[Outcome], list[ClipRow]]:
        content = Content.read(file.path)
        if content.kind == "killer":
            return [], []
        digest = content_hash(file.path)
        video = VideoInfo(video_id_of(digest, file.path, taken), file, digest)
        if content.kind == "broken" or (content.kind == "unlucky" and self.out_of_luck):
            return [VideoFailed(video, "probe", "no video at all")], []
        video = replace(video, container="text", duration_s=2.0 * content.num_clips)
        middle = content.num_clips // 2
        outcomes: list[Outcome] = []
        rows: list[ClipRow] = []
        for part, numbers in enumerate((range(middle), range(middle, content.num_clips))):
            if content.kind == "half" and part == 1:
                continue
            problems: tuple[Problem, ...] = ()
            if content.kind == "damaged" and part == 1:
                numbers, problems = numbers[:-1], (Problem("decode", "its end is damaged"),)
            made = [self._row(video.video_id, content, number) for number in numbers]
            outcomes.append(SpanDone(video, part, 2, tuple(row.clip_id for row in made), problems))
            rows += made
        return outcomes, rows

    @staticmethod
    def _row(video_id: str, content: Content, number: int) -> ClipRow:
        span = span_of(number)
        labels = (content.label(number),)
        embedding, features = content.embedding(number), content.features(number)
        return ClipRow(clip_id_of(video_id, span), video_id, span, labels, embedding, features)


def make_up_runs(patch: pytest.MonkeyPatch, library: Path, identity: LibraryConfig = WITH_FEATURES) -> type[MadeUpRun]:
    """Let ingests into ``library`` be made up from here on; it gets its library.json, so that no model is looked for."""

    class Run(MadeUpRun):
        pass

    Run.library = library
    patch.setattr(jobs.ingest.ingest, "RaySession", Run)
    patch.setattr(jobs.tag.tag, "load_embedder", MadeUpEmbedder)
    patch.setattr(jobs.tag.tag, "locate", lambda known, *_: known)
    library.mkdir(parents=True, exist_ok=True)
    write_library_config(Library(library), identity)
    return Run


def clips_of(content: Content | None, num_clips: int) -> list[dict[str, Any]]:
    """What SQL shows of the first clips of a video with this content."""
    if content is None:
        return []
    return [
        {
            "start_s": span_of(number).start_s,
            "end_s": span_of(number).end_s,
            "label": content.label(number).label,
            "label_score": content.label(number).score,
        }
        for number in range(num_clips)
    ]
