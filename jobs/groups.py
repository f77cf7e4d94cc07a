"""What one task sees to: several files, or several jobs of short videos."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pipeline.sample import JOB_S
from schemas.records import SpanJob, VideoFailed, VideoFile

# A group of files, and of decode jobs, that one task sees to: as much as is decoded in a second or so.
GROUP_FILES = 16
_GROUP_BYTES = 32 << 20


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


def group_jobs(planned: Sequence[SpanJob | VideoFailed]) -> Iterator[JobGroup | VideoFailed]:
    """Jobs of short videos together, up to what a job of a long video holds."""
    group: list[SpanJob] = []
    for item in planned:
        if isinstance(item, VideoFailed):
            yield item
            continue
        seconds = sum(job.spans[-1].end_s - job.spans[0].start_s for job in (*group, item))
        if group and seconds > JOB_S:
            yield JobGroup(tuple(group))
            group = []
        group.append(item)
    if group:
        yield JobGroup(tuple(group))
