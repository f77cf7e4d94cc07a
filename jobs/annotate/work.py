"""One annotator's reading of one video, in a process of its own: what ends that process costs the video's rows alone."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from pipeline.isolated_process import IsolatedProcess, ProcessCrashed, TaskTimedOut
from pipeline.memory_limit import memory_limit
from pipeline.video_annotators import LoadedVideoAnnotator, VideoAnnotator
from schemas.channels import Entry
from schemas.errors import ModelError, VideoError
from schemas.records import Problem, VideoInfo

# Attempts at a video that ends its process.
_ATTEMPTS = 2


@dataclass(frozen=True, slots=True)
class Task:
    """A video to be read by an annotator.

    Attributes:
        state: the annotator's, of the files beside the video.
        timeout_s: how long reading a minute of it may take.
        max_memory_mb: how much memory reading it may take.
    """

    annotator: VideoAnnotator
    video: VideoInfo
    state: str
    timeout_s: float
    max_memory_mb: int


@dataclass(frozen=True, slots=True)
class Annotated:
    """What became of a task.

    Attributes:
        entries: the rows; none where it failed.
        error: what is wrong with it, or a part of it, in a sentence; None where nothing is.
    """

    task: Task
    entries: tuple[Entry, ...]
    error: str | None
    wall_s: float

    @property
    def status(self) -> Literal["done", "partial", "failed"]:
        """``partial`` if there are rows and something is wrong all the same."""
        return "done" if self.error is None else "partial" if self.entries else "failed"


class Worker:
    """Does tasks one after the other, in a process that is replaced where one ends it."""

    def __init__(self) -> None:
        self._process = IsolatedProcess()

    def do(self, task: Task) -> Annotated:
        """What becomes of a task.

        Raises:
            ModelError: the annotator's model cannot be loaded.
        """
        began = time.monotonic()
        minutes = max(1.0, (task.video.duration_s or 0.0) / 60)
        entries: tuple[Entry, ...] = ()
        error = None
        for _ in range(_ATTEMPTS):
            try:
                entries, error = self._process.run(annotate_video, task, task.timeout_s * minutes)
                break
            except ProcessCrashed:
                error = "crashed: the process that read it died twice, in native code or for want of memory"
            except TaskTimedOut:
                error = (
                    f"timed out: reading a minute of it took longer than {task.timeout_s:g} s; try a longer --video-timeout"
                )
                break
        return Annotated(task, entries, error, time.monotonic() - began)

    def close(self) -> None:
        """End the process."""
        self._process.kill()


def annotate_video(task: Task) -> tuple[tuple[Entry, ...], str | None]:
    """The rows of a video, and what is wrong with it.

    Raises:
        ModelError: the annotator's model cannot be loaded.
    """
    annotator = _loaded(task.annotator)
    try:
        with memory_limit(task.max_memory_mb):
            found = list(annotator.annotate(task.video))
        problems = "; ".join(item.reason for item in found if isinstance(item, Problem))
        return tuple(item for item in found if not isinstance(item, Problem)), problems or None
    except VideoError as exc:
        return (), exc.reason
    except ModelError:
        raise
    except MemoryError:
        return (), "reading it takes more memory than --max-memory allows"
    except Exception as exc:  # noqa: BLE001 - whatever a library raises is this video's reason to fail
        return (), f"cannot be read: {type(exc).__name__}: {exc}"


@lru_cache(maxsize=1)  # tasks come by annotator, and models are large
def _loaded(annotator: Any) -> LoadedVideoAnnotator:
    loaded: LoadedVideoAnnotator = annotator.load()
    return loaded
