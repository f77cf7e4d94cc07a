"""Ingest: bring a library up to date with folders of video. `ingest` is the whole way, step by step."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from index.object_store import library_folder
from index.storage.config import LibraryConfig, read_library_config
from index.storage.paths import Library
from jobs.annotate.report import AnnotateReport
from jobs.count_progress import CountProgress
from jobs.ingest.changes import Changes, compare
from jobs.ingest.commit import Committer
from jobs.ingest.find import list_files
from jobs.ingest.library_config import choose_library_config, ensure_library_config
from jobs.ingest.make_job import make_job
from jobs.ingest.pace import Pace
from jobs.ingest.profile import ProfileBuilder
from jobs.ingest.progress import Progress, show_progress
from jobs.ingest.ray_startup import KeptRay, RaySession
from jobs.ingest.report import IngestReport, Interrupted
from jobs.ingest.time_limit import TimeLimit
from jobs.ingest.trace import check_trace, write_trace
from jobs.run_events import (
    Annotated,
    AnnotationProblem,
    FilesListed,
    OnEvent,
    Published,
    WorkDone,
    WorkersStarted,
    nobody,
)
from pipeline.annotators import Annotator, own_tables
from pipeline.decoders.registry import check_decoder, load_decoder
from pipeline.models.registry import check_engine
from pipeline.shots.annotator import ShotAnnotator, detector_named
from pipeline.sources.find import Choice, PassedOver, check_sources
from pipeline.sources.paths import on_disk
from schemas.errors import JobError
from schemas.options import FeatureKind, IngestOptions, ShotDetector
from schemas.records import JobFailed, VideoFile, path_text
from schemas.text import as_texts

if TYPE_CHECKING:
    from index.storage.tables import Tables


def ingest(
    sources: str | Path | Sequence[str | Path],
    folder: str | Path,
    *,
    classifier: str | None = None,
    embedder: str | None = None,
    window_s: float | None = None,
    stride_s: float | None = None,
    features: FeatureKind | None = None,
    dim: int | None = None,
    frames: int | None = None,
    views: int | None = None,
    options: IngestOptions | None = None,
    keep_missing: bool = False,
    allow_empty: bool = False,
    retry_failed: bool = False,
    rehash: bool = False,
    include: str | Sequence[str] = (),
    exclude: str | Sequence[str] = (),
    on_progress: Callable[[Progress | CountProgress], None] | None = None,
    trace: Path | None = None,
    annotators: Sequence[Annotator] = (),
    labels_from: str | Path | None = None,
    pace: Pace | None = None,
    shots: ShotDetector | None = None,
    channels: Sequence[str] = (),
    channel_settings: Mapping[str, Mapping[str, str]] | None = None,
    text_embedder: str | None = None,
    max_hours: float | None = None,
    stop_at: str | None = None,
    is_finished: Callable[[VideoFile], bool] | None = None,
    kept_ray: KeptRay | None = None,
    on_event: OnEvent = nobody,
) -> IngestReport:
    """Bring the library in ``folder`` up to date with ``sources``, and publish the result.

    Args:
        sources: folders and video files, one or several.
        folder: the library's; made where there is none.
        classifier: hub id or folder; None takes the library's own, or the default for a new one.
        embedder: likewise.
        window_s: length of a clip in seconds; None takes the library's own, or 4 s.
        stride_s: seconds from one clip's start to the next one's; None takes the library's own, or the window.
        features: how to keep what rerank scores need; None takes the library's own, or int8 for a new one.
        dim: the number of dimensions to cut embeddings to, for embedders that were trained for it; None takes the library's
            own, or all for a new one.
        frames: frames of a clip that the classifier is shown, of a VideoMAE or a TimeSformer; None takes the library's
            own, or as many as it was trained with for a new one.
        views: parts of a clip, as long as the classifier was trained to see at once, whose labels are averaged
            (`schemas.models.Views`); None takes the library's own, or the whole clip at once for a new one.
        options: how to run.
        keep_missing: leave videos in the library whose files are gone.
        allow_empty: let a source that holds no video any more empty its part of the library.
        retry_failed: read again what could not be indexed before, or only in part.
        rehash: look for files whose content has changed under the same size and time, which reads all of them.
        include: take only files that match one of these (`pipeline.sources.find.Choice`).
        exclude: leave out files that match one of these. What the library knows already stays in it.
        on_progress: called about once a second.
        trace: where to write what each process did and when, for Perfetto.
        annotators: what to make of every clip beside labels and embeddings (`pipeline.annotators`); the same in each ingest
            into a library.
        labels_from: the folder or address of a library whose labels are kept for clips that it has too, so that only others
            are classified. Its classifier and sampling are this library's as well.
        pace: how often to write, commit and show progress.
        shots: what finds the shots that clips are cut at; None takes the library's own, or windows alone.
        channels: annotators of whole videos to turn on (`pipeline.video_annotators.ANNOTATORS`), beside the library's own.
        channel_settings: of these, by name.
        text_embedder: what embeds what is said and can be read; see `jobs.annotate.annotate.annotate`.
        max_hours: hours after which no more files are begun; those that are begun are finished, and all is published.
        stop_at: likewise, the time of day, ``HH:MM`` of this machine's clock.
        is_finished: asked of each file that is new or has changed; one of which it says no is left to a later ingest.
        kept_ray: Ray of earlier ingests, which is used, and left for later ones; None starts it and ends it.
        on_event: told of what happens (`jobs.run_events`), for logs and metrics.

    Raises:
        UsageError: a source does not exist, or an option is out of its range.
        ModelError: a model cannot be found or loaded.
        LibraryError: the library holds other models' vectors, is being written by another ingest, or cannot be written.
        JobError: the run broke off; what was finished is committed and published.
        Interrupted: somebody stopped the ingest; likewise.
    """
    from index.storage.lock import write_lock
    from jobs.annotate.annotate import run_annotators, turn_on
    from jobs.annotate.embed import choose_text_embedder, embed_texts

    profile, pace, time_limit = ProfileBuilder(), pace or Pace(), TimeLimit(max_hours, stop_at)
    sources = [sources] if isinstance(sources, str | Path) else sources
    library, sources = Library(library_folder(folder)), [on_disk(os.fspath(source)) for source in sources]
    choice, passed_over = Choice(as_texts(include), as_texts(exclude)), PassedOver()
    options = _checked_options(options or IngestOptions(), trace)
    known_config = read_library_config(library)
    check_sources(sources)
    requested = choose_library_config(
        known_config,
        classifier=classifier,
        embedder=embedder,
        window_s=window_s,
        stride_s=stride_s,
        features=features,
        dim=dim,
        frames=frames,
        views=views,
        annotators=annotators,
        labels_from=labels_from,
        shots=shots,
    )
    check_engine(options.engine, requested.classifier, requested.embedder)
    kept = None if labels_from is None else Library(library_folder(labels_from)).address
    if requested.sampling.shots != "none" and options.address is None:
        ShotAnnotator(detector_named(requested.sampling.shots)).load()  # better said now than for every video
    of_job = partial(make_job, library, requested, options, pace, annotators, kept)
    kept_session = RaySession(of_job) if kept_ray is None else kept_ray.session(lambda: RaySession(of_job))
    unfinished: Counter[int] = Counter()
    with write_lock(library), kept_session as session:
        config = ensure_library_config(library, requested)
        config, video_annotators = turn_on(library, config, [*config.channels, *channels], channel_settings or {})
        tables = _open_tables(library, config, annotators)
        config = choose_text_embedder(library, tables, config, text_embedder)
        known_videos = tables.known_videos()
        with profile.timed("find", cpu=time.thread_time) as timing:
            files = list_files(
                sources,
                choice,
                known_videos,
                rehash=rehash,
                passed_over=passed_over,
                on_new=session.begin,
                is_finished=is_finished,
                unfinished=unfinished,
            )
            timing.count = len(files)
        changes = compare(
            files,
            known_videos,
            sources,
            no_videos=passed_over.no_videos,
            allow_empty=allow_empty or keep_missing,
            retry_failed=retry_failed,
            rehash=rehash,
            track=options.track,
        )
        if keep_missing:
            changes.removed.clear()
        changes.removed = _without_sizes(changes.removed, unfinished, known_videos)
        report = _begin_report(len(files), changes, passed_over)
        report.unfinished = unfinished.total()
        on_event(_listed(report, changes, timing.seconds))
        with _published(library, tables, config, report, profile, trace, on_event):
            _apply_without_decoding(changes, tables)
            committer = Committer(tables, changes, report, profile, pace.commit_every_s, on_event)
            if changes.to_do and not time_limit.is_up():
                _index_videos(library, session, changes, committer, profile, pace, time_limit, on_progress, on_event)
            elif changes.unreadable:
                committer.commit()
            committer.commit_copies()
            tables.merge_small_files()
            if video_annotators:
                report.annotated = AnnotateReport()
                if session.has_begun:
                    session.ready()
                run_annotators(
                    tables,
                    video_annotators,
                    report.annotated,
                    options=options,
                    only_new=True,
                    retry_failed=retry_failed,
                    on_progress=on_progress,
                    is_time_up=time_limit.is_up,
                )
                _tell_of_annotators(report.annotated, on_event)
                embed_texts(tables, config, report.annotated, on_progress=on_progress)
            report.time_is_up = time_limit.is_up() and bool(report.not_done or (report.annotated and report.annotated.left))
    return report


def _without_sizes(video_ids: list[str], sizes: Mapping[int, int], known_videos: pa.Table) -> list[str]:
    """The videos that no unfinished file can be, by its size: such a file may be one that is gone, on its way elsewhere."""
    if not video_ids or not sizes:
        return video_ids
    may_be = known_videos["video_id"].filter(pc.is_in(known_videos["size_bytes"], value_set=pa.array(sizes, pa.int64())))
    kept = set(may_be.to_pylist())
    return [video_id for video_id in video_ids if video_id not in kept]


def _checked_options(options: IngestOptions, trace: Path | None) -> IngestOptions:
    """The options, once it is sure that the decoder can run and the trace can be written.

    Raises:
        UsageError: one of them cannot.
    """
    (load_decoder if options.address is None else check_decoder)(options.decoder)
    if trace is None:
        return options
    check_trace(trace)
    return replace(options, trace=True)


def _open_tables(library: Library, config: LibraryConfig, annotators: Sequence[Annotator]) -> Tables:
    """Open the tables for writing, and see that tags.json can be read: better now than after hours of work.

    Raises:
        LibraryError: the tables cannot be opened, or tags.json is damaged.
    """
    from index.storage.tables import Tables
    from index.storage.tag_scores import checked_definitions

    tables = Tables(library, features=config.features != "none", new_annotators=own_tables(annotators))
    checked_definitions(library, config)
    return tables


def _begin_report(num_files: int, changes: Changes, passed_over: PassedOver) -> IngestReport:
    """The report as far as it is known before anything is decoded."""
    return IngestReport(
        found=num_files,
        unchanged=changes.unchanged,
        moved=len(changes.moved),
        removed=len(changes.removed),
        passed_over=dict(passed_over.endings.most_common()),
        left_out=passed_over.folders,
    )


def _listed(report: IngestReport, changes: Changes, seconds: float) -> FilesListed:
    return FilesListed(
        found=report.found,
        unchanged=report.unchanged,
        moved=report.moved,
        removed=report.removed,
        to_do=len(changes.to_do),
        unsettled=report.unfinished,
        seconds=seconds,
    )


def _tell_of_annotators(report: AnnotateReport, on_event: OnEvent) -> None:
    for path, annotator, reason in report.failures:
        on_event(AnnotationProblem(path=path_text(path), annotator=annotator, error=reason))
    for name, counts in report.annotators.items():
        if counts.done or counts.partial or counts.failed:
            on_event(
                Annotated(
                    annotator=name,
                    done=counts.done,
                    partial=counts.partial,
                    failed=counts.failed,
                    rows=counts.rows,
                    video_seconds=counts.video_seconds,
                    seconds=counts.busy_seconds,
                )
            )


def _apply_without_decoding(changes: Changes, tables: Tables) -> None:
    """Take out removed videos, give moved ones their new paths, and delete clips that no video owns."""
    tables.remove_videos(changes.removed)
    tables.move_videos(changes.moved | changes.touched)
    tables.drop_orphans()


def _index_videos(
    library: Library,
    session: RaySession,
    changes: Changes,
    committer: Committer,
    profile: ProfileBuilder,
    pace: Pace,
    time_limit: TimeLimit,
    on_progress: Callable[[Progress], None] | None,
    on_event: OnEvent = nobody,
) -> None:
    """Decode and annotate the files to do, until the time is up; commit videos as they finish, also when the run breaks off.

    Raises:
        ModelError: a model cannot be loaded.
        JobError: the run broke off.
    """
    from index.storage.running_ingest import write_running_ingest

    run = session.ready()
    profile.begin_run(run, session.start)
    if session.start.seconds:  # else they were there already
        on_event(WorkersStarted(seconds=session.start.seconds))
    began = time.monotonic()
    timeout_s: float | None = pace.summary_timeout_s

    def read_progress() -> Progress:
        elapsed_s = time.monotonic() - began
        return Progress(committer.num_finished, committer.num_videos, elapsed_s, run.stats(), run.queues())

    def keep_and_show(progress: Progress) -> None:
        write_running_ingest(library, progress.kept())
        if on_progress is not None:
            on_progress(progress)

    try:
        with show_progress(read_progress, keep_and_show, pace.show_every_s):
            for outcome in run.outcomes(changes.to_do, changes.taken, time_limit.is_up):
                if isinstance(outcome, JobFailed):
                    raise JobError(f"{outcome.reason}; what was finished is kept, run the same command again to go on")
                if outcome is not None:
                    committer.add(outcome)
                committer.commit_if_due()
            # After a run that was cut short, files of which nothing came back are left to the next one.
            committer.close([] if time_limit.is_up() else changes.to_do, run.lost())
        timeout_s = None
    finally:
        library.progress_file.unlink(missing_ok=True)
        committer.commit()
        if (stats := profile.end_run(run, timeout_s)) is not None:
            on_event(WorkDone(stats=stats))


@contextmanager
def _published(
    library: Library,
    tables: Tables,
    config: LibraryConfig,
    report: IngestReport,
    profile: ProfileBuilder,
    trace: Path | None,
    on_event: OnEvent,
) -> Iterator[None]:
    """Publish what the block has committed, also when it fails, and complete the report.

    Raises:
        Interrupted: the block was interrupted.
    """
    from index.search.text_encoder import text_vectors_of
    from index.snapshot.publish import publish_tables

    try:
        yield
    except KeyboardInterrupt as exc:
        raise Interrupted(report) from exc
    finally:
        with profile.timed("publish") as timing:
            number = publish_tables(library, tables, config, report.changes(), embed_texts=text_vectors_of(config))
            timing.count = report.clips
        if number is not None:
            on_event(Published(snapshot=number, clips=report.clips, seconds=timing.seconds))
        report.bottleneck = profile.bottleneck
        report.profile = profile.profile(report.video_seconds)
        report.wall_seconds = profile.wall_s
        if trace is not None:
            write_trace(trace, profile.timings)
