"""Annotators of whole videos. Each writes rows of a channel's table (`schemas.channels`), not columns of clips.

To add one, write a class that is a `VideoAnnotator` and another that is a `LoadedVideoAnnotator`, and name it in
`ANNOTATORS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from schemas.channels import Entry
from schemas.errors import UsageError
from schemas.records import Problem, VideoInfo


class VideoAnnotator(Protocol):
    """What reads whole videos. It travels to workers, so it must be small; equal ones do the same."""

    @property
    def name(self) -> str:
        """Its name on the command line and in its rows, such as ``shots``."""

    @property
    def table(self) -> str:
        """The table of `schemas.channels.CHANNELS` that it writes."""

    @property
    def version(self) -> str:
        """Changes whenever it would write other rows for the same video: the model and its settings."""

    @property
    def uses_gpu(self) -> bool:
        """Whether it computes on a GPU where it sees one."""

    def state(self, path: str) -> str:
        """Changes when what it reads beside the video at ``path`` does; empty for annotators that read nothing else."""

    def __hash__(self) -> int:
        """Equal annotators share what they loaded."""

    def load(self) -> LoadedVideoAnnotator:
        """Load what it computes with.

        Raises:
            ModelError: its model cannot be loaded.
        """


class LoadedVideoAnnotator(Protocol):
    """An annotator that is ready to run."""

    def annotate(self, video: VideoInfo) -> Iterable[Entry | Problem]:
        """The rows of one video, by time, and what is wrong with a part of it; nothing where there is nothing to write.

        Raises:
            VideoError: it cannot be read.
        """


DEFAULT_SPEECH_MODEL = "openai/whisper-base"


def _shots(settings: Mapping[str, str]) -> VideoAnnotator:
    from pipeline.shots.annotator import ShotAnnotator, detector_named

    return ShotAnnotator(detector_named(settings.get("detector", "content")))


def _subtitles(settings: Mapping[str, str]) -> VideoAnnotator:
    from pipeline.speech.subtitles import SubtitleAnnotator

    return SubtitleAnnotator()


def _speech(settings: Mapping[str, str]) -> VideoAnnotator:
    from pipeline.models.checkpoint import find_checkpoint
    from pipeline.speech.annotator import SpeechAnnotator

    checkpoint = find_checkpoint(settings.get("model", DEFAULT_SPEECH_MODEL), "speech_model")
    engine: Any = settings.get("engine", "torch")
    return SpeechAnnotator(checkpoint, settings.get("language"), engine=engine)


def _text(settings: Mapping[str, str]) -> VideoAnnotator:
    from pipeline.text.annotator import ScreenTextAnnotator

    return ScreenTextAnnotator()


# Makes each annotator of its settings, by name.
ANNOTATORS: dict[str, Callable[[Mapping[str, str]], VideoAnnotator]] = {
    "shots": _shots,
    "subtitles": _subtitles,
    "speech": _speech,
    "text": _text,
}


def make_annotator(name: str, settings: Mapping[str, str]) -> VideoAnnotator:
    """The annotator of this name with these settings.

    Raises:
        UsageError: there is no such annotator, or it has no such setting.
        ModelError: its model cannot be found.
    """
    if name not in ANNOTATORS:
        raise UsageError(f"expected {', '.join(ANNOTATORS)}", argument="channels", value=name)
    return ANNOTATORS[name](settings)
