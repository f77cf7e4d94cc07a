"""Export moments: as files with a thumbnail strip each, as chapters, and as edit decision lists."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal, get_args

from jobs.hits import Wanted, read_hits
from jobs.learn.decode import decode_seen, probe_file
from jobs.learn.pictures import film_strip, save_png
from jobs.learn.text import check_folder
from jobs.terminal import lines_text
from jobs.timelines import Listed, chapters, edit_lists, one_line
from pipeline.cut import cut_video, has_sound
from schemas.errors import JobError, UsageError, VideoError
from schemas.models import Geometry, ModelInput
from schemas.records import Span, VideoMeta, path_text

Form = Literal["files", "webvtt", "edl"]

COLUMNS = ("file", "path", "start_s", "end_s", "cut_start_s", "cut_end_s", "how", "rank", "score", "label", "reason")
"""Of ``moments.csv``."""

_THUMBNAILS = ModelInput(6, Geometry(resize=160, crop=None))
_NAME_LENGTH = 60


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
    how: Literal["copied", "re-encoded", "listed", "failed"]
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What became of all moments, in their order, and which lists were written."""

    folder: Path
    moments: tuple[Exported, ...]
    lists: tuple[str, ...]

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
        lines = [f"{len(self.moments)} moments: {told}"]
        for moment in self.moments:
            if moment.reason is not None:
                start_s, end_s = moment.wanted.span
                what = "failed" if moment.how == "failed" else "damaged"
                lines.append(f"  {what}: {path_text(moment.wanted.path)} {start_s:g}-{end_s:g} s: {moment.reason}")
        return lines_text([*lines, f"{self.folder}: {', '.join(('moments.csv', *self.lists))}"])


def export(
    hits: str,
    folder: Path,
    *,
    pad_s: float = 1.0,
    forms: Sequence[Form] = ("files",),
    on_moment: Callable[[int, int], None] = lambda done, total: None,
) -> ExportReport:
    """Export the moments that ``hits`` lists into a new folder. The videos are read and never written.

    Args:
        hits: a file of what ``vidsift search --json`` prints, or ``-`` for standard input.
        folder: new, or empty.
        pad_s: seconds to show before and after each moment, where the video has them.
        forms: what to write; ``moments.csv`` always is.
        on_moment: told how many moments are done, of how many.

    Raises:
        UsageError: an option, a line or the folder cannot be used; nothing was written.
        JobError: the disk is full.
    """
    if not (math.isfinite(pad_s) and 0 <= pad_s <= 3600):
        raise UsageError(f"--pad: got {pad_s:g} s, allowed is 0 to 3600 s")
    if unknown := [form for form in forms if form not in get_args(Form)]:
        raise UsageError(f"--format: got {unknown[0]!r}, allowed is {', '.join(get_args(Form))}")
    wanted = read_hits(hits)
    check_folder(folder, "--to")
    look = lru_cache(maxsize=4)(_look)
    exported, listed = [], []
    for number, moment in enumerate(wanted, start=1):
        stem = f"{number:0{max(3, len(str(len(wanted))))}d}-{safe_name(moment.path)}"
        try:
            meta, sound = look(moment.path, moment.track)
            span, padded = within(meta, moment.span, pad_s)
            if "files" in forms:
                exported.append(_cut(moment, meta, span, padded, folder, stem))
            else:
                exported.append(Exported(moment, None, padded, "listed"))
            listed.append(Listed(moment.path, span, padded, meta.fps, sound, _text(moment, number)))
        except JobError:
            raise
        except Exception as exc:  # noqa: BLE001 - whatever a file makes a library raise is that file's reason, and no other's
            exported.append(Exported(moment, None, None, "failed", _reason(exc)))
        on_moment(number, len(wanted))
    lists = [
        *(_chapter_lists(listed) if "webvtt" in forms else ()),
        *(edit_lists(listed, "moments") if "edl" in forms else ()),
    ]
    try:
        for name, text in lists:
            (folder / name).write_text(text, encoding="utf-8")
        _write_table(folder / "moments.csv", exported)
    except OSError as exc:
        raise JobError(f"--to: {exc.filename!r} cannot be written: {exc.strerror}; make room, and export again") from exc
    return ExportReport(folder, tuple(exported), tuple(name for name, _ in lists))


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


def safe_name(path: str) -> str:
    """A video's name without its ending, in characters that every file system and shell takes: ``a b?.mp4`` is ``a-b``."""
    stem = os.path.splitext(os.path.basename(path_text(path)))[0]
    kept = "".join(c if (c.isascii() and c.isalnum()) or c in "_-" else "-" for c in stem)
    return "-".join(filter(None, kept.split("-")))[:_NAME_LENGTH] or "video"


def _look(path: str, track: int | None) -> tuple[VideoMeta, bool]:
    meta = probe_file(path, track)
    return meta, has_sound(path)


def _cut(moment: Wanted, meta: VideoMeta, span: Span, padded: Span, folder: Path, stem: str) -> Exported:
    """The file and its strip, which has the moment without what is around it."""
    name, aside = f"{stem}.mp4", folder / f".{stem}.mp4"
    cut = cut_video(moment.path, meta, padded, aside)
    aside.rename(folder / name)
    problems = dict.fromkeys((*meta.problems, *cut.problems))
    try:
        seen = decode_seen(moment.path, meta, [span], _THUMBNAILS)
        text = f"{moment.label or safe_name(moment.path)}  {span.start_s:.2f}-{span.end_s:.2f} s"
        save_png(film_strip([(one_line(text), list(seen.frames[0]))]), folder / f"{stem}.png")
        problems |= dict.fromkeys(seen.problems)
    except VideoError as exc:
        problems[f"no thumbnails: {exc.reason}"] = None
    return Exported(moment, name, Span(cut.start_s, cut.end_s), cut.how, "; ".join(problems) or None)


def _chapter_lists(listed: Sequence[Listed]) -> list[tuple[str, str]]:
    """A list for each video, named after it."""
    by_video: dict[str, list[Listed]] = {}
    for one in listed:
        by_video.setdefault(one.path, []).append(one)
    lists: dict[str, str] = {}
    for path, of_video in by_video.items():
        name, number = safe_name(path), 1
        while f"{name}.vtt".lower() in map(str.lower, lists):
            number += 1
            name = f"{safe_name(path)}-{number}"
        lists[f"{name}.vtt"] = chapters(of_video)
    return list(lists.items())


def _text(moment: Wanted, number: int) -> str:
    return (one_line(moment.label or "") or f"moment {number}") + (
        f" ({moment.score:.3f})" if moment.score is not None else ""
    )


def _reason(exc: Exception) -> str:
    if isinstance(exc, VideoError):
        return exc.reason
    if isinstance(exc, UsageError):
        return str(exc).removeprefix("FILE: ")
    return f"cannot be read: {type(exc).__name__}: {exc}"


def _write_table(path: Path, exported: Sequence[Exported]) -> None:
    with path.open("w", newline="", encoding="utf-8", errors="replace") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for one in exported:
            wanted = one.wanted
            cut = ("", "") if one.cut is None else tuple(f"{time_s:.6f}" for time_s in one.cut)
            row = (one.file, path_text(wanted.path), wanted.span.start_s, wanted.span.end_s, *cut, one.how)
            writer.writerow([*row, wanted.rank, wanted.score, wanted.label, one.reason])
