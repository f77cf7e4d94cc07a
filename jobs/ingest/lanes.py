"""Two lanes of planned work, from the largest and from the smallest of a run's files."""

from __future__ import annotations

from bisect import insort
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from jobs.ingest.batching import FileGroup, JobChain, JobGroup

# Groups of jobs that are planned before there is a decoder for them, for each decoder, in each lane.
_PLANNED_AHEAD = 2

# Jobs that may wait in a lane, whatever they are of: each takes some 20 KB of the driver's memory.
_MAX_WAITING_JOBS = 10_000


@dataclass(frozen=True, slots=True)
class StartedChain:
    """A chain that an actor decodes.

    Attributes:
        chain: its jobs.
        actor: a `ChainActor`.
        number: the job to decode next.
    """

    chain: JobChain
    actor: Any
    number: int = 0


Planned = JobGroup | JobChain | StartedChain


class Lane:
    """What is planned from one end of the files, and not yet decoded: first what has begun, then what has the least left.

    Nothing more is planned while a film waits to begin, so it waits for few others.

    Attributes:
        largest: whether it is the end of the largest.
        num_waiting: jobs, and groups of them, that wait.
    """

    def __init__(self, *, largest: bool) -> None:
        self.largest = largest
        self.num_waiting = self._num_planning = self._num_expected = 0
        self._waiting: list[deque[Planned]] = []
        self._num_begun = 0  # the first of them
        self._begun: frozenset[str] = frozenset()  # ids of the videos that were taken last

    def __bool__(self) -> bool:
        """Whether something waits, or will."""
        return bool(self._waiting or self._num_planning)

    def has_room(self, decoders: int) -> bool:
        """Whether another group of files should be planned."""
        is_short = self.num_waiting + self._num_planning < _PLANNED_AHEAD * decoders
        return is_short and self.num_waiting + self._num_expected < _MAX_WAITING_JOBS

    def expect(self, group: FileGroup) -> None:
        """A group of files is being planned."""
        self._num_planning, self._num_expected = self._num_planning + 1, self._num_expected + group.expected_jobs

    def add(self, group: FileGroup, planned: Sequence[Planned]) -> None:
        """It is planned, and became this."""
        self._num_planning, self._num_expected = self._num_planning - 1, self._num_expected - group.expected_jobs
        if planned:
            insort(self._waiting, deque(planned), lo=self._num_begun, key=_num_left)
            self.num_waiting += _num_left(planned)

    def put_back(self, started: StartedChain) -> None:
        """A chain that has begun goes on before all else, since its actor holds a CPU."""
        self._waiting.insert(0, deque([started]))
        self._num_begun += 1
        self.num_waiting += _num_calls(started)

    def take(self) -> Planned:
        """What is next."""
        first = self._waiting[0]
        planned = first.popleft()
        if not isinstance(planned, StartedChain):
            self._begun = frozenset(job.video.video_id for job in planned.jobs)
        self.num_waiting -= _num_calls(planned)
        self._num_begun = max(1, self._num_begun)
        if not first:
            del self._waiting[0]
            self._num_begun -= 1
        return planned

    def drop_what_has_not_begun(self) -> None:
        """Forget the jobs of videos of which none was taken.

        A video's jobs come in a row, so of those that were begun only the last taken can have others that wait, but for
        chains.
        """
        self._waiting = [kept for waiting in self._waiting if (kept := deque(self._of_begun(waiting)))]
        self._num_begun, self.num_waiting = len(self._waiting), sum(map(_num_left, self._waiting))

    def _of_begun(self, waiting: Iterable[Planned]) -> Iterator[Planned]:
        for planned in waiting:
            if isinstance(planned, StartedChain):
                yield planned
            elif jobs := tuple(job for job in planned.jobs if job.video.video_id in self._begun):
                yield replace(planned, jobs=jobs)


def _num_left(planned: Iterable[Planned]) -> int:
    """How many times a decoder will be needed for it."""
    return sum(map(_num_calls, planned))


def _num_calls(item: Planned) -> int:
    if isinstance(item, JobGroup):
        return 1
    return len(item.jobs) if isinstance(item, JobChain) else len(item.chain.jobs) - item.number
