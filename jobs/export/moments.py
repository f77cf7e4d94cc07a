"""Exports one moment: finds it in its video, and cuts it into a file with a strip of thumbnails beside it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

from jobs.export.list_entry import ListEntry, one_line
from jobs.export.moments_file import RequestedMoment
from jobs.images import film_strip, save_png
from pipeline.frames import CRASHED, decode_seen, probe_file
from pipeline.trim.cut import cut_video, has_sound
from schemas.errors import JobError, UsageError, VideoError
from schemas.models import Geometry, ModelInput
from schemas.records import Span, path_text
from schemas.video_meta import VideoMeta

ExportOutcome = Literal["copied", "re-encoded", "listed", "failed"]

_THUMBNAILS = ModelInput(6, Geometry(resize=160, crop=None))


@dataclass(frozen=True, slots=True)
class ExportedMoment:
    """The outcome of exporting one moment.

    Attributes:
        moment: the moment, as it was requested.
        file: its file's name; None where none was asked for, or none could be made.
        cut: the interval that the file, or the edit decision list, shows; None where nothing does.
        how: ``copied``, ``re-encoded``, ``listed``, or ``failed``.
        reason: what is wrong with the video, or why the moment failed; None where all is well.
    """

    moment: RequestedMoment
    file: str | None
    cut: Span | None
    how: ExportOutcome
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class ExportTask:
    """A moment to export.

    Attributes:
        moment: the moment, as it was requested.
        number: its place among the moments, from 1.
        pad_s: seconds to show before and after it, where the video has them.
        folder: where files go.
        stem: of the names of its files.
        cut: whether to cut it into a file.
        kept: the outcome of an earlier export, which stays.
    """

    moment: RequestedMoment
    number: int
    pad_s: float
    folder: Path
    stem: str
    cut: bool
    kept: ExportedMoment | None = None

    @property
    def aside(self) -> Path:
        """The path that its file is written to until it is complete."""
        return self.folder / f".{self.stem}.mp4"


@dataclass(frozen=True, slots=True)
class TaskResult:
    """The result of a task: the moment's outcome, and its entry in lists where it has one."""

    exported: ExportedMoment
    entry: ListEntry | None = None


def work_on(task: ExportTask) -> TaskResult:
    """Export one moment.

    Raises:
        JobError: the disk is full.
    """
    moment = task.moment
    try:
        meta, sound = _probe(moment.path, moment.track)
        span, padded = within(meta, moment.span, task.pad_s)
        if task.kept is not None:
            exported = task.kept
        elif task.cut:
            exported = _cut(task, meta, span, padded)
        else:
            exported = ExportedMoment(moment, None, padded, "listed")
        return TaskResult(exported, ListEntry(moment.path, span, padded, meta.fps, sound, _text(moment, task.number)))
    except JobError:
        raise
    except Exception as exc:  # noqa: BLE001 - whatever a file makes a library raise is the reason why that moment failed
        return TaskResult(task.kept or ExportedMoment(moment, None, None, "failed", _reason(exc)))


def crashed(task: ExportTask) -> TaskResult:
    """The result of a task that took its process down."""
    task.aside.unlink(missing_ok=True)
    return TaskResult(task.kept or ExportedMoment(task.moment, None, None, "failed", CRASHED))


def within(meta: VideoMeta, moment: Span, pad_s: float) -> tuple[Span, Span]:
    """The moment, and the moment with its padding, both cut to the video.

    Raises:
        VideoError: the moment is not within the video.
    """
    first_s, end_s = max(0.0, meta.first_s), meta.end_s
    if moment.start_s >= end_s or moment.end_s <= first_s:
        raise VideoError(
            "probe",
            f"the moment is at {moment.start_s:g}-{moment.end_s:g} s, and the video shows {first_s:.3f}-{end_s:.3f} s",
        )
    span = Span(max(first_s, moment.start_s), min(end_s, moment.end_s))
    return span, Span(max(first_s, moment.start_s - pad_s), min(end_s, moment.end_s + pad_s))


@lru_cache(maxsize=4)
def _probe(path: str, track: int | None) -> tuple[VideoMeta, bool]:
    """A video's description, and whether it has sound."""
    return probe_file(path, track), has_sound(path)


def _cut(task: ExportTask, meta: VideoMeta, span: Span, padded: Span) -> ExportedMoment:
    """Write the file, and its strip of thumbnails, which show the moment without its padding."""
    moment, name = task.moment, f"{task.stem}.mp4"
    cut = cut_video(moment.path, meta, padded, task.aside)
    problems = dict.fromkeys((*meta.problems, *cut.problems))
    try:
        seen = decode_seen(moment.path, meta, [span], _THUMBNAILS)
    except VideoError as exc:
        problems[f"no thumbnails: {exc.reason}"] = None
    else:
        problems |= dict.fromkeys(seen.problems)
        text = f"{moment.label or path_text(Path(moment.path).stem)}  {span.start_s:.2f}-{span.end_s:.2f} s"
        try:
            save_png(film_strip([(one_line(text), list(seen.frames[0]))]), task.folder / f"{task.stem}.png")
        except UsageError as exc:
            raise JobError(f"{exc}; make room, and export again", argument="folder") from exc
    task.aside.rename(task.folder / name)
    return ExportedMoment(moment, name, Span(cut.start_s, cut.end_s), cut.how, "; ".join(problems) or None)


def _text(moment: RequestedMoment, number: int) -> str:
    """The description of a moment in lists: what is said or can be read there, or else its label and its score."""
    if moment.text and (text := one_line(moment.text)):
        return text
    return (one_line(moment.label or "") or f"moment {number}") + (
        f" ({moment.score:.3f})" if moment.score is not None else ""
    )


def _reason(exc: Exception) -> str:
    if isinstance(exc, VideoError):
        return exc.reason
    if isinstance(exc, UsageError):
        return exc.message
    return f"cannot be read: {type(exc).__name__}: {exc}"
