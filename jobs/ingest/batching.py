"""What one task sees to: several files, or several jobs of short videos."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pipeline.sampling import JOB_S, chains_of
from schemas.records import SpanJob, VideoFailed, VideoFile

# A group of files, and of decode jobs, that one task sees to: as much as is decoded in a second or so.
GROUP_FILES = 16
_GROUP_BYTES = 32 << 20

# Jobs of a chain that one task decodes; of a longer one, each job's clips are passed on before the next one's are decoded.
_MAX_OF_A_CHAIN = 3


def group_files(files: Sequence[VideoFile], decoders: int) -> list[FileGroup]:
    """Files in groups that a task plans at once: small ones together, but for every decoder several groups."""
    most = max(1, min(GROUP_FILES, len(files) // (4 * decoders)))
    groups: list[FileGroup] = []
    group: list[VideoFile] = []
    for file in files:
        if group and (len(group) >= most or sum(one.size_bytes for one in group) + file.size_bytes > _GROUP_BYTES):
            groups.append(FileGroup(tuple(group)))
            group = []
        group.append(file)
    return [*groups, FileGroup(tuple(group))] if group else groups


@dataclass(frozen=True, slots=True)
class FileGroup:
    """Files that one task plans."""

    files: tuple[VideoFile, ...]


@dataclass(frozen=True, slots=True)
class JobGroup:
    """Jobs that one task decodes."""

    jobs: tuple[SpanJob, ...]


@dataclass(frozen=True, slots=True)
class JobChain:
    """Many jobs of one video that start decoding at one place: one pass over the file does them, one after the other."""

    jobs: tuple[SpanJob, ...]


def group_jobs(
    planned: Sequence[SpanJob | VideoFailed], *, chained: bool = True
) -> Iterator[JobGroup | JobChain | VideoFailed]:
    """Jobs of short videos together, up to what a job of a long video holds.

    Jobs that start at one place stay together, where the decoder does them in one pass (``chained``).
    """
    yield from (item for item in planned if isinstance(item, VideoFailed))
    group: list[SpanJob] = []
    planned_jobs = [item for item in planned if isinstance(item, SpanJob)]
    for jobs in chains_of(planned_jobs) if chained else ((job,) for job in planned_jobs):
        seconds = sum(job.spans[-1].end_s - job.spans[0].start_s for job in (*group, *jobs))
        if group and seconds > JOB_S:
            yield JobGroup(tuple(group))
            group = []
        if len(jobs) > _MAX_OF_A_CHAIN:
            yield JobChain(jobs)
        else:
            group += jobs
    if group:
        yield JobGroup(tuple(group))
