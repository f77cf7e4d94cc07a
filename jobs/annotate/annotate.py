"""Annotate: let annotators of whole videos read the videos of a library that they have not read, and publish their rows."""

from __future__ import annotations

import os
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from index.object_store import library_folder
from index.search.text_encoder import text_vectors_of
from index.snapshot.publish import publish_tables
from index.storage.config import ChannelConfig, LibraryConfig, write_library_config
from index.storage.lock import open_for_writing
from index.storage.paths import Library
from index.storage.tables import Tables
from jobs.annotate.embed import choose_text_embedder, embed_texts
from jobs.annotate.report import AnnotateReport, AnnotatorReport
from jobs.annotate.work import Annotated, Task
from jobs.count_progress import CountProgress
from pipeline.sources.paths import path_behind
from pipeline.video_annotators import VideoAnnotator, make_annotator
from schemas.channels import ANNOTATIONS, channel_table
from schemas.errors import UsageError
from schemas.options import IngestOptions
from schemas.records import VideoInfo
from schemas.tables import VIDEOS, video_rows_of
from schemas.text import as_texts

_COMMIT_EVERY_S = 10.0


OnProgress = Callable[[CountProgress], None]


def on_ray(
    tasks: Sequence[Task], options: IngestOptions, is_time_up: Callable[[], bool] = lambda: False
) -> Iterator[Annotated | None]:
    """What becomes of each task; see `jobs.annotate.ray_tasks.on_ray`. Ray is imported where there is something to do."""
    from jobs.annotate.ray_tasks import on_ray as run

    return run(tasks, options, is_time_up)


def annotate(
    folder: str | os.PathLike[str],
    channels: str | Sequence[str] = (),
    *,
    settings: Mapping[str, Mapping[str, str]] | None = None,
    text_embedder: str | None = None,
    options: IngestOptions | None = None,
    retry_failed: bool = False,
    on_progress: OnProgress | None = None,
) -> AnnotateReport:
    """Let annotators read the videos of a library that they have not read, also in later ingests.

    An interruption ends it early; what was finished is committed and published, and the report says so.

    Args:
        folder: the library's.
        channels: names of annotators (`pipeline.video_annotators.ANNOTATORS`), one or several; none takes those that the
            library has.
        settings: of the annotators, by name; one that is not there keeps the library's.
        text_embedder: hub id or folder of a sentence encoder, which embeds what is said and can be read, also in later
            ingests; ``none`` takes the library's out with its vectors, None keeps it.
        options: how to run.
        retry_failed: read videos again that could not be read.
        on_progress: called about every second.

    Raises:
        UsageError: there is no such annotator or setting, or none is named and the library has none.
        ModelError: a model cannot be found or loaded.
        LibraryError: there is no library, it is being written by another job, or it cannot be written.
        JobError: the run broke off; what was finished is committed and published.
    """
    channels = as_texts(channels)
    with open_for_writing(library_folder(folder)) as (library, config, tables):
        if not channels and not config.channels:
            raise UsageError("this library has none yet; name some, such as: shots subtitles", argument="channels")
        config, annotators = turn_on(library, config, channels or list(config.channels), settings or {})
        config = choose_text_embedder(library, tables, config, text_embedder)
        report = AnnotateReport()
        tables.drop_orphans()
        try:
            run_annotators(tables, annotators, report, options=options, retry_failed=retry_failed, on_progress=on_progress)
            embed_texts(tables, config, report, on_progress=on_progress)
        except KeyboardInterrupt:
            report.interrupted = True
        finally:
            publish_tables(library, tables, config, report.changes(), embed_texts=text_vectors_of(config))
    return report


def turn_on(
    library: Library, config: LibraryConfig, names: Sequence[str], settings: Mapping[str, Mapping[str, str]]
) -> tuple[LibraryConfig, list[VideoAnnotator]]:
    """Make annotators, and enter them into library.json, so that ingests run them.

    Raises:
        UsageError: there is no such annotator or setting.
        ModelError: a model cannot be found.
    """
    channels, annotators = dict(config.channels), []
    for name in dict.fromkeys(names):
        known = channels[name].settings if name in channels else {}
        chosen = {**known, **settings.get(name, {})}
        annotators.append(make_annotator(name, chosen))
        channels[name] = ChannelConfig(annotators[-1].version, chosen)
    changed = replace(config, channels=channels)
    if changed != config:
        write_library_config(library, changed)
    return changed, annotators


def take_out(folder: Path, names: Sequence[str]) -> dict[str, int]:
    """Take annotators and their rows out of a library, and return how many videos each had read.

    Raises:
        UsageError: the library has no such annotator.
        LibraryError: there is no library, or it cannot be written.
    """
    with open_for_writing(folder) as (library, config, tables):
        if missing := [name for name in names if name not in config.channels]:
            has = ", ".join(config.channels) or "none"
            raise UsageError(f"the library has no such annotator; it has {has}", argument="channels", value=missing[0])
        changed = replace(config, channels={name: of for name, of in config.channels.items() if name not in names})
        removed = {name: tables.channels.remove(name) for name in dict.fromkeys(names)}
        write_library_config(library, changed)
        publish_tables(library, tables, changed, {f"{name}_removed": count for name, count in removed.items()})
        return removed


