"""The metrics of an ingest or a watch, made of its events and its progress."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from importlib.metadata import version

from prometheus_client import CollectorRegistry, Counter, Gauge, ProcessCollector, disable_created_metrics

from index.storage.paths import Library
from jobs.count_progress import CountProgress
from jobs.ingest.progress import Progress, Queues
from jobs.ingest.timing import RunStats
from jobs.run_events import (
    Annotated,
    Committed,
    FilesListed,
    NotificationFailed,
    NotificationSent,
    Published,
    RoundEnded,
    RoundFailed,
    RunEvent,
    VideoProblem,
    WorkDone,
    WorkersStarted,
)

# Label values that are there from the beginning, so that a rate can be taken over the first one that is counted.
_STATUSES = ("indexed", "partial", "failed", "moved", "removed")
_FAILING_STAGES = ("find", "probe", "decode", "annotate")
_STAGES = ("find", "start", "load models", "plan", "decode", "annotate", "write", "commit", "publish")
_WORKER_STAGES = ("plan", "decode", "annotate", "write")


class RunMetrics:
    """The metrics of one process that ingests or watches.

    Attributes:
        registry: what holds them.
    """

    def __init__(self, command: str, library: Library, *, clock: Callable[[], float] = time.time) -> None:
        """Begin to count.

        Args:
            command: ``ingest``, or ``watch``, which has rounds and notifications.
            library: whose last snapshot may be from before.
            clock: seconds since 1970.
        """
        disable_created_metrics()  # type: ignore[no-untyped-call]
        # What a collector has is asked for when it is registered, by which OTLP reads one metric without all others.
        self.registry, self._clock = CollectorRegistry(auto_describe=True), clock
        ProcessCollector(registry=self.registry)
        self._gauge("info", "Always 1; the labels say what runs.", "command", "version").labels(
            command, version("vidsift")
        ).set(1)
        self._files = self._counter(
            "files", "Files by what became of them; one that moved or was removed has nothing decoded.", "status"
        )
        self._failures = self._counter(
            "failures", "Videos that failed, or of which a part did, by the stage that did.", "stage"
        )
        self._stage_seconds = self._counter(
            "stage_seconds", "Seconds that a stage was at work, over all its workers.", "stage"
        )
        self._stage_items = self._counter(
            "stage_items", "What a stage has done: videos planned, clips decoded, annotated and written.", "stage"
        )
        self._stage_video = self._counter("stage_video_seconds", "Seconds of video in that.", "stage")
        self._clips = self._counter("clips", "Clips of the videos that were committed.")
        self._video = self._counter("video_seconds", "Seconds of video in these videos.")
        self._file_bytes = self._counter("file_bytes", "Size of the files of these videos, and of failed ones.")
        self._fetched_bytes = self._counter("fetched_bytes", "Bytes that came over a network from sources.")
        self._annotated = self._counter(
            "annotated_videos", "Videos that an annotator of whole videos has read.", "annotator", "status"
        )
        self._found = self._gauge("found_files", "Video files that the last listing found.")
        self._unchanged = self._gauge("unchanged_files", "Of these, those that the library had as they are.")
        self._unsettled = self._gauge("unsettled_files", "Files beside these that are still being written.")
        self._waiting = self._gauge(
            "waiting",
            "What waits before a stage: files before plan, parts of videos before decode, clips before annotate and write.",
            "stage",
        )
        self._tasks = self._gauge("tasks", "Tasks that were handed out and are not done.", "stage")
        self._published = self._gauge("last_publish_timestamp_seconds", "When the last snapshot was published.")
        self._published.set(_changed_s(library))
        self._begin_labels()
        if command == "watch":
            self._add_rounds()
        self._stats_of_s, self._counted = -math.inf, RunStats()

    def _add_rounds(self) -> None:
        self._rounds = self._counter("rounds", "Rounds of the watch; one that failed is tried again.", "outcome")
        self._round_end = self._gauge(
            "last_round_timestamp_seconds", "When the last round that did not fail ended; at first, when it began."
        )
        self._round_s = self._gauge("last_round_seconds", "Seconds that it took.")
        self._away = self._gauge("away_sources", "Sources that were not there in the last round.")
        self._notifications = self._counter("notifications", "Attempts to tell an alert's receiver.", "outcome")
        for outcome in ("changed", "unchanged", "failed"):
            self._rounds.labels(outcome)
        for outcome in ("sent", "failed"):
            self._notifications.labels(outcome)
        self._round_end.set(self._clock())
        self._round_s.set(math.nan)

    def _begin_labels(self) -> None:
        for status in _STATUSES:
            self._files.labels(status)
        for stage in _FAILING_STAGES:
            self._failures.labels(stage)
        for stage in _STAGES:
            self._stage_seconds.labels(stage)
        for stage in _WORKER_STAGES:
            for metric in (self._stage_items, self._stage_video, self._waiting, self._tasks):
                metric.labels(stage)

    def _counter(self, name: str, meaning: str, *labels: str) -> Counter:
        return Counter(f"vidsift_run_{name}", meaning, labels, registry=self.registry)

    def _gauge(self, name: str, meaning: str, *labels: str) -> Gauge:
        return Gauge(f"vidsift_run_{name}", meaning, labels, registry=self.registry)

    def show(self, progress: Progress | CountProgress) -> None:
        """Take in how far a run is."""
        if isinstance(progress, Progress):
            self._count_work(progress.stats)
            self._set_queues(progress.queues)

    def tell(self, event: RunEvent) -> None:
        """Take in what has happened."""
        match event:
            case FilesListed():
                self._take_listing(event)
            case WorkersStarted():
                self._stage_seconds.labels("start").inc(event.seconds)
            case VideoProblem():
                self._failures.labels(event.stage or "unknown").inc()
            case Committed():
                self._take_commit(event)
            case WorkDone():
                self._count_work(event.stats)
            case Annotated():
                for status in ("done", "partial", "failed"):
                    self._annotated.labels(event.annotator, status).inc(getattr(event, status))
            case Published():
                self._stage_seconds.labels("publish").inc(event.seconds)
                self._published.set(self._clock())
                self._set_queues(Queues())
            case _:
                self._take_round(event)

    def _take_round(self, event: RunEvent) -> None:
        match event:
            case RoundEnded():
                self._rounds.labels(event.outcome).inc()
                self._round_end.set(self._clock())
                self._round_s.set(event.seconds)
                self._away.set(event.away_sources)
                for gauge, name in ((self._found, "found"), (self._unchanged, "unchanged")):
                    gauge.set(event.account.get(name, 0))  # of all sources, where each was ingested by itself
            case RoundFailed():
                self._rounds.labels("failed").inc()
                self._set_queues(Queues())
            case NotificationSent():
                self._notifications.labels("sent").inc()
            case NotificationFailed():
                self._notifications.labels("failed").inc()

    def _take_listing(self, event: FilesListed) -> None:
        self._found.set(event.found)
        self._unchanged.set(event.unchanged)
        self._unsettled.set(event.unsettled)
        self._files.labels("moved").inc(event.moved)
        self._files.labels("removed").inc(event.removed)
        self._stage_seconds.labels("find").inc(event.seconds)

    def _take_commit(self, event: Committed) -> None:
        for status in ("indexed", "partial", "failed"):
            self._files.labels(status).inc(getattr(event, status))
        self._clips.inc(event.clips)
        self._video.inc(event.video_seconds)
        self._file_bytes.inc(event.file_bytes)
        self._stage_seconds.labels("commit").inc(event.seconds)

    def _count_work(self, stats: RunStats) -> None:
        """Count what the workers have done since the last time; of an earlier run, all has been counted."""
        if stats.began_s < self._stats_of_s:
            return
        if stats.began_s > self._stats_of_s:
            self._stats_of_s, self._counted = stats.began_s, RunStats()
        for name, stage in stats.stages.items():
            before = self._counted.of(name)
            self._stage_seconds.labels(name).inc(max(0.0, stage.seconds - before.seconds))
            self._fetched_bytes.inc(max(0, stage.fetched_bytes - before.fetched_bytes))
            if name in _WORKER_STAGES:
                self._stage_items.labels(name).inc(max(0, stage.count - before.count))
                self._stage_video.labels(name).inc(max(0.0, stage.video_s - before.video_s))
        self._counted = stats

    def _set_queues(self, queues: Queues) -> None:
        for stage in _WORKER_STAGES:
            self._waiting.labels(stage).set(queues.waiting.get(stage, 0))
            self._tasks.labels(stage).set(queues.tasks.get(stage, 0))


def _changed_s(library: Library) -> float:
    """When a library's last snapshot was published, in seconds since 1970; not a number where it has none."""
    try:
        return library.current_file.stat().st_mtime
    except OSError:
        return math.nan
