"""Commits what a run finishes: clips first, then the rows of finished videos, which make the clips visible."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from jobs.ingest.changes import Changes, Copy
from jobs.ingest.ledger import VideoLedger
from jobs.ingest.profile import ProfileBuilder
from jobs.ingest.report import IngestReport
from schemas.records import Problem, SpanDone, VideoFailed, VideoFile, VideoInfo, VideoRow, Written, video_id_of

if TYPE_CHECKING:
    from index.storage.tables import Tables

# Commits between two merges of the small files that they make.
MERGE_EVERY = 256


class Committer:
    """The one writer of an ingest's tables. What it commits, it enters into the report."""

    def __init__(
        self, tables: Tables, changes: Changes, report: IngestReport, profile: ProfileBuilder, every_s: float
    ) -> None:
        """Expect the files that ``changes`` has to do; those that cannot be opened are failed videos already.

        Args:
            tables: the library's.
            changes: what the ingest has to do.
            report: takes the counts.
            profile: takes the time that commits take.
            every_s: seconds between two commits of `commit_if_due`.
        """
        self._tables, self._changes, self._report, self._profile = tables, changes, report, profile
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
        with self._profile.timed("commit") as timing:
            self._tables.commit_clips(self._files)
            self._files.clear()
            self._tables.commit_videos(rows, replace_paths=self._changes.replacing)
            timing.count = len(rows)
            self._num_commits += 1
            if self._num_commits % MERGE_EVERY == 0:  # the time of a commit grows with the number of files
                self._tables.merge_small_files()
            self._tables.push()
        self._report.count(rows)
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
        self._tables.commit_videos(rows, replace_paths=self._changes.replacing)
        self._report.count(rows)

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
