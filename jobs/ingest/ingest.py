"""Ingest: bring a library up to date with folders of video."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from index.storage.config import LibraryConfig, read_library_config
from index.storage.paths import Library
from jobs.ingest.changes import Changes, compare
from jobs.ingest.ledger import VideoLedger
from jobs.ingest.library_config import ensure_library_config, identify, sampling_of
from jobs.ingest.profile import RunProfile, bottleneck, make_profile
from jobs.ingest.progress import Progress
from jobs.ingest.ray_startup import RaySession
from jobs.ingest.report import IngestReport, Interrupted
from jobs.ingest.resources import ResourcePlan
from jobs.ingest.steps import Job
from jobs.ingest.timing import RunStats, StageTiming, core_seconds, timed
from jobs.ingest.trace import check_trace, write_trace
from pipeline.decoders.registry import check_decoder, load_decoder
from pipeline.models.checkpoint import locate
from pipeline.models.preprocessing import read_preprocessing
from pipeline.models.registry import check_engine
from pipeline.sampling import distinct_inputs
from pipeline.sources.find import Choice, PassedOver, check_sources, find_videos
from pipeline.sources.paths import on_disk
from schemas.errors import JobError
from schemas.options import FeatureKind, IngestOptions
from schemas.records import JobFailed, VideoFailed, VideoFile, VideoInfo, VideoRow, Written, path_text, video_id_of

if TYPE_CHECKING:
    from index.storage.tables import Tables
    from jobs.ingest.ray_run import RayRun

# How often finished videos are committed, and progress is shown.
_COMMIT_EVERY_S = 10.0
_SHOW_EVERY_S = 1.0

# How long a run that was broken off is asked what it did.
_PATIENCE_S = 10.0


def ingest(
    sources: Sequence[str | Path],
    folder: Path,
    *,
    classifier: str | None = None,
    embedder: str | None = None,
    window_s: float | None = None,
    stride_s: float | None = None,
    features: FeatureKind | None = None,
    options: IngestOptions | None = None,
    keep_missing: bool = False,
    allow_empty: bool = False,
    retry_failed: bool = False,
    rehash: bool = False,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    on_progress: Callable[[Progress], None] | None = None,
    trace: Path | None = None,
) -> IngestReport:
    """Bring the library in ``folder`` up to date with ``sources``, and publish the result.

    Args:
        sources: folders and video files.
        folder: the library's; made where there is none.
        classifier: hub id or folder; None takes the library's own, or the default for a new one.
        embedder: likewise.
        window_s: length of a clip; None takes the library's own, or 4 s.
        stride_s: from one clip's start to the next one's; None takes the library's own, or the window.
        features: how to keep what the embedder's exact score needs; None takes the library's own, or int8 for a new one.
        options: how to run.
        keep_missing: leave videos in the library whose files are gone.
        allow_empty: let a source that holds no video any more empty its part of the library.
        retry_failed: read again what could not be indexed before, or not whole.
        rehash: look for files whose content has changed under the same size and time, which reads all of them.
        include: only files that match one of these (`pipeline.sources.find.Choice`).
        exclude: and none that match one of these. What the library knows already stays in it.
        on_progress: called about once a second.
        trace: where to write what each process did and when, for Perfetto.

    Raises:
        UsageError: a source does not exist, or an option is out of its range.
        ModelError: a model cannot be found or loaded.
        LibraryError: the library holds other models' vectors, is being written by another ingest, or cannot be written.
        JobError: the run broke off; what was finished is committed and published.
        Interrupted: likewise, since somebody wanted it to.
    """
    from index.snapshot.publish import publish_tables
    from index.storage.lock import write_lock
    from index.storage.tables import Tables
    from index.storage.tag_scores import checked_definitions

    began, run = time.monotonic(), _Run()
    choice, passed = Choice(tuple(include), tuple(exclude)), PassedOver()
    options = options or IngestOptions()
    sources = [on_disk(os.fspath(source)) for source in sources]
    (load_decoder if options.address is None else check_decoder)(options.decoder)
    if trace is not None:
        check_trace(trace)
        options = replace(options, trace=True)
    library = Library(folder)
    identity = read_library_config(library)
    sampling = sampling_of(identity, window_s, stride_s)
    check_sources(sources)
    given = identity
    if given is None or classifier or embedder or sampling != given.sampling or features not in (None, given.features):
        given = identify(identity, classifier, embedder, sampling, features)
    with write_lock(library), RaySession(partial(_job, library, given, options)) as session:
        identity = ensure_library_config(library, given)
        tables = Tables(library, features=identity.features != "none")
        checked_definitions(library, identity)  # if they are damaged, that is better said now than after hours of work
        known_videos = tables.known_videos()
        known_sizes = set(known_videos["size_bytes"].to_pylist())
        is_known = _recogniser(known_videos) if not rehash else lambda file: False
        with timed("find", cpu=time.thread_time) as work:
            found = []
            for item in find_videos(sources, choice=choice, is_known=is_known, passed=passed):
                found.append(item)
                if isinstance(item, VideoFile) and item.size_bytes not in known_sizes:  # neither known nor moved: it is new
                    session.begin()
            work.count = len(found)
        run.own.append(work)
        changes = compare(
            found,
            known_videos,
            sources,
            no_videos=passed.no_videos,
            allow_empty=allow_empty or keep_missing,
            retry_failed=retry_failed,
            rehash=rehash,
            track=options.track,
        )
        if keep_missing:
            changes.removed.clear()
        report = IngestReport(
            found=len(found),
            unchanged=changes.unchanged,
            moved=len(changes.moved),
            removed=len(changes.removed),
            passed_over=dict(passed.endings.most_common()),
            left_out=passed.folders,
        )
        try:
            _apply(changes, tables)
            if changes.to_do or changes.unreadable or changes.copies:
                _run(session, changes, tables, report, run, on_progress)
        except KeyboardInterrupt as exc:
            raise Interrupted(report) from exc
        finally:
            with timed("publish") as work:
                publish_tables(library, tables, identity, report.changes())
            work.count = report.clips
            run.own.append(work)
            report.bill = run.bill(report)
            report.wall_seconds = time.monotonic() - began
            if trace is not None:
                write_trace(trace, [*run.own, *run.works])
    return report


def _recogniser(known: pa.Table) -> Callable[[VideoFile], bool]:
    """What says of a file whether something was indexed of it, and its size and time are as they were."""
    read = known.filter(pc.not_equal(known["status"], "failed"))
    stamps = set(zip(*(read[name].to_pylist() for name in ("path", "size_bytes", "modified_ns")), strict=True))
    return lambda file: (path_text(file.path), file.size_bytes, file.modified_ns) in stamps


@dataclass(slots=True)
class _Run:
    """What is to be told of a run afterwards.

    Attributes:
        began_s: when it began, in seconds since the epoch.
        tally: what the workers did.
        shape: how it was laid out; None where nothing ran.
        own: what this process did.
        works: what each worker did, for a trace.
        cores: what `core_seconds` said when the stages began; None where they run on a cluster.
        idle_share: of this machine's cores while they ran.
    """

    began_s: float = field(default_factory=time.time)
    tally: RunStats = field(default_factory=RunStats)
    shape: ResourcePlan | None = None
    own: list[StageTiming] = field(default_factory=list)
    works: list[StageTiming] = field(default_factory=list)
    cores: tuple[float, float] | None = None
    idle_share: float | None = None

    @property
    def bottleneck(self) -> str | None:
        """The stage of the workers that held it up."""
        return bottleneck(self.tally, self.shape) if self.shape else None

    def ended(self, run: RayRun, patience_s: float | None) -> None:
        """Ask the workers for what they did; if Ray has gone, nobody knows."""
        told = run.told(patience_s)
        if told is None:
            return
        self.tally, self.shape, self.works = told
        if self.cores and (now := core_seconds()) and now[1] > self.cores[1]:
            self.idle_share = (now[0] - self.cores[0]) / (now[1] - self.cores[1])

    def bill(self, report: IngestReport) -> RunProfile | None:
        """What it all cost."""
        if self.shape is None:
            return None
        return make_profile(
            self.shape,
            self.tally,
            self.own,
            bound_by=self.bottleneck,
            began_s=self.began_s,
            video_s=report.video_seconds,
            idle_share=self.idle_share,
        )


def _job(library: Library, given: LibraryConfig, options: IngestOptions) -> Job:
    """What workers need to know, after making sure that the models are still those the library was made with."""
    known = read_library_config(library) or given
    where = given.classifier.folder if given.classifier != known.classifier else None
    classifier = locate(known.classifier, "--classifier", where)
    where = given.embedder.folder if given.embedder != known.embedder else None
    embedder = locate(known.embedder, "--embedder", where)
    check_engine(options.engine, classifier, embedder)
    inputs = [
        read_preprocessing(classifier, "--classifier").input,
        read_preprocessing(embedder, "--embedder").input,
    ]
    return Job(
        classifier,
        embedder,
        known.sampling,
        distinct_inputs(inputs),
        library.clips.absolute(),
        options,
        features=known.features,
        features_folder=None if known.features == "none" else library.features.absolute(),
    )


def _apply(changes: Changes, tables: Tables) -> None:
    """Enter what needs no decoding."""
    tables.remove_videos(changes.removed)
    tables.move_videos(changes.moved)
    tables.drop_orphans()


def _run(
    session: RaySession,
    changes: Changes,
    tables: Tables,
    report: IngestReport,
    told: _Run,
    on_progress: Callable[[Progress], None] | None,
) -> None:
    """Decode and annotate what is new, committing videos as they finish."""
    accounts = VideoLedger([*changes.to_do, *(file for file, _ in changes.unreadable)], changes.taken)
    for file, error in changes.unreadable:
        accounts.add(VideoFailed(VideoInfo(video_id_of(None, file.path, changes.taken), file), error.stage, error.reason))
    files: list[Written] = []

    done: dict[str, VideoRow] = {}

    def commit() -> None:
        rows = accounts.take_finished()
        done.update((row.video.file.path, row) for row in rows)
        with timed("commit") as work:
            tables.commit_clips(files)
            files.clear()
            tables.commit_videos(rows, replace_paths=changes.replacing)
        work.count = len(rows)
        told.own.append(work)
        report.count(rows)

    if not changes.to_do:
        commit()
        _commit_copies(changes, tables, report, done, changes.taken)
        return
    run = session.ready()
    told.own.append(session.start)
    told.cores = core_seconds() if run.is_here else None
    began = committed = time.monotonic()
    patience_s: float | None = _PATIENCE_S

    def progress() -> Progress:
        return Progress(accounts.num_finished, accounts.num_files, time.monotonic() - began, run.tally())

    try:
        with _shown(progress, on_progress):
            for outcome in run.outcomes(changes.to_do, changes.taken):
                if isinstance(outcome, JobFailed):
                    raise JobError(f"{outcome.reason}; what was finished is kept, run the same command again to go on")
                if isinstance(outcome, Written):
                    files.append(outcome)
                if outcome is not None:
                    accounts.add(outcome)
                if time.monotonic() - committed > _COMMIT_EVERY_S:
                    commit()
                    committed = time.monotonic()
            accounts.close(changes.to_do, run.lost())
        patience_s = None
    finally:
        commit()
        told.ended(run, patience_s)
        report.bottleneck = told.bottleneck
    _commit_copies(changes, tables, report, done, changes.taken)


def _commit_copies(
    changes: Changes, tables: Tables, report: IngestReport, done: dict[str, VideoRow], taken: Collection[str]
) -> None:
    """Enter the files whose content another file has: the same clips under ids of their own, and nothing decoded."""
    if not changes.copies:
        return
    known = tables.video_rows([copy.original for copy in changes.copies if isinstance(copy.original, str)])
    rows = []
    for copy in changes.copies:
        original = known[copy.original] if isinstance(copy.original, str) else done[copy.original.path]
        video_id = video_id_of(copy.content_hash, copy.file.path, taken)
        clip_count = tables.copy_clips(original.video.video_id, video_id)
        rows.append(
            replace(original, video=replace(original.video, video_id=video_id, file=copy.file), clip_count=clip_count)
        )
    tables.commit_videos(rows, replace_paths=changes.replacing)
    report.count(rows)


@contextmanager
def _shown(progress: Callable[[], Progress], on_progress: Callable[[Progress], None] | None) -> Iterator[None]:
    """Call ``on_progress`` about once a second while the block runs."""
    ended = threading.Event()

    def show() -> None:
        while not ended.wait(_SHOW_EVERY_S):
            now = progress()
            if on_progress and not ended.is_set():
                on_progress(now)

    thread = threading.Thread(target=show, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
