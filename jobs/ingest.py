"""Ingest: bring a library up to date with folders of video."""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from index.library import Identity, Library, read_identity, write_identity
from jobs.accounts import Accounts
from jobs.changes import Changes, compare
from jobs.progress import Progress, bottleneck
from jobs.stages import Job
from pipeline.decoders import load_decoder
from pipeline.find import find_videos
from pipeline.models.checkpoint import check_classifier, check_embedder, find_checkpoint
from pipeline.models.preprocessing import read_preprocessing
from pipeline.sample import distinct_inputs
from schemas.errors import JobError, LibraryError
from schemas.options import DEFAULT_CLASSIFIER, DEFAULT_EMBEDDER, IngestOptions, Sampling
from schemas.records import JobFailed, VideoFailed, VideoInfo, VideoRow, Written, video_id_of

if TYPE_CHECKING:
    from jobs.engine import RayRun
    from jobs.tables import Tables

# How often finished videos are committed, and progress is shown.
_COMMIT_EVERY_S = 10.0
_SHOW_EVERY_S = 1.0

_LOST = (
    "the worker process that read it died twice: a crash in native code, out of memory, or longer than "
    "--decode-timeout; try another --decoder, or re-encode the file"
)


@dataclass(slots=True)
class IngestReport:
    """What an ingest did. ``found`` is always the sum of the next five.

    Attributes:
        found: video files below the sources.
        indexed: newly indexed whole.
        partial: newly indexed as far as they could be decoded.
        failed: newly found to hold nothing that can be indexed.
        unchanged: known already, and as they were.
        moved: known already, under another path.
        removed: known, and no longer there.
        clips: clips added.
        video_seconds: seconds of video in them.
        wall_seconds: how long it all took.
        bottleneck: the stage that held the run up, ``decode`` or ``annotate``; None where nothing ran.
    """

    found: int = 0
    indexed: int = 0
    partial: int = 0
    failed: int = 0
    unchanged: int = 0
    moved: int = 0
    removed: int = 0
    clips: int = 0
    video_seconds: float = 0.0
    wall_seconds: float = 0.0
    bottleneck: str | None = None
    failures: list[VideoRow] = field(default_factory=list)

    def count(self, rows: Sequence[VideoRow]) -> None:
        """Enter finished videos."""
        for row in rows:
            setattr(self, row.status, getattr(self, row.status) + 1)
            self.clips += row.clip_count
            self.video_seconds += (row.video.duration_s or 0.0) if row.clip_count else 0.0
            if row.status != "indexed":
                self.failures.append(row)

    def as_json(self) -> dict[str, object]:
        """The object that ``--json`` prints."""
        found = asdict(self)
        del found["failures"]
        return found | {"video_seconds": round(self.video_seconds, 3), "wall_seconds": round(self.wall_seconds, 3)}


def ingest(
    sources: Sequence[str | Path],
    folder: Path,
    *,
    classifier: str | None = None,
    embedder: str | None = None,
    window_s: float | None = None,
    stride_s: float | None = None,
    options: IngestOptions | None = None,
    allow_empty: bool = False,
    on_progress: Callable[[Progress], None] | None = None,
) -> IngestReport:
    """Bring the library in ``folder`` up to date with ``sources``, and publish the result.

    Args:
        sources: folders and video files.
        folder: the library's; made where there is none.
        classifier: hub id or folder; None takes the library's own, or the default for a new one.
        embedder: likewise.
        window_s: length of a clip; None takes the library's own, or 4 s.
        stride_s: from one clip's start to the next one's; None takes the library's own, or the window.
        options: how to run.
        allow_empty: let a source that holds no video any more empty its part of the library.
        on_progress: called about once a second.

    Raises:
        UsageError: a source does not exist, or an option is out of its range.
        ModelError: a model cannot be found or loaded.
        LibraryError: the library holds other models' vectors, is being written by another ingest, or cannot be written.
        JobError: the run broke off; what was finished is committed and published.
    """
    from jobs.publish import publish_tables
    from jobs.tables import Tables

    began = time.monotonic()
    options = options or IngestOptions()
    load_decoder(options.decoder)
    library = Library(folder)
    identity = read_identity(library)
    sampling = _sampling(identity, window_s, stride_s)
    found = list(find_videos(sources))
    if identity is None or classifier or embedder or sampling != identity.sampling:
        identity = _identify(identity, classifier, embedder, sampling)
    with _writing(library):
        tables = Tables(library)
        if not library.identity_file.exists():
            write_identity(library, identity)
        changes = compare(found, tables.known_videos(), sources, allow_empty=allow_empty)
        report = IngestReport(
            found=len(found), unchanged=changes.unchanged, moved=len(changes.moved), removed=len(changes.removed)
        )
        try:
            _apply(changes, tables)
            if changes.to_do or changes.unreadable:
                _run(_job(library, identity, options), changes, tables, report, on_progress)
        finally:
            publish_tables(library, tables, identity)
    report.wall_seconds = time.monotonic() - began
    return report


