"""One moment of a video: found in it, and cut into a file of its own beside a strip of thumbnails."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

from jobs.export.edl import Listed, one_line
from jobs.export.moments_file import Wanted
from jobs.images import film_strip, save_png
from pipeline.frames import CRASHED, decode_seen, probe_file
from pipeline.trim.cut import cut_video, has_sound
from schemas.errors import JobError, UsageError, VideoError
from schemas.models import Geometry, ModelInput
from schemas.records import Span, path_text
from schemas.video_meta import VideoMeta

How = Literal["copied", "re-encoded", "listed", "failed"]

_THUMBNAILS = ModelInput(6, Geometry(resize=160, crop=None))


@dataclass(frozen=True, slots=True)
class Exported:
    """What became of one moment.

    Attributes:
        wanted: the moment.
        file: its file's name; None where none was asked for, or none could be made.
        cut: what of the video the file, or the edit decision list, shows; None where nothing does.
        how: ``copied``, ``re-encoded``, ``listed``, or ``failed``.
        reason: what is wrong with the video; None for a sound one.
    """

    wanted: Wanted
    file: str | None
    cut: Span | None
    how: How
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Task:
    """A moment to be looked at, and cut where it has no file yet.

    Attributes:
        wanted: the moment.
        number: which it is, from 1.
        pad_s: seconds to show before and after it, where the video has them.
        folder: where files go.
        stem: of the names of its files.
        cut: whether to cut it.
        kept: what an earlier export made of it, which stays.
    """

    wanted: Wanted
    number: int
    pad_s: float
    folder: Path
    stem: str
    cut: bool
    kept: Exported | None = None

    @property
    def aside(self) -> Path:
        """Where its file is written, until it is whole."""
        return self.folder / f".{self.stem}.mp4"


@dataclass(frozen=True, slots=True)
class Done:
    """What became of a task: the moment's row, and its entry in lists where it has one."""

    exported: Exported
    listed: Listed | None = None


def work_on(task: Task) -> Done:
    """Do a task.

    Raises:
        JobError: the disk is full.
    """
    moment = task.wanted
    try:
        meta, sound = _look(moment.path, moment.track)
        span, padded = within(meta, moment.span, task.pad_s)
        if task.kept is not None:
            exported = task.kept
        elif task.cut:
            exported = _cut(task, meta, span, padded)
        else:
            exported = Exported(moment, None, padded, "listed")
        return Done(exported, Listed(moment.path, span, padded, meta.fps, sound, _text(moment, task.number)))
    except JobError:
        raise
    except Exception as exc:  # noqa: BLE001 - whatever a file makes a library raise is that file's reason, and no other's
        return Done(task.kept or Exported(moment, None, None, "failed", _reason(exc)))


def crashed(task: Task) -> Done:
    """What is said of a task that took its process down."""
    task.aside.unlink(missing_ok=True)
    return Done(task.kept or Exported(task.wanted, None, None, "failed", CRASHED))


def within(meta: VideoMeta, moment: Span, pad_s: float) -> tuple[Span, Span]:
    """The moment, and what is shown of it and around it, as far as the video goes.

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
def _look(path: str, track: int | None) -> tuple[VideoMeta, bool]:
    meta = probe_file(path, track)
    return meta, has_sound(path)


def _cut(task: Task, meta: VideoMeta, span: Span, padded: Span) -> Exported:
    """The file and its strip, which has the moment without what is around it."""
    moment, name = task.wanted, f"{task.stem}.mp4"
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
            raise JobError(f"--to: {exc}; make room, and export again") from exc
    task.aside.rename(task.folder / name)
    return Exported(moment, name, Span(cut.start_s, cut.end_s), cut.how, "; ".join(problems) or None)


def _text(moment: Wanted, number: int) -> str:
    return (one_line(moment.label or "") or f"moment {number}") + (
        f" ({moment.score:.3f})" if moment.score is not None else ""
    )


def _reason(exc: Exception) -> str:
    if isinstance(exc, VideoError):
        return exc.reason
    if isinstance(exc, UsageError):
        return exc.message
    return f"cannot be read: {type(exc).__name__}: {exc}"
