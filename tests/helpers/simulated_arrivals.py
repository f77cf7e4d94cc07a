"""A clock for a watch whose waiting takes no time, and at which files arrive by a plan."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence

# What happens at a time, and the paths that the system would give notice of.
Happening = Callable[[], Iterable[object]]


class SimulatedArrivals:
    """Goes from one happening of a plan to the next, and ends by an interruption.

    Attributes:
        followed: the folders that the watch asked to follow last.
    """

    def __init__(
        self, plan: Sequence[tuple[float, Happening]], until_s: float, *, notices: bool = True, counts_work: bool = False
    ) -> None:
        """Begin at 0.

        Args:
            plan: what happens at which second.
            until_s: when the watch is interrupted.
            notices: whether the system says what has changed.
            counts_work: let the clock go on while the watch works, too.
        """
        self._plan, self._until_s, self._notices = sorted(plan, key=lambda item: item[0]), until_s, notices
        self._skipped_s, self._counts_work, self._began_s = 0.0, counts_work, time.monotonic()
        self.followed: list[str] = []

    def now(self) -> float:
        return self._skipped_s + (time.monotonic() - self._began_s if self._counts_work else 0.0)

    def wait(self, timeout_s: float) -> set[str]:
        now_s = self.now()
        end_s = now_s + timeout_s
        if self._plan and self._plan[0][0] <= end_s:
            at_s, happen = self._plan.pop(0)
            self._skipped_s += max(0.0, at_s - now_s)
            paths = {str(path) for path in happen()}
            return paths if self._notices else set()
        if end_s > self._until_s:
            raise KeyboardInterrupt
        self._skipped_s += timeout_s
        return set()

    def follow(self, sources: Sequence[str]) -> None:
        self.followed = list(sources)
