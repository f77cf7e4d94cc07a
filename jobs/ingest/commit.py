"""Commits what a run finishes: clips first, then the rows of finished videos, which make the clips visible."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from jobs.ingest.changes import Changes, Copy
from jobs.ingest.ledger import VideoLedger
from jobs.ingest.profile import ProfileBuilder
from jobs.ingest.report import IngestReport
from jobs.run_events import Committed, OnEvent, VideoProblem, nobody
from schemas.records import (
    Problem,
    SpanDone,
    VideoFailed,
    VideoFile,
    VideoInfo,
    VideoRow,
    Written,
    path_text,
    video_id_of,
)

if TYPE_CHECKING:
    from index.storage.tables import Tables

# Commits between two merges of the small files that they make.
MERGE_EVERY = 256


class Committer:
    """The one writer of an ingest's tables. What it commits, it enters into the report."""

    def __init__(
        self,
        tables: Tables,
        changes: Changes,
        report: IngestReport,
        profile: ProfileBuilder,
        every_s: float,
        on_event: OnEvent = nobody,
    ) -> None:
        """Expect the files that ``changes`` has to do; those that cannot be opened are failed videos already.

        Args:
            tables: the library's.
            changes: what the ingest has to do.
            report: takes the counts.
            profile: takes the time that commits take.
            every_s: seconds between two commits of `commit_if_due`.
            on_event: told of each commit, and of each video that could not be indexed as a whole.
        """
        self._tables, self._changes, self._report, self._profile = tables, changes, report, profile
        self._on_event = on_event
        self._ledger = VideoLedger([*changes.to_do, *(file for file, _ in changes.unreadable)], changes.taken)
        for file, error in changes.unreadable:
            video = VideoInfo(video_id_of(None, file.path, changes.taken), file)
            self._ledger.add(VideoFailed(video, error.stage, error.reason))
        self._files: list[Written] = []
        self._originals = {copy.original.path for copy in changes.copies if isinstance(copy.original, VideoFile)}
        self._committed: dict[str, VideoRow] = {}  # those of originals, by path
        self._every_s, self._last_commit = every_s, time.monotonic()
        self._num_commits = 0

    @property
    def num_finished(self) -> int:
        """Videos with a final status."""
        return self._ledger.num_finished

    @property
    def num_videos(self) -> int:
        """Videos that have to get one."""
        return self._ledger.num_files

    def add(self, outcome: Written | SpanDone | VideoFailed) -> None:
        """Take in what came back from the run."""
        if isinstance(outcome, Written):
            self._files.append(outcome)
        self._ledger.add(outcome)

    def close(self, files: Iterable[VideoFile], lost: Callable[[VideoFile], Problem]) -> None:
        """Nothing more comes back: finish the videos that miss something, for the reason that ``lost`` gives."""
        self._ledger.close(files, lost)

    def commit_if_due(self) -> None:
        """Commit, if the last commit is long enough ago."""
        if time.monotonic() - self._last_commit > self._every_s:
            self.commit()

    def commit(self) -> None:
        """Commit the clips that are written and the videos that are finished.

        Raises:
            LibraryError: the tables cannot be written.
        """
        rows = self._ledger.take_finished()
        self._committed.update((row.video.file.path, row) for row in rows if row.video.file.path in self._originals)
        if not rows and not self._files:
            self._last_commit = time.monotonic()
            return
        written_clips = sum(len(clip_ids) for file in self._files for clip_ids in file.clip_ids.values())
        with self._profile.timed("commit") as timing:
            self._tables.commit_clips(self._files)
            self._files.clear()
            self._tables.commit_videos(rows, replace_paths=self._changes.replacing)
            timing.count = len(rows)
            self._num_commits += 1
            if self._num_commits % MERGE_EVERY == 0:  # the time of a commit grows with the number of files
                self._tables.merge_small_files()
            self._tables.push()
        self._count(rows, written_clips, timing.seconds)
        self._last_commit = time.monotonic()

    def commit_copies(self) -> None:
        """Commit files whose content another file has: the same clips under ids of their own, with nothing decoded.

        Raises:
            LibraryError: the tables cannot be written.
        """
        if not self._changes.copies:
            return
        copies = [copy for copy in self._changes.copies if isinstance(copy.original, str) or self._has(copy.original)]
        known_rows = self._tables.video_rows([copy.original for copy in copies if isinstance(copy.original, str)])
        rows = [self._copy(copy, known_rows) for copy in copies]
        with self._profile.timed("commit") as timing:
            self._tables.commit_videos(rows, replace_paths=self._changes.replacing)
            timing.count = len(rows)
        self._count(rows, 0, timing.seconds)

    def _count(self, rows: Sequence[VideoRow], written_clips: int, seconds: float) -> None:
        """Count what was committed, and tell of it."""
        self._report.count(rows)
        for row in rows:
            if row.status != "indexed":
                self._on_event(_problem(row))
        if rows or written_clips:
            self._on_event(_committed(rows, written_clips, seconds))

    def _has(self, file: VideoFile) -> bool:
        """Whether the file was indexed in this run, which may have ended before it came to it."""
        return file.path in self._committed

    def _copy(self, copy: Copy, known_rows: dict[str, VideoRow]) -> VideoRow:
        """Copy the original's clips, and return the copy's row."""
        original = copy.original
        row = known_rows[original] if isinstance(original, str) else self._committed[original.path]
        video_id = video_id_of(copy.content_hash, copy.file.path, self._changes.taken)
        clip_count = self._tables.copy_clips(row.video.video_id, video_id)
        return replace(row, video=replace(row.video, video_id=video_id, file=copy.file), clip_count=clip_count)


def _problem(row: VideoRow) -> VideoProblem:
    path = path_text(row.video.file.path)
    return VideoProblem(
        path=path, status=row.status, stage=row.error_stage or "", error=row.error or "", clips=row.clip_count
    )  # fmt: skip


def _committed(rows: Sequence[VideoRow], written_clips: int, seconds: float) -> Committed:
    statuses = Counter(row.status for row in rows)
    return Committed(
        indexed=statuses["indexed"],
        partial=statuses["partial"],
        failed=statuses["failed"],
        clips=sum(row.clip_count for row in rows),
        video_seconds=sum((row.video.duration_s or 0.0 for row in rows if row.clip_count), 0.0),
        file_bytes=sum(row.video.file.size_bytes for row in rows),
        written_clips=written_clips,
        seconds=seconds,
    )
