"""Annotators of whole videos that write what a test says, and where they run: in this process, without Ray."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import pytest

import jobs.annotate.annotate
from jobs.annotate.work import Annotated, Task, annotate_video
from pipeline.video_annotators import ANNOTATORS, VideoAnnotator
from schemas.channels import Box, Entry, ScreenText, Shot, Utterance
from schemas.errors import UsageError, VideoError
from schemas.options import IngestOptions
from schemas.records import VideoInfo


def said(start_s: float, end_s: float, text: str, language: str | None = "en") -> Utterance:
    return Utterance(start_s, end_s, text, language, "sidecar", None)


def written(start_s: float, end_s: float, text: str) -> ScreenText:
    return ScreenText(start_s, end_s, text, Box(0.25, 0.5, 0.5, 0.125), 0.75)


@dataclass(frozen=True)
class MadeAnnotator:
    """Writes the entries of each video, by path; of a path that it does not know it writes nothing.

    The entry ``crash`` ends the process, ``refuse`` raises a VideoError, ``bug`` any other error.
    """

    name: str
    table: str
    entries: tuple[tuple[str, tuple[Entry | str, ...]], ...] = ()
    version: str = "1"
    uses_gpu: bool = False
    states: tuple[tuple[str, str], ...] = ()

    def state(self, path: str) -> str:
        return dict(self.states).get(path, "")

    def load(self) -> MadeAnnotator:
        return self

    def annotate(self, video: VideoInfo) -> Iterable[Entry]:
        for entry in dict(self.entries).get(video.file.path, ()):
            if entry == "crash":
                os._exit(3)
            if entry == "refuse":
                raise VideoError("decode", "its sound is of another world")
            if isinstance(entry, str):
                raise KeyError(entry)
            yield entry


def made(name: str, table: str, **given: object) -> Callable[[Mapping[str, str]], VideoAnnotator]:
    """What `ANNOTATORS` has for a `MadeAnnotator`; its one setting is ``version``."""

    def make(settings: Mapping[str, str]) -> VideoAnnotator:
        if settings.keys() - {"version"}:
            raise UsageError("got a setting that it does not have", argument="channels", value=name)
        return MadeAnnotator(name, table, **{**given, **settings})  # type: ignore[arg-type]

    return make


def inline(
    tasks: Sequence[Task], options: IngestOptions, is_time_up: Callable[[], bool] = lambda: False
) -> Iterator[Annotated | None]:
    """What `jobs.annotate.ray_tasks.on_ray` does, one task after the other, in this process."""
    for task in tasks:
        if is_time_up():
            return
        entries, error = annotate_video(replace(task, max_memory_mb=64_000))  # this process is not theirs alone
        yield Annotated(task, entries, error, 0.5)


def use_annotators(patch: pytest.MonkeyPatch, **annotators: Callable[[Mapping[str, str]], VideoAnnotator]) -> None:
    """Let these be all the annotators that there are, and run them in this process."""
    for name in list(ANNOTATORS):
        patch.delitem(ANNOTATORS, name)
    for name, make in annotators.items():
        patch.setitem(ANNOTATORS, name, make)
    patch.setattr(jobs.annotate.annotate, "on_ray", inline)


SHOTS_OF_A = (Shot(0.0, 7.5, "start", 1.0, "moving"), Shot(7.5, 20.0, "cut", 0.875, "still"))
