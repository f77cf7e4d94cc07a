"""Files of subtitles beside a video, named as it is: ``film.srt``, ``film.pt-BR.vtt``, ``film.en.forced.ass``."""

from __future__ import annotations

import os
import stat
from bisect import bisect_left
from collections.abc import Iterator
from functools import lru_cache
from hashlib import blake2b
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from pipeline.sources import scheme_of, source_of
from pipeline.sources.find import VIDEO_SUFFIXES
from pipeline.speech.encodings import decode_text
from pipeline.speech.languages import language_of_word
from schemas.channels import Utterance
from schemas.records import path_text

if TYPE_CHECKING:
    from pipeline.speech.cues import Format

FORMATS: dict[str, Format] = {".srt": "srt", ".vtt": "webvtt", ".ass": "ass", ".ssa": "ass"}
"""FFmpeg's formats by the endings of subtitles' names."""

MAX_BYTES = 16_000_000
"""Larger files are not read: three hours of subtitles are 200 kB, with embedded fonts a few MB."""

# A cue may begin so long after a video's last frame: sound goes on, and the first frame may be late.
_PAST_END_S = 5.0


class Sidecar(NamedTuple):
    """A file of subtitles.

    Attributes:
        path: beside its video.
        language: as its name says, in BCP 47; None where it does not.
        forced: whether it holds only what is foreign or written on the screen.
    """

    path: str
    language: str | None
    forced: bool


class SidecarError(Exception):
    """A file of subtitles that cannot be read; its text is a sentence that names the file."""


def find_sidecars(video_path: str) -> list[Sidecar]:
    """The subtitles beside a video, by name. None where its folder cannot be listed.

    ``film.part2.srt`` belongs to ``film.part2.mp4`` where there is one, and to ``film.mp4`` where there is not.
    """
    folder, name = os.path.split(video_path)
    stem = os.path.splitext(name)[0]
    try:
        if scheme_of(folder):
            listing = _listed(folder, stem)
        else:
            modified_ns = source_of(folder).stat(folder or ".").modified_ns
            listing = _listing(folder, modified_ns)
    except (OSError, ValueError):
        return []
    return [_sidecar(folder, stem, found) for found in listing.beside(stem)]


def subtitle_state(video_path: str) -> str:
    """16 hex digits that change with the subtitles beside a video: their names, sizes and times; empty where there are none.

    Keep it with a video's rows: where it is another, the video's subtitles have to be read again.
    """
    lines = []
    for sidecar in find_sidecars(video_path):
        try:
            status = source_of(sidecar.path).stat(sidecar.path)
        except OSError:  # it is gone
            continue
        lines.append(f"{path_text(sidecar.path)}\0{status.kind}\0{status.size_bytes}\0{status.modified_ns}\0")
    return blake2b("".join(lines).encode(), digest_size=8).hexdigest() if lines else ""


def read_sidecar(sidecar: Sidecar, duration_s: float | None = None) -> list[Utterance]:
    """The cues of a file, by time.

    Args:
        sidecar: the file.
        duration_s: how long its video is; cues that begin after its end are left out.

    Raises:
        SidecarError: it is no regular file, too large, or no subtitles.
    """
    from pipeline.speech.cues import MAX_CUES, parse_cues

    name = os.path.basename(sidecar.path)
    text = decode_text(_read(sidecar.path), sidecar.language)
    latest_s = float("inf") if duration_s is None else duration_s + _PAST_END_S
    cues = list(islice(parse_cues(text, _format_of(name, text)), MAX_CUES + 1))
    if not cues and text.strip():
        raise SidecarError(f"{name} holds no subtitle: it is no SubRip, WebVTT or ASS, or damaged")
    if len(cues) > MAX_CUES:
        raise SidecarError(f"{name} holds more than {MAX_CUES} subtitles, which is no film's; it is left out")
    kept = [cue for cue in cues if cue.start_s < latest_s]
    if cues and not kept:
        raise SidecarError(f"{name} begins at {cues[0].start_s:.0f} s, after the video's end ({duration_s:.0f} s)")
    return [Utterance(cue.start_s, min(cue.end_s, latest_s), cue.text, sidecar.language, "sidecar", None) for cue in kept]


class _Listing(NamedTuple):
    """A folder's names of subtitles, and its videos' names without endings; both sorted."""

    subtitles: list[str]
    stems: list[str]

    def beside(self, stem: str) -> Iterator[str]:
        """The subtitles that belong to the video of this name without its ending."""
        others = list(_beginning(self.stems, stem + "."))
        for name in _beginning(self.subtitles, stem + "."):
            if not any(name.startswith(other + ".") for other in others):
                yield name


@lru_cache(maxsize=4)
def _listing(folder: str, modified_ns: int) -> _Listing:
    """The names in a folder; kept while the folder is the same, for a video after the other is asked for in it."""
    return _listed(folder, "")


def _listed(folder: str, beginning: str) -> _Listing:
    """The names in a folder that begin so."""
    entries = source_of(folder).list_folder(folder or ".", beginning)
    names = [os.path.splitext(entry.name) for entry in entries if not entry.is_folder]
    subtitles = sorted(stem + ending for stem, ending in names if ending.lower() in FORMATS)
    return _Listing(subtitles, sorted({stem for stem, ending in names if ending.lower() in VIDEO_SUFFIXES}))


def _beginning(names: list[str], start: str) -> Iterator[str]:
    """The sorted names that begin so."""
    for index in range(bisect_left(names, start), len(names)):
        if not names[index].startswith(start):
            return
        yield names[index]


def _sidecar(folder: str, stem: str, name: str) -> Sidecar:
    words = os.path.splitext(name)[0][len(stem) :].strip(".").split(".")
    language = next(filter(None, map(language_of_word, words)), None)
    return Sidecar(os.path.join(folder, name), language, "forced" in map(str.lower, words))


def _format_of(name: str, text: str) -> Format:
    """The format by how the text begins, for names may lie; else by the name."""
    beginning = text[:1000].lstrip()
    if beginning.startswith("WEBVTT"):
        return "webvtt"
    if beginning[:13].lower() == "[script info]":
        return "ass"
    return FORMATS[os.path.splitext(name)[1].lower()]


def _read(path: str) -> bytes:
    """A regular file's bytes. A link is followed, as an ingest does; a named pipe is not waited for.

    Raises:
        SidecarError: it is something else, it is too large, or it cannot be read.
    """
    name = os.path.basename(path)
    try:
        if scheme_of(path):
            status = source_of(path).stat(path)
            _check(name, status.kind == "file", status.size_bytes)
            return source_of(path).read_range(path, 0, MAX_BYTES)
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC), "rb") as file:
            found = os.fstat(file.fileno())
            _check(name, stat.S_ISREG(found.st_mode), found.st_size)
            return file.read(MAX_BYTES)
    except OSError as exc:
        raise SidecarError(f"{name} cannot be read: {exc.strerror or exc}") from exc


def _check(name: str, regular: bool, size_bytes: int) -> None:
    if not regular:
        raise SidecarError(f"{name} is no regular file; put a file of that name in its place")
    if size_bytes > MAX_BYTES:
        raise SidecarError(
            f"{name} is {size_bytes / 1e6:.0f} MB, expected {MAX_BYTES / 1e6:.0f} MB at most; is it a subtitle file?"
        )