def _sampling(known: Identity | None, window_s: float | None, stride_s: float | None) -> Sampling:
    """What was asked for; what was not is the library's own, and the stride of a window that was asked for is its length."""
    if known is not None and window_s is None:
        return replace(known.sampling, stride_s=known.sampling.stride_s if stride_s is None else stride_s)
    window_s = Sampling().window_s if window_s is None else window_s
    return Sampling(window_s=window_s, stride_s=window_s if stride_s is None else stride_s)


def _identify(known: Identity | None, classifier: str | None, embedder: str | None, sampling: Sampling) -> Identity:
    """The models and sampling that were asked for, where they agree with the library's."""
    wanted = Identity(
        known.classifier if known and not classifier else find_checkpoint(classifier or DEFAULT_CLASSIFIER, "--classifier"),
        known.embedder if known and not embedder else find_checkpoint(embedder or DEFAULT_EMBEDDER, "--embedder"),
        sampling,
    )
    check_classifier(wanted.classifier)
    check_embedder(wanted.embedder)
    if known is None:
        return wanted
    if differences := known.differences(wanted):
        raise LibraryError(
            f"--library: {'; '.join(differences)}. Two models' vectors cannot be compared, so a library holds one's only: "
            "leave the option out to use the library's own, or ingest into a new folder"
        )
    return known


def _job(library: Library, identity: Identity, options: IngestOptions) -> Job:
    """What workers need to know, after making sure that the models are still those the library was made with."""
    for option, checkpoint in (("--classifier", identity.classifier), ("--embedder", identity.embedder)):
        now = find_checkpoint(checkpoint.folder if os.path.isdir(checkpoint.folder) else checkpoint.name, option)
        if now.sha256 != checkpoint.sha256:
            raise LibraryError(
                f"{option} {checkpoint.name}: its files have changed since the library was made (now {now.sha256[:8]}, "
                f"then {checkpoint.sha256[:8]}); put the old ones back, or ingest into a new folder"
            )
    inputs = [
        read_preprocessing(identity.classifier, "--classifier").input,
        read_preprocessing(identity.embedder, "--embedder").input,
    ]
    return Job(
        identity.classifier, identity.embedder, identity.sampling, distinct_inputs(inputs), library.clips.absolute(), options
    )


def _apply(changes: Changes, tables: Tables) -> None:
    """Enter what needs no decoding."""
    tables.remove_videos(changes.removed)
    tables.move_videos(changes.moved)
    tables.drop_orphans()


def _run(
    job: Job, changes: Changes, tables: Tables, report: IngestReport, on_progress: Callable[[Progress], None] | None
) -> None:
    """Decode and annotate what is new, committing videos as they finish."""
    accounts = Accounts([*changes.to_do, *(file for file, _ in changes.unreadable)])
    for file, error in changes.unreadable:
        accounts.add(VideoFailed(VideoInfo(video_id_of(None, file.path), file), error.stage, error.reason))
    files: list[Written] = []

    def commit() -> None:
        rows = accounts.take_finished()
        tables.commit_clips(files)
        files.clear()
        tables.commit_videos(rows, replace_paths=changes.replacing)
        report.count(rows)

    if not changes.to_do:
        commit()
        return
    from jobs.engine import RayRun, ray_session

    with ray_session(job.options):
        run = RayRun(job, changes.to_do)
        committed = time.monotonic()
        try:
            with _shown(run, accounts, on_progress):
                for outcome in run:
                    if isinstance(outcome, JobFailed):
                        raise JobError(f"{outcome.reason}; what was finished is kept, run the same command again to go on")
                    if isinstance(outcome, Written):
                        files.append(outcome)
                    accounts.add(outcome)
                    if time.monotonic() - committed > _COMMIT_EVERY_S:
                        commit()
                        committed = time.monotonic()
                accounts.close(_LOST)
        finally:
            commit()
        report.bottleneck = bottleneck(run.tally(), run.slots)


@contextmanager
def _shown(run: RayRun, accounts: Accounts, on_progress: Callable[[Progress], None] | None) -> Iterator[None]:
    """Call ``on_progress`` about once a second while the block runs."""
    ended = threading.Event()
    began = time.monotonic()

    def show() -> None:
        while not ended.wait(_SHOW_EVERY_S):
            progress = Progress(accounts.num_finished, accounts.num_files, time.monotonic() - began, run.tally())
            if on_progress and not ended.is_set():
                on_progress(progress)

    thread = threading.Thread(target=show, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@contextmanager
def _writing(library: Library) -> Iterator[None]:
    """Hold the library for writing.

    Raises:
        LibraryError: the folder cannot be written, or another ingest holds it.
    """
    try:
        library.folder.mkdir(parents=True, exist_ok=True)
        stream = library.lock_file.open("a+", encoding="utf-8")
    except OSError as exc:
        raise LibraryError(
            f"--library: {str(library.folder)!r} cannot be written: {exc.strerror}; give a folder that you may write to"
        ) from exc
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            stream.seek(0)
            raise LibraryError(
                f"--library: {str(library.folder)!r} is being written by another ingest "
                f"({stream.read().strip() or 'unknown'}); wait for it to end, or stop it"
            ) from exc
        stream.truncate(0)
        stream.write(f"process {os.getpid()} on {os.uname().nodename}\n")
        stream.flush()
        yield
