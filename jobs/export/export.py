"""Exports moments as files with a strip of thumbnails each, as chapters, and as edit decision lists."""

from __future__ import annotations

import fcntl
import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

from jobs.export.edl import NO_TIMECODE, edit_lists, has_no_timecode
from jobs.export.file_names import distinct, safe_name
from jobs.export.list_entry import ListEntry
from jobs.export.moments import ExportedMoment, ExportTask, TaskResult, crashed, work_on
from jobs.export.moments_file import RequestedMoment, read_hits
from jobs.export.moments_table import NAME, MomentsTable, read_table
from jobs.export.srt import subtitles
from jobs.export.webvtt import chapters
from jobs.isolated_process import in_processes
from jobs.output_folder import check_folder
from schemas.errors import JobError, UsageError
from schemas.records import path_text
from schemas.text import lines_text

ExportFormat = Literal["files", "webvtt", "srt", "edl"]


@dataclass(frozen=True, slots=True)
class ExportReport:
    """The outcome of an export.

    Attributes:
        folder: where everything was written.
        moments: the outcome of each moment, in the order of their lines.
        lists: names of the lists that were written.
        kept: how many of the moments an earlier export had finished.
    """

    folder: Path
    moments: tuple[ExportedMoment, ...]
    lists: tuple[str, ...]
    kept: int = 0

    @property
    def failed(self) -> tuple[ExportedMoment, ...]:
        """Moments that could not be exported."""
        return tuple(moment for moment in self.moments if moment.how == "failed")

    def __str__(self) -> str:
        """Lines for people."""
        counts = {
            how: sum(moment.how == how for moment in self.moments) for how in ("copied", "re-encoded", "listed", "failed")
        }
        outcomes = ", ".join(f"{count} {how}" for how, count in counts.items() if count)
        lines = [f"{len(self.moments)} moments: {outcomes}" + (f"; {self.kept} were there already" if self.kept else "")]
        for moment in self.moments:
            if moment.reason is not None:
                start_s, end_s = moment.moment.span
                trouble = "failed" if moment.how == "failed" else "damaged"
                lines.append(f"  {trouble}: {path_text(moment.moment.path)} {start_s:g}-{end_s:g} s: {moment.reason}")
        return lines_text([*lines, f"{self.folder}: {', '.join((NAME, *self.lists))}"])


def export(
    hits: str,
    folder: Path,
    *,
    pad_s: float = 1.0,
    forms: Sequence[ExportFormat] = ("files",),
    on_moment: Callable[[int, int], None] = lambda done, total: None,
) -> ExportReport:
    """Export the moments that ``hits`` lists. The videos are read and never written.

    Each moment is cut in another process, so a file that crashes a decoder costs that moment alone. It has its row in
    ``moments.csv`` as soon as it is done. An export that was interrupted goes on when it is called again: what is finished
    stays, and what failed is tried again.

    Args:
        hits: a file of what ``vidsift search --json`` prints, or ``-`` for standard input.
        folder: a new or empty folder, or that of an interrupted export of the same moments.
        pad_s: seconds to show before and after each moment, where the video has them.
        forms: what to write beside ``moments.csv``.
        on_moment: called with how many moments are done, of how many.

    Raises:
        UsageError: an option, a line or the folder cannot be used; nothing was written.
        JobError: the disk is full.
    """
    if not (math.isfinite(pad_s) and 0 <= pad_s <= 3600):
        raise UsageError(f"got {pad_s:g} s, expected 0 to 3600 s", argument="pad_s")
    if unknown := [form for form in forms if form not in get_args(ExportFormat)]:
        raise UsageError(f"got {unknown[0]!r}, expected {', '.join(get_args(ExportFormat))}", argument="forms")
    moments = read_hits(hits)
    if not (folder / NAME).is_file():
        check_folder(folder, "folder")
    with _folder_lock(folder):
        try:
            tasks = _tasks(moments, folder, pad_s, forms)
            results = _work(tasks, folder, pad_s, forms, on_moment)
            lists = _lists([result.entry for result in results if result.entry is not None], forms)
            for name, text in lists:
                aside = folder / f".{name}"
                aside.write_text(text, encoding="utf-8", newline="")
                os.replace(aside, folder / name)
        except OSError as exc:
            raise JobError(
                f"{exc.filename or str(folder)!r} cannot be written: {exc.strerror}; make room, and export again",
                argument="folder",
            ) from exc
    kept = sum(task.kept is not None for task in tasks)
    return ExportReport(folder, tuple(result.exported for result in results), tuple(name for name, _ in lists), kept)


