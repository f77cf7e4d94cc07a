"""Export moments: as files with a thumbnail strip each, as chapters, and as edit decision lists."""

from __future__ import annotations

import fcntl
import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

from jobs.export.edl import NO_TIMECODE, Listed, edit_lists, has_no_timecode
from jobs.export.file_names import distinct, safe_name
from jobs.export.moments import Done, Exported, Task, crashed, work_on
from jobs.export.moments_file import Wanted, read_hits
from jobs.export.moments_table import NAME, MomentsTable, read_table
from jobs.export.webvtt import chapters
from jobs.isolated_process import in_processes
from jobs.output_folder import check_folder
from schemas.errors import JobError, UsageError
from schemas.records import path_text
from schemas.text import lines_text

Form = Literal["files", "webvtt", "edl"]


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What became of all moments, in their order, and which lists were written.

    Attributes:
        folder: where it all is.
        moments: in the order of their lines.
        lists: names of files.
        kept: how many of the moments an earlier export had finished.
    """

    folder: Path
    moments: tuple[Exported, ...]
    lists: tuple[str, ...]
    kept: int = 0

    @property
    def failed(self) -> tuple[Exported, ...]:
        """Moments that could not be exported."""
        return tuple(moment for moment in self.moments if moment.how == "failed")

    def __str__(self) -> str:
        """Lines for people."""
        counts = {
            how: sum(moment.how == how for moment in self.moments) for how in ("copied", "re-encoded", "listed", "failed")
        }
        told = ", ".join(f"{count} {how}" for how, count in counts.items() if count)
        lines = [f"{len(self.moments)} moments: {told}" + (f"; {self.kept} were there already" if self.kept else "")]
        for moment in self.moments:
            if moment.reason is not None:
                start_s, end_s = moment.wanted.span
                what = "failed" if moment.how == "failed" else "damaged"
                lines.append(f"  {what}: {path_text(moment.wanted.path)} {start_s:g}-{end_s:g} s: {moment.reason}")
        return lines_text([*lines, f"{self.folder}: {', '.join((NAME, *self.lists))}"])


def export(
    hits: str,
    folder: Path,
    *,
    pad_s: float = 1.0,
    forms: Sequence[Form] = ("files",),
    on_moment: Callable[[int, int], None] = lambda done, total: None,
) -> ExportReport:
    """Export the moments that ``hits`` lists. The videos are read and never written.

    Each moment is cut in a process apart, so that a file that takes a decoder down costs itself alone, and has its row in
    ``moments.csv`` as soon as it is done. An export that was interrupted goes on when it is called again: what is finished
    stays, and what failed is tried again.

    Args:
        hits: a file of what ``vidsift search --json`` prints, or ``-`` for standard input.
        folder: new, or empty, or what an export of the same moments has begun.
        pad_s: seconds to show before and after each moment, where the video has them.
        forms: what to write; ``moments.csv`` always is.
        on_moment: told how many moments are done, of how many.

    Raises:
        UsageError: an option, a line or the folder cannot be used; nothing was written.
        JobError: the disk is full.
    """
    if not (math.isfinite(pad_s) and 0 <= pad_s <= 3600):
        raise UsageError(f"--pad: got {pad_s:g} s, expected 0 to 3600 s")
    if unknown := [form for form in forms if form not in get_args(Form)]:
        raise UsageError(f"--format: got {unknown[0]!r}, expected {', '.join(get_args(Form))}")
    wanted = read_hits(hits)
    if not (folder / NAME).is_file():
        check_folder(folder, "--to")
    with _holding(folder):
        try:
            tasks = _tasks(wanted, folder, pad_s, forms)
            done = _work(tasks, folder, pad_s, forms, on_moment)
            lists = _lists([one.listed for one in done if one.listed is not None], forms)
            for name, text in lists:
                aside = folder / f".{name}"
                aside.write_text(text, encoding="utf-8", newline="")
                os.replace(aside, folder / name)
        except OSError as exc:
            raise JobError(
                f"--to: {exc.filename or str(folder)!r} cannot be written: {exc.strerror}; make room, and export again"
            ) from exc
    kept = sum(task.kept is not None for task in tasks)
    return ExportReport(folder, tuple(one.exported for one in done), tuple(name for name, _ in lists), kept)


@contextmanager
def _holding(folder: Path) -> Iterator[None]:
    """Have the folder alone.

    Raises:
        UsageError: another export is writing into it.
    """
    held = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            raise UsageError(f"--to {folder}: another export is writing there; wait for it to end, or stop it") from exc
        yield
    finally:
        os.close(held)


def _tasks(wanted: Sequence[Wanted], folder: Path, pad_s: float, forms: Sequence[Form]) -> list[Task]:
    """A task for each moment, with what an earlier export has finished of it."""
    earlier = read_table(folder, wanted, pad_s) if (folder / NAME).is_file() else [[] for _ in wanted]
    tasks = []
    for number, (moment, rows) in enumerate(zip(wanted, earlier, strict=True), start=1):
        stem = f"{number:0{max(3, len(str(len(wanted))))}d}-{safe_name(moment.path)}"
        cut = "files" in forms
        kept = [row for row in rows if _finished(row, folder, stem, cut)]
        tasks.append(Task(moment, number, pad_s, folder, stem, cut, kept[-1] if kept else None))
    return tasks


def _finished(row: Exported, folder: Path, stem: str, cut: bool) -> bool:
    if row.file is None:
        return row.how == "listed" and not cut
    return row.file == f"{stem}.mp4" and (folder / row.file).is_file()


def _work(
    tasks: Sequence[Task], folder: Path, pad_s: float, forms: Sequence[Form], on_moment: Callable[[int, int], None]
) -> list[Done]:
    """Do all tasks, each in the table as soon as it is done."""
    lists = set(forms) - {"files"}
    waiting = [task for task in tasks if task.kept is None or lists]  # lists are made of all moments' videos
    done = {task.number: Done(task.kept) for task in tasks if task.kept is not None}
    cpus = max(1, min(len(os.sched_getaffinity(0)), len(waiting)))
    with MomentsTable(folder, pad_s, [one.exported for one in done.values()]) as table:
        count = len(tasks) - len(waiting)
        for task, result in zip(waiting, in_processes(work_on, waiting, cpus), strict=True):
            done[task.number] = result or crashed(task)
            if task.kept is None:
                table.add(done[task.number].exported)
            count += 1
            on_moment(count, len(tasks))
        ordered = _without_timecodes([done[task.number] for task in tasks], forms)
        table.replace(one.exported for one in ordered)
    return ordered


def _lists(listed: Sequence[Listed], forms: Sequence[Form]) -> list[tuple[str, str]]:
    """Name and text of each list."""
    return [
        *(_chapter_lists(listed) if "webvtt" in forms else ()),
        *(edit_lists(listed, "moments") if "edl" in forms else ()),
    ]


def _chapter_lists(listed: Sequence[Listed]) -> list[tuple[str, str]]:
    """A list for each video, named after it."""
    by_video: dict[str, list[Listed]] = {}
    for one in listed:
        by_video.setdefault(one.path, []).append(one)
    names = distinct([safe_name(path) for path in by_video])
    return [(f"{name}.vtt", chapters(of_video)) for name, of_video in zip(names, by_video.values(), strict=True)]


def _without_timecodes(done: Sequence[Done], forms: Sequence[Form]) -> list[Done]:
    """Have the rows of moments that are in no edit decision list say so; without another form of them, they failed."""
    told = []
    for one in done:
        exported = one.exported
        reason = exported.reason or ""
        if "edl" in forms and one.listed is not None and has_no_timecode(one.listed) and NO_TIMECODE not in reason:
            how = "failed" if set(forms) == {"edl"} else exported.how
            exported = replace(exported, reason="; ".join(filter(None, (reason, NO_TIMECODE))), how=how)
        told.append(replace(one, exported=exported))
    return told
