"""The subtitles of a video, from the files beside it and from the tracks inside it: an annotator of whole videos."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from pipeline.speech.sidecar import SidecarError, find_sidecars, read_sidecar, subtitle_state
from schemas.channels import Utterance
from schemas.errors import VideoError
from schemas.records import Problem, VideoInfo

# Of a track's cues, as many are in a file too where both are the same subtitles.
_SAME_SHARE = 0.5
# Cues of one text are one where they begin closer to each other than this.
_SAME_START_S = 0.5


class Subtitles(NamedTuple):
    """What was read of a video's subtitles.

    Attributes:
        said: all cues, by time; a translation is in another language.
        problems: what is wrong with some of them, in sentences.
        unread: tracks without text, such as pictures, in sentences; nothing is wrong with them.
    """

    said: tuple[Utterance, ...]
    problems: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SubtitleAnnotator:
    """Reads subtitles: a `pipeline.video_annotators.VideoAnnotator`. It computes with no model."""

    name: str = "subtitles"
    table: str = "speech"
    version: str = "1"
    uses_gpu: bool = False

    def state(self, path: str) -> str:
        """The files of subtitles beside the video: changes when one of them does."""
        return subtitle_state(path)

    def load(self) -> LoadedSubtitles:
        """Nothing needs loading."""
        return LoadedSubtitles()


class LoadedSubtitles:
    """A `pipeline.video_annotators.LoadedVideoAnnotator` of subtitles."""

    def annotate(self, video: VideoInfo) -> Iterable[Utterance | Problem]:
        """The video's subtitles, by time, and what is wrong with some.

        Raises:
            VideoError: there are some, and none of them could be read.
        """
        read = read_subtitles(video)
        if read.problems and not read.said:
            raise VideoError("annotate", "; ".join(read.problems))
        return [*read.said, *(Problem("annotate", problem) for problem in read.problems)]


def read_subtitles(video: VideoInfo) -> Subtitles:
    """The cues of all subtitles of a video, and what could not be read.

    A track whose language a file beside the video has too, or whose words, is left out: the file is the later one. Forced
    subtitles, which hold only what is foreign, stand beside the whole ones. A cue that is there twice is kept once.
    """
    problems: list[str] = []
    files: list[tuple[bool, list[Utterance]]] = []
    for sidecar in find_sidecars(video.file.path):
        try:
            files.append((sidecar.forced, read_sidecar(sidecar, video.duration_s)))
        except SidecarError as exc:
            problems.append(str(exc))
    found = _tracks(video)
    languages = {(forced, said[0].language) for forced, said in files if said}
    texts = {utterance.text for _, said in files for utterance in said}
    chosen = [said for _, said in files]
    for forced, said in found.said:
        shared = sum(utterance.text in texts for utterance in said)
        if said and (forced, said[0].language) not in languages and shared < _SAME_SHARE * len(said):
            chosen.append(said)
    return Subtitles(tuple(_once(chosen)), (*problems, *found.problems), found.unread)


class _Tracks(NamedTuple):
    """The cues of each track of text, and whether it is a forced one; the rest is as in `Subtitles`."""

    said: list[tuple[bool, list[Utterance]]]
    problems: tuple[str, ...]
    unread: tuple[str, ...]


def _tracks(video: VideoInfo) -> _Tracks:
    """The tracks of subtitles in a video.

    Raises:
        VideoError: the video cannot be read.
    """
    from pipeline.container.reading import READING_ERRORS, describe
    from pipeline.probe import probe
    from pipeline.speech.embedded import read_tracks, subtitle_tracks

    path = video.file.path
    try:
        tracks = subtitle_tracks(path)
    except READING_ERRORS as exc:
        raise VideoError("annotate", f"its subtitle tracks cannot be looked for: {describe(exc)}") from exc
    unread = tuple(track.unread for track in tracks if track.unread)
    texts = [track for track in tracks if track.is_text]
    if not texts:
        return _Tracks([], (), unread)
    said, broken = read_tracks(path, probe(path, track=video.track), texts)
    return _Tracks([(track.forced, said[track.stream_index]) for track in texts], (broken,) if broken else (), unread)


def _once(chosen: Sequence[Sequence[Utterance]]) -> list[Utterance]:
    """All cues by time, without those that say what an earlier one in the same or an unknown language says then."""
    kept: defaultdict[tuple[str, int], list[Utterance]] = defaultdict(list)
    for said in chosen:
        for utterance in said:
            second = int(utterance.start_s)
            near = [other for at in (second - 1, second, second + 1) for other in kept[utterance.text, at]]
            if not any(_is_again(utterance, other) for other in near):
                kept[utterance.text, second].append(utterance)
    return sorted((utterance for alike in kept.values() for utterance in alike), key=lambda utterance: utterance.start_s)


def _is_again(one: Utterance, other: Utterance) -> bool:
    same_language = one.language == other.language or None in (one.language, other.language)
    return same_language and abs(one.start_s - other.start_s) < _SAME_START_S
