"""Tells finished files from those that are still being written: their size and time have stood still for a while."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from schemas.records import VideoFile


@dataclass(slots=True)
class _Seen:
    """A file as it was seen last.

    Attributes:
        size_bytes: then.
        modified_ns: then.
        since_s: when it was first seen like this.
        passed: whether it has been said to be finished.
    """

    size_bytes: int
    modified_ns: int
    since_s: float
    passed: bool = False


class Settling:
    """The files that are new or have changed. Those that the library has as they are need not be shown to it."""

    def __init__(self, settle_s: float, now: Callable[[], float]) -> None:
        """A file is finished once ``settle_s`` seconds have passed by the clock ``now`` without a change."""
        self._settle_s, self._now = settle_s, now
        self._seen: dict[str, _Seen] = {}
        self._asked: set[str] = set()
        self._finished_s: list[float] = []

    def see(self, file: VideoFile) -> _Seen:
        """Note a file that may be one of a video: it counts as standing still from now on, if it was not seen so before."""
        seen = self._seen.get(file.path)
        if seen is None or (seen.size_bytes, seen.modified_ns) != (file.size_bytes, file.modified_ns):
            seen = self._seen[file.path] = _Seen(file.size_bytes, file.modified_ns, self._now())
        return seen

    def is_finished(self, file: VideoFile) -> bool:
        """Whether a file that an ingest has come upon may be indexed now."""
        seen = self.see(file)
        self._asked.add(file.path)
        if not seen.passed and self._now() >= seen.since_s + self._settle_s:
            seen.passed = True
            self._finished_s.append(seen.since_s)
        return seen.passed

    def next_s(self) -> float:
        """When the next file will be finished, if it does not change; infinity where none is waited for."""
        return min((seen.since_s + self._settle_s for seen in self._seen.values() if not seen.passed), default=math.inf)

    def end_round(self) -> float | None:
        """Forget what an ingest that has ended well did not come upon although it was due: it is no video, or is known.

        Returns:
            Since when the first of the files has stood still that this round found to be finished; None if there was none.
        """
        due_s = self._now() - self._settle_s
        for path, seen in list(self._seen.items()):
            if path not in self._asked and (seen.passed or seen.since_s <= due_s):
                del self._seen[path]
        self._asked.clear()
        first_s, self._finished_s = min(self._finished_s, default=None), []
        return first_s