def run_annotators(
    tables: Tables,
    annotators: Sequence[VideoAnnotator],
    report: AnnotateReport,
    *,
    options: IngestOptions | None = None,
    only_new: bool = False,
    retry_failed: bool = False,
    on_progress: OnProgress | None = None,
    is_time_up: Callable[[], bool] = lambda: False,
) -> None:
    """Let annotators read videos, and commit their rows as they come. Nothing is published.

    Args:
        tables: the library's, opened for writing.
        annotators: in the order in which they run.
        report: is completed.
        options: how to run.
        only_new: leave videos that another version of the annotator has read.
        retry_failed: read videos again that could not be read.
        on_progress: called about every second.
        is_time_up: once it says so, no more videos are begun.

    Raises:
        ModelError: a model cannot be loaded.
        JobError: the run broke off; what was finished is committed.
    """
    began = time.monotonic()
    options = options or IngestOptions()
    tables.channels.create({annotator.table for annotator in annotators})
    videos = tables.read_videos(VIDEOS.names)
    readable = videos.filter(pc.is_in(videos["status"], value_set=pa.array(["indexed", "partial"])))
    tasks: list[Task] = []
    for annotator in annotators:
        counts = report.annotators.setdefault(annotator.name, AnnotatorReport())
        pending = list(_pending(tables, readable, annotator, options, only_new=only_new, retry_failed=retry_failed))
        counts.unchanged = len(readable) - len(pending)
        tasks += sorted(pending, key=lambda task: -(task.video.duration_s or 0.0))
    committer = _Committer(tables, report)
    done = 0
    left = Counter(task.annotator.name for task in tasks)
    try:
        for annotated in on_ray(tasks, options, is_time_up) if tasks and not is_time_up() else ():
            if annotated is not None:
                done += 1
                left[annotated.task.annotator.name] -= 1
                committer.add(annotated)
            committer.commit_if_due()
            if on_progress is not None:
                on_progress(CountProgress(done, len(tasks), time.monotonic() - began, "videos annotated"))
        report.left = dict(+left)
    finally:
        committer.commit()
        tables.merge_small_files()
        report.wall_seconds += time.monotonic() - began


def _pending(
    tables: Tables,
    readable: pa.Table,
    annotator: VideoAnnotator,
    options: IngestOptions,
    *,
    only_new: bool,
    retry_failed: bool,
) -> Iterator[Task]:
    """The videos among ``readable``, rows of ``videos``, that an annotator is to read."""
    known = tables.channels.read_annotations(["video_id", "annotator", "version", "state", "status"])
    known = known.filter(pc.equal(known["annotator"], annotator.name))
    before = {row["video_id"]: row for row in known.to_pylist()}
    for video in _videos(readable):
        state, row = annotator.state(video.file.path), before.get(video.video_id)
        is_done = row is not None and row["state"] == state and (only_new or row["version"] == annotator.version)
        if not is_done or (retry_failed and row is not None and row["status"] != "done"):
            yield Task(annotator, video, state, options.video_timeout_s, options.max_memory_mb)


def _videos(rows: pa.Table) -> Iterator[VideoInfo]:
    """Rows of ``videos`` as records, with paths that can be opened."""
    for batch in rows.to_batches(max_chunksize=1024):
        for row in video_rows_of(pa.table(batch)):
            yield replace(row.video, file=replace(row.video.file, path=path_behind(row.video.file.path)))


class _Committer:
    """Commits what annotators finish, and enters it into the report."""

    def __init__(self, tables: Tables, report: AnnotateReport) -> None:
        self._tables, self._report = tables, report
        self._finished: list[Annotated] = []
        self._committed_s = time.monotonic()

    def add(self, annotated: Annotated) -> None:
        """Take what became of a task."""
        task, counts = annotated.task, self._report.annotators[annotated.task.annotator.name]
        self._finished.append(annotated)
        setattr(counts, annotated.status, getattr(counts, annotated.status) + 1)
        counts.rows += len(annotated.entries)
        counts.video_seconds += task.video.duration_s or 0.0
        counts.busy_seconds += annotated.wall_s
        if annotated.error is not None:
            self._report.failures.append((task.video.file.path, task.annotator.name, annotated.error))

    def commit_if_due(self) -> None:
        """Commit, if the last time was a while ago."""
        if time.monotonic() - self._committed_s >= _COMMIT_EVERY_S:
            self.commit()

    def commit(self) -> None:
        """Commit what has been added since the last time."""
        self._committed_s = time.monotonic()
        if not self._finished:
            return
        rows: dict[str, list[pa.Table]] = defaultdict(list)
        annotations = []
        for annotated in self._finished:
            task = annotated.task
            annotation_id = uuid.uuid4().hex[:16]
            if annotated.entries:
                table = channel_table(task.annotator.table, annotation_id, task.video.video_id, annotated.entries)
                rows[task.annotator.table].append(table)
            annotations.append(
                {
                    "annotation_id": annotation_id,
                    "video_id": task.video.video_id,
                    "annotator": task.annotator.name,
                    "version": task.annotator.version,
                    "state": task.state,
                    "status": annotated.status,
                    "error": annotated.error,
                    "num_rows": len(annotated.entries),
                    "wall_s": annotated.wall_s,
                    "annotated_at": datetime.now(UTC),
                }
            )
        self._tables.channels.commit(rows, pa.Table.from_pylist(annotations, schema=ANNOTATIONS))
        self._tables.push()
        self._finished = []