@contextmanager
def _folder_lock(folder: Path) -> Iterator[None]:
    """Keep other exports out of the folder.

    Raises:
        UsageError: another export is writing into it.
    """
    lock = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            message = "another export is writing there; wait for it to end, or stop it"
            raise UsageError(message, argument="folder", value=folder) from exc
        yield
    finally:
        os.close(lock)


def _tasks(
    moments: Sequence[RequestedMoment], folder: Path, pad_s: float, forms: Sequence[ExportFormat]
) -> list[ExportTask]:
    """A task for each moment, with its outcome where an earlier export has finished it."""
    earlier = read_table(folder, moments, pad_s) if (folder / NAME).is_file() else [[] for _ in moments]
    tasks = []
    for number, (moment, rows) in enumerate(zip(moments, earlier, strict=True), start=1):
        stem = f"{number:0{max(3, len(str(len(moments))))}d}-{safe_name(moment.path)}"
        cut = "files" in forms
        kept = [row for row in rows if _finished(row, folder, stem, cut)]
        tasks.append(ExportTask(moment, number, pad_s, folder, stem, cut, kept[-1] if kept else None))
    return tasks


def _finished(row: ExportedMoment, folder: Path, stem: str, cut: bool) -> bool:
    """Whether an earlier export made what this one is asked for."""
    if row.file is None:
        return row.how == "listed" and not cut
    return row.file == f"{stem}.mp4" and (folder / row.file).is_file()


def _work(
    tasks: Sequence[ExportTask],
    folder: Path,
    pad_s: float,
    forms: Sequence[ExportFormat],
    on_moment: Callable[[int, int], None],
) -> list[TaskResult]:
    """Do all tasks, and write each into the table as soon as it is done."""
    lists = set(forms) - {"files"}
    waiting = [task for task in tasks if task.kept is None or lists]  # lists need all moments' videos
    results = {task.number: TaskResult(task.kept) for task in tasks if task.kept is not None}
    cpus = max(1, min(len(os.sched_getaffinity(0)), len(waiting)))
    with MomentsTable(folder, pad_s, [result.exported for result in results.values()]) as table:
        count = len(tasks) - len(waiting)
        for task, result in zip(waiting, in_processes(work_on, waiting, cpus), strict=True):
            results[task.number] = result or crashed(task)
            if task.kept is None:
                table.add(results[task.number].exported)
            count += 1
            on_moment(count, len(tasks))
        ordered = _note_missing_timecodes([results[task.number] for task in tasks], forms)
        table.replace(result.exported for result in ordered)
    return ordered


def _lists(entries: Sequence[ListEntry], forms: Sequence[ExportFormat]) -> list[tuple[str, str]]:
    """Name and text of each list."""
    return [
        *(_lists_by_video(entries, "vtt", chapters) if "webvtt" in forms else ()),
        *(_lists_by_video(entries, "srt", subtitles) if "srt" in forms else ()),
        *(edit_lists(entries, "moments") if "edl" in forms else ()),
    ]


def _lists_by_video(
    entries: Sequence[ListEntry], ending: str, write: Callable[[Sequence[ListEntry]], str]
) -> list[tuple[str, str]]:
    """Name and text of a list for each video."""
    by_video: dict[str, list[ListEntry]] = {}
    for entry in entries:
        by_video.setdefault(entry.path, []).append(entry)
    names = distinct([safe_name(path) for path in by_video])
    return [(f"{name}.{ending}", write(of_video)) for name, of_video in zip(names, by_video.values(), strict=True)]


def _note_missing_timecodes(results: Sequence[TaskResult], forms: Sequence[ExportFormat]) -> list[TaskResult]:
    """Add the reason to moments that are in no edit decision list; those that are exported in no other form have failed."""
    noted = []
    for result in results:
        exported = result.exported
        reason = exported.reason or ""
        if "edl" in forms and result.entry is not None and has_no_timecode(result.entry) and NO_TIMECODE not in reason:
            how = "failed" if set(forms) == {"edl"} else exported.how
            exported = replace(exported, reason="; ".join(filter(None, (reason, NO_TIMECODE))), how=how)
        noted.append(replace(result, exported=exported))
    return noted
