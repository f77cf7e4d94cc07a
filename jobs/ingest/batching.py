"""Groups of work for one task: several files to plan, or several jobs of short videos to decode."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from pipeline.sampling import JOB_S, chains_of
from schemas.records import SpanJob, VideoFailed, VideoFile

# The most files, and bytes of them, that one task plans: as much as is decoded in a second or so.
GROUP_FILES = 16
_GROUP_BYTES = 32 << 20

# Bytes of a minute of video at 4 Mbit/s.
_MINUTE_BYTES = 30_000_000

# The longest chain that one task decodes at once. Of a longer one, each job's clips are passed on before the next one's
# are decoded.
_MAX_CHAIN = 3


class FileQueue:
    """Files that wait to be planned, ascending by size. They are taken from both ends: neither waits for the other."""

    def __init__(self, files: Iterable[VideoFile], decoders: int) -> None:
        """Small files are grouped, but into several groups for each of ``decoders``."""
        self._files = deque(sorted(files, key=lambda file: file.size_bytes))
        self._max_files = max(1, min(GROUP_FILES, len(self._files) // (4 * decoders)))

    def __len__(self) -> int:
        return len(self._files)

    def clear(self) -> None:
        """Let none be planned any more."""
        self._files.clear()

    def take(self, *, largest: bool) -> FileGroup | None:
        """The next group of the largest or of the smallest files; None once all are taken."""
        group: list[VideoFile] = []
        total = 0
        while self._files and len(group) < self._max_files:
            file = self._files[-1 if largest else 0]
            total += file.size_bytes
            if group and total > _GROUP_BYTES:
                break
            group.append(self._files.pop() if largest else self._files.popleft())
        return FileGroup(tuple(group)) if group else None


@dataclass(frozen=True, slots=True)
class FileGroup:
    """Files that one task plans."""

    files: tuple[VideoFile, ...]

    @property
    def expected_jobs(self) -> int:
        """About how many jobs they become: one for each minute, at 4 Mbit a second."""
        return sum(1 + file.size_bytes // _MINUTE_BYTES for file in self.files)


@dataclass(frozen=True, slots=True)
class JobGroup:
    """Jobs that one task decodes."""

    jobs: tuple[SpanJob, ...]


@dataclass(frozen=True, slots=True)
class JobChain:
    """Many jobs of one video that start decoding at one place: one pass over the file decodes them one after the other."""

    jobs: tuple[SpanJob, ...]


def group_jobs(
    planned: Sequence[SpanJob | VideoFailed], *, chained: bool = True
) -> Iterator[JobGroup | JobChain | VideoFailed]:
    """Group jobs for decoding: those of short videos together, up to the length that a job of a long video has.

    Jobs that start decoding at one place stay together where the decoder does them in one pass (``chained``).
    """
    yield from (item for item in planned if isinstance(item, VideoFailed))
    group: list[SpanJob] = []
    planned_jobs = [item for item in planned if isinstance(item, SpanJob)]
    for jobs in chains_of(planned_jobs) if chained else ((job,) for job in planned_jobs):
        seconds = sum(job.spans[-1].end_s - job.spans[0].start_s for job in (*group, *jobs))
        if group and seconds > JOB_S:
            yield JobGroup(tuple(group))
            group = []
        if len(jobs) > _MAX_CHAIN:
            yield JobChain(jobs)
        else:
            group += jobs
    if group:
        yield JobGroup(tuple(group))
