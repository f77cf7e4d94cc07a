"""Gathers what comes back from a run, in any order, into one row per video: every file ends in exactly one."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field

from schemas.records import Problem, SpanDone, VideoFailed, VideoFile, VideoInfo, VideoRow, Written, video_id_of


@dataclass(slots=True)
class _Pending:
    """A video of which something has come back, but not yet all.

    Attributes:
        parts: what became of each of its jobs, by number.
        written: ids of its clips that are in a file.
    """

    parts: dict[int, SpanDone] = field(default_factory=dict)
    written: set[int] = field(default_factory=set)

    def row(self, lost: Problem | None) -> VideoRow | None:
        """The video's row; None while something is missing, unless ``lost`` says why no more will come."""
        if not self.parts:
            return None
        first = next(iter(self.parts.values()))
        promised = {clip_id for part in self.parts.values() for clip_id in part.clip_ids}
        complete = len(self.parts) == first.num_parts and promised <= self.written
        if not complete and lost is None:
            return None
        problems = [problem for _, part in sorted(self.parts.items()) for problem in part.problems]
        if not complete:
            missing, total, unit = first.num_parts - len(self.parts), first.num_parts, "parts"
            if not missing:
                missing, total, unit = len(promised - self.written), len(promised), "clips"
            assert lost is not None
            problems.append(Problem(lost.stage, f"{missing} of {total} {unit}: {lost.reason}"))
        return _row(first.video, len(self.written), problems)


class VideoLedger:
    """The videos of one run, and how far each of them is."""

    def __init__(self, files: Iterable[VideoFile], taken: Collection[str] = ()) -> None:
        """Expect ``files``, each of which ends in exactly one row. ``taken`` are video ids that others have."""
        self._taken = taken
        self._files = {file.path: file for file in files}
        self.num_files = len(self._files)
        self._pending: dict[str, _Pending] = {}
        self._finished: list[VideoRow] = []

    def add(self, outcome: Written | SpanDone | VideoFailed) -> None:
        """Take in what came back."""
        if isinstance(outcome, VideoFailed):
            self._finish(VideoRow(outcome.video, "failed", 0, outcome.stage, outcome.reason))
        elif isinstance(outcome, SpanDone):
            self._pending.setdefault(outcome.video.video_id, _Pending()).parts[outcome.part] = outcome
            self._settle(outcome.video.video_id)
        else:
            for video_id, clip_ids in outcome.clip_ids.items():
                self._pending.setdefault(video_id, _Pending()).written.update(clip_ids)
                self._settle(video_id)

    @property
    def num_finished(self) -> int:
        """Videos that have their row."""
        return self.num_files - len(self._files)

    def take_finished(self) -> list[VideoRow]:
        """Rows of videos that finished since the last call."""
        finished, self._finished = self._finished, []
        return finished

    def close(self, files: Iterable[VideoFile], lost: Callable[[VideoFile], Problem]) -> None:
        """Finish those of ``files`` that have no row yet; ``lost`` gives the reason for each."""
        for video_id, pending in list(self._pending.items()):
            for part in list(pending.parts.values())[:1]:
                self._settle(video_id, lost(part.video.file))
        for file in [file for file in files if file.path in self._files]:
            video = VideoInfo(video_id_of(None, file.path, self._taken), file)
            problem = lost(file)
            self._finish(VideoRow(video, "failed", 0, problem.stage, problem.reason))

    def _settle(self, video_id: str, lost: Problem | None = None) -> None:
        row = self._pending[video_id].row(lost)
        if row is not None:
            del self._pending[video_id]
            self._finish(row)

    def _finish(self, row: VideoRow) -> None:
        if self._files.pop(row.video.file.path, None) is not None:
            self._finished.append(row)


def _row(video: VideoInfo, clip_count: int, problems: list[Problem]) -> VideoRow:
    if not problems:
        return VideoRow(video, "indexed", clip_count)
    reasons = "; ".join(dict.fromkeys(problem.reason for problem in problems))
    return VideoRow(video, "partial" if clip_count else "failed", clip_count, problems[0].stage, reasons)
