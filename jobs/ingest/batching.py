"""Groups of work for one task: several files to plan, or several jobs of short videos to decode."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pipeline.sampling import JOB_S, chains_of
from schemas.records import SpanJob, VideoFailed, VideoFile

# The most files, and bytes of them, that one task plans: as much as is decoded in a second or so.
GROUP_FILES = 16
_GROUP_BYTES = 32 << 20

# The longest chain that one task decodes at once. Of a longer one, each job's clips are passed on before the next one's
# are decoded.
_MAX_CHAIN = 3


def group_files(files: Sequence[VideoFile], decoders: int) -> list[FileGroup]:
    """Group files for planning: small ones together, but several groups for each of ``decoders``."""
    max_files = max(1, min(GROUP_FILES, len(files) // (4 * decoders)))
    groups: list[FileGroup] = []
    group: list[VideoFile] = []
    for file in files:
        if group and (len(group) >= max_files or sum(other.size_bytes for other in group) + file.size_bytes > _GROUP_BYTES):
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
