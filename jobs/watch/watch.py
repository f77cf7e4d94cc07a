"""Watch: bring a library up to date again and again, with Ray and the models kept from one time to the next."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from index.storage.config import read_library_config
from index.storage.paths import Library
from jobs.ingest.ingest import ingest
from jobs.ingest.ray_startup import KeptRay
from jobs.ingest.report import IngestReport
from jobs.run_events import OnEvent, RoundEnded, RoundFailed, SourceAway, SourceBack, sentences
from jobs.watch.arrivals import Arrivals
from jobs.watch.settling import Settling
from pipeline.sources import absolute_path, exists, source_of
from pipeline.sources.find import SHARED_SUFFIXES, VIDEO_SUFFIXES, check_address
from pipeline.sources.paths import on_disk
from schemas.errors import JobError, LockedError, UsageError, VidsiftError
from schemas.records import VideoFile, path_text

# What an ingest is told of models and sampling, which a library keeps.
_OF_THE_LIBRARY = frozenset(
    ("classifier", "embedder", "window_s", "stride_s", "features", "dim", "frames", "views", "shots", "channel_settings")
)

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 10.0, 600.0

# A round begins no more files after this time, so that what is there of a large archive can be searched.
_LONGEST_ROUND_S = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchOptions:
    """When a watch looks and publishes.

    Attributes:
        every_s: seconds between two listings of the sources.
        settle_s: seconds for which a file's size and time must have stood still.
        publish_every_s: seconds between two snapshots, at least.
    """

    every_s: float = 600.0
    settle_s: float = 10.0
    publish_every_s: float = 60.0

    def __post_init__(self) -> None:
        """Refuse what is out of its range.

        Raises:
            UsageError: a number is.
        """
        for name, value, least in (("every", self.every_s, 1.0), ("settle", self.settle_s, 0.0)):
            if not least <= value < math.inf:
                raise UsageError(f"got {value:g} s, expected {least:g} s or more", argument=name)
        if not 0 <= self.publish_every_s < math.inf:
            raise UsageError(f"got {self.publish_every_s:g} s, expected 0 s or more", argument="publish_every")


@dataclass(frozen=True, slots=True)
class Round:
    """One time that a library was brought up to date.

    Attributes:
        report: of the ingest; None where it broke.
        error: why it broke; None where it did not.
        again_s: seconds until it is tried again, where it broke.
        wall_s: how long it took.
        searchable_s: seconds from when the first of its files stood still until all of them could be searched; None where
            no file was new.
    """

    report: IngestReport | None
    error: VidsiftError | OSError | None = None
    again_s: float = 0.0
    wall_s: float = 0.0
    searchable_s: float | None = None


class Watch:
    """The watch over some sources; `run` goes on until it is interrupted."""

    def __init__(
        self,
        sources: Sequence[str],
        folder: Path,
        arrivals: Arrivals,
        *,
        options: WatchOptions = WatchOptions(),
        on_round: Callable[[Round], None] = lambda done: None,
        say: Callable[[str], None] = lambda sentence: None,
        after_round: Callable[[], float] = lambda: math.inf,
        ingest_arguments: Mapping[str, Any] | None = None,
        on_event: OnEvent | None = None,
    ) -> None:
        """Nothing is looked at yet.

        Args:
            sources: folders, files and URLs. They need not be there all the time.
            folder: the library's; made where there is none.
            arrivals: what it waits by.
            options: when it looks and publishes.
            on_round: called after each round that changed something or broke, once all is published.
            say: told what else a user should know.
            after_round: called after each round that did not break; says in how many seconds the next one has to be.
            ingest_arguments: as `jobs.ingest.ingest.ingest` takes them.
            on_event: told of what happens in each round, and of its end (`jobs.run_events`); None says what has a sentence.

        Raises:
            UsageError: an address holds a password or a signature.
        """
        for source in sources:  # what is wrong with an address does not mend itself
            check_address(source)
        self._sources = [absolute_path(on_disk(os.fspath(source))) for source in sources]
        self._folder, self._arrivals, self._options = folder, arrivals, options
        self._on_round, self._say, self._after_round = on_round, say, after_round
        self._on_event = on_event or sentences(say)
        self._ingest_arguments = dict(ingest_arguments or {})
        self._ray = KeptRay()
        self._settling = Settling(options.settle_s, arrivals.now)
        self._own = str(folder.absolute()) + os.sep
        self._pause_s = 0.0
        self._away: set[str] = set()
        self._is_first, self._failures = True, 0
        self._published_s = -math.inf

    def run(self) -> None:
        """Index what there is, and then what comes.

        Raises:
            KeyboardInterrupt: somebody ended it. What was finished is published.
            VidsiftError: the first round broke for a reason that waiting does not mend.
        """
        try:
            while True:
                due_s = self._round()
                self._is_first = False
                self._wait_until(due_s)
        finally:
            self._ray.close()

    def _wait_until(self, due_s: float) -> None:
        """Wait until it is time for a listing, or for what has arrived to be indexed."""
        earliest_s = max(self._arrivals.now() + self._pause_s, self._published_s + self._options.publish_every_s)
        while True:
            due_s = min(due_s, self._settling.next_s())
            left_s = max(due_s, earliest_s) - self._arrivals.now()
            if left_s <= 0:
                return
            for path in self._arrivals.wait(left_s):
                due_s = min(due_s, self._note(path))

    def _note(self, path: str) -> float:
        """Note what has changed at a path; when to look at it."""
        name = os.path.basename(path)
        if path.startswith(self._own) or name.startswith("."):
            return math.inf
        now_s = self._arrivals.now()
        try:
            status = source_of(path).stat(path)
        except OSError:
            return now_s + self._options.settle_s if _may_be_video(name) or "." not in name else math.inf  # it is gone
        if status.kind == "folder":
            return now_s + self._options.settle_s
        if not (_may_be_video(name) or self._ingest_arguments.get("include")):
            return math.inf
        self._settling.see(VideoFile(path, status.size_bytes, status.modified_ns))
        return math.inf

    def _round(self) -> float:
        """Bring the library up to date once, and return when to list the sources again."""
        began_s = self._arrivals.now()
        sources = [source for source in self._sources if exists(source)]
        self._say_who_is_away(sources)
        self._arrivals.follow(sources)
        reports: list[IngestReport] = []
        error: VidsiftError | OSError | None = None
        try:
            if sources:
                reports = self._ingest_each(sources)
            elif self._is_first:
                self._say("none of the sources is there; waiting for them")
        except (VidsiftError, OSError) as exc:
            if self._is_first and _is_fatal(exc):
                raise
            error = exc
        now_s, self._pause_s = self._arrivals.now(), 0.0
        if error is not None:
            self._pause_s = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2 ** min(self._failures, 10))
            self._failures += 1
            self._on_event(RoundFailed(error=str(error), again_seconds=self._pause_s, seconds=now_s - began_s))
            self._on_round(Round(None, error, self._pause_s, now_s - began_s))
            return now_s + self._pause_s
        self._failures, first_s = 0, self._settling.end_round()
        searchable_s = None if first_s is None else now_s - first_s
        for report in reports:
            if report.changes_anything:
                self._published_s = now_s
                self._on_round(Round(report, wall_s=now_s - began_s, searchable_s=searchable_s if report.clips else None))
        self._on_event(_ended(reports, now_s - began_s, searchable_s, len(self._away)))
        again_s = self._after_round()
        if any(report.time_is_up for report in reports):
            self._published_s = -math.inf  # the round was as long as any may be
            return now_s
        return self._arrivals.now() + min(self._options.every_s, again_s)

    def _ingest_each(self, sources: Sequence[str]) -> list[IngestReport]:
        """Ingest all sources together; each by itself where one of them stands in the way of the others.

        Raises:
            VidsiftError: the ingest broke, or all sources are empty.
        """
        try:
            return [self._ingest(sources)]
        except UsageError as exc:
            if exc.argument != "sources" or len(sources) == 1:
                raise
        reports, errors = [], []
        for source in sources:
            try:
                reports.append(self._ingest([source]))
            except UsageError as exc:
                if exc.argument != "sources":
                    raise
                errors.append(exc)
        for error in errors:
            self._say(str(error.message))
        if not reports:
            raise errors[0]
        return reports

    def _ingest(self, sources: Sequence[str]) -> IngestReport:
        given = self._ingest_arguments
        if self._ray.is_held and read_library_config(Library(self._folder)) is not None:
            given = {name: value for name, value in given.items() if name not in _OF_THE_LIBRARY}
        longest_s = max(_LONGEST_ROUND_S, self._options.publish_every_s)
        return ingest(
            sources,
            self._folder,
            kept_ray=self._ray,
            is_finished=self._settling.is_finished,
            max_hours=longest_s / 3600,
            on_event=self._on_event,
            **given,
        )

    def _say_who_is_away(self, present: Sequence[str]) -> None:
        """Say which sources have gone, or come back, since the last time."""
        away = set(self._sources) - set(present)
        for source in sorted(away - self._away):
            self._on_event(SourceAway(source=path_text(source)))
        for source in sorted(self._away - away):
            self._on_event(SourceBack(source=path_text(source)))
        self._away = away


def _ended(reports: Sequence[IngestReport], seconds: float, searchable_s: float | None, away: int) -> RoundEnded:
    """What a round of one or several ingests says of itself."""
    account = Counter(IngestReport().account())
    for report in reports:
        account.update(report.account())
    return RoundEnded(
        outcome="changed" if any(report.changes_anything for report in reports) else "unchanged",
        seconds=seconds,
        searchable_seconds=searchable_s if account["clips"] else None,
        away_sources=away,
        account=account,
    )


def _may_be_video(name: str) -> bool:
    ending = os.path.splitext(name)[1].lower()
    return ending in VIDEO_SUFFIXES or ending in SHARED_SUFFIXES


def _is_fatal(error: VidsiftError | OSError) -> bool:
    """Whether a watch should end at once where its first round breaks so: somebody has to change the command."""
    mends_itself = isinstance(error, JobError | LockedError) or (
        isinstance(error, UsageError) and error.argument == "sources"
    )
    return not mends_itself
