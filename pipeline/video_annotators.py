"""Annotators of whole videos. Each writes rows of a channel's table (`schemas.channels`), not columns of clips.

To add one, write a class that is a `VideoAnnotator` and another that is a `LoadedVideoAnnotator`, and name it in
`ANNOTATORS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from schemas.channels import Entry
from schemas.errors import UsageError
from schemas.records import VideoInfo


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

    def annotate(self, video: VideoInfo) -> Iterable[Entry]:
        """The rows of one video, by time; none where there is nothing to write.

        Raises:
            VideoError: it cannot be read.
        """


# Makes each annotator of its settings, by name.
ANNOTATORS: dict[str, Callable[[Mapping[str, str]], VideoAnnotator]] = {}


def make_annotator(name: str, settings: Mapping[str, str]) -> VideoAnnotator:
    """The annotator of this name with these settings.

    Raises:
        UsageError: there is no such annotator, or it has no such setting.
        ModelError: its model cannot be found.
    """
    if name not in ANNOTATORS:
        raise UsageError(f"expected {', '.join(ANNOTATORS)}", argument="annotators", value=name)
    return ANNOTATORS[name](settings)
