"""What happens in an ingest or a watch, for those who look after it: logs and metrics are made of these events.

The fields of an event are those of its line in a log; their names say the unit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

if TYPE_CHECKING:
    from jobs.ingest.timing import RunStats

Level = Literal["info", "warning", "error"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEvent:
    """Something that happened; its ``str`` is a sentence for people, or nothing where they are told otherwise.

    Attributes:
        name: what happened.
        level: how much it matters.
    """

    name: ClassVar[str] = ""
    level: ClassVar[Level] = "info"

    def fields(self) -> dict[str, Any]:
        """The event's fields as JSON values."""
        return asdict(self)

    def __str__(self) -> str:
        return ""


OnEvent = Callable[[RunEvent], None]


def nobody(event: RunEvent) -> None:
    """Tell nobody."""


def sentences(say: Callable[[str], None]) -> OnEvent:
    """Tell people, by ``say``, of the events that have a sentence."""

    def tell(event: RunEvent) -> None:
        if sentence := str(event):
            say(sentence)

    return tell


@dataclass(frozen=True, slots=True, kw_only=True)
class FilesListed(RunEvent):
    """The sources were listed.

    Attributes:
        found: video files, of which `unchanged` are known as they are, and `moved` under another path.
        to_do: files to read.
        removed: known videos that are gone.
        unsettled: files that are still being written, which are not among those found.
        seconds: how long it took.
    """

    name = "files_listed"
    found: int
    unchanged: int
    moved: int
    removed: int
    to_do: int
    unsettled: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkersStarted(RunEvent):
    """Ray has come up, and the models are being loaded; ``seconds`` it took."""

    name = "workers_started"
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoProblem(RunEvent):
    """A video could not be indexed, or not as a whole.

    Attributes:
        path: of its file, or its address.
        status: ``failed`` or ``partial``.
        stage: the step that failed.
        error: why.
        clips: how many of it can be searched.
    """

    name = "video_problem"
    level = "warning"
    path: str
    status: str
    stage: str
    error: str
    clips: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Committed(RunEvent):
    """Finished videos, and clips, went into the library's tables.

    Attributes:
        indexed: videos, likewise `partial` and `failed`.
        clips: in these videos.
        video_seconds: in these videos, as far as they hold clips.
        file_bytes: size of their files.
        written_clips: clips in the Parquet files of this commit, which may be of videos that are not finished.
        seconds: how long it took.
    """

    name = "committed"
    indexed: int
    partial: int
    failed: int
    clips: int
    video_seconds: float
    file_bytes: int
    written_clips: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkDone(RunEvent):
    """The workers of an ingest have done what there was to do; ``stats`` is what it cost them."""

    name = "work_done"
    stats: RunStats

    def fields(self) -> dict[str, Any]:
        """By stage: seconds at work over all its workers, CPU seconds, items, seconds of video in them, bytes fetched."""
        return {
            "stages": {
                name: {
                    "seconds": stage.seconds,
                    "cpu_seconds": stage.cpu_s,
                    "items": stage.count,
                    "video_seconds": stage.video_s,
                    "fetched_bytes": stage.fetched_bytes,
                }
                for name, stage in self.stats.stages.items()
            }
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotated(RunEvent):
    """An annotator of whole videos has read what there was to read.

    Attributes:
        annotator: its name.
        done: videos that it read; likewise `partial` and `failed`.
        rows: that it wrote.
        video_seconds: that it read.
        seconds: that this took, in all processes together.
    """

    name = "annotated"
    annotator: str
    done: int
    partial: int
    failed: int
    rows: int
    video_seconds: float
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnotationProblem(RunEvent):
    """An annotator could not read a video, or not as a whole."""

    name = "annotation_problem"
    level = "warning"
    path: str
    annotator: str
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Published(RunEvent):
    """A snapshot was published: what it holds can be searched.

    Attributes:
        snapshot: its number.
        clips: clips that this ingest has added.
        seconds: how long it took.
    """

    name = "published"
    snapshot: int
    clips: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceAway(RunEvent):
    """A source of a watch is not there, or not any more."""

    name = "source_away"
    level = "warning"
    source: str

    def __str__(self) -> str:
        return f"{self.source!r} is not there; its videos stay in the library"


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceBack(RunEvent):
    """A source of a watch is there again."""

    name = "source_back"
    source: str

    def __str__(self) -> str:
        return f"{self.source!r} is there again"


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundEnded(RunEvent):
    """A watch has brought its library up to date.

    Attributes:
        outcome: ``changed``, or ``unchanged`` where there was nothing to do.
        seconds: how long it took.
        searchable_seconds: from when the first of its files stood still until all of them could be searched; None where no
            file was new.
        away_sources: sources that are not there; their videos stay in the library.
        account: `jobs.ingest.report.IngestReport.account` of the others.
    """

    name = "round_ended"
    outcome: Literal["changed", "unchanged"]
    seconds: float
    searchable_seconds: float | None
    away_sources: int = 0
    account: Mapping[str, float] = field(default_factory=dict)

    def fields(self) -> dict[str, Any]:
        """With the account's counts among the others."""
        names = ("outcome", "seconds", "searchable_seconds", "away_sources")
        return {name: getattr(self, name) for name in names} | dict(self.account)


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundFailed(RunEvent):
    """A round of a watch broke.

    Attributes:
        error: why.
        again_seconds: until it is tried again.
        seconds: how long it took.
    """

    name = "round_failed"
    level = "error"
    error: str
    again_seconds: float
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class NotificationSent(RunEvent):
    """A receiver took a message.

    Attributes:
        alert: whose message it is.
        receiver: a host or a command.
        message_id: the message's.
    """

    name = "notification_sent"
    alert: str
    receiver: str
    message_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NotificationFailed(RunEvent):
    """A message could not be sent.

    Attributes:
        alert: whose message it is.
        receiver: a host or a command.
        error: what it did instead of taking it.
        again_seconds: until it is tried again.
    """

    name = "notification_failed"
    level = "warning"
    alert: str
    receiver: str
    error: str
    again_seconds: float

    def __str__(self) -> str:
        return (
            f"the alert {self.alert!r} could not be told: {self.receiver} {self.error}; it is tried again in "
            f"{self.again_seconds:.0f} s"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEnded(RunEvent):
    """The command ends.

    Attributes:
        outcome: ``finished``; ``time_up`` or ``interrupted`` where something may be left to do; ``ended`` for a watch.
        exit_code: of the process.
        seconds: since it began.
        account: `jobs.ingest.report.IngestReport.account` of an ingest, or of a watch the sums over its rounds.
        sentence: for people.
    """

    name = "run_ended"
    outcome: Literal["finished", "time_up", "interrupted", "ended"]
    exit_code: int
    seconds: float
    account: Mapping[str, float] = field(default_factory=dict)
    sentence: str = ""

    def fields(self) -> dict[str, Any]:
        """With the account's counts among the others."""
        return {"outcome": self.outcome, "exit_code": self.exit_code, "seconds": self.seconds} | dict(self.account)

    def __str__(self) -> str:
        return self.sentence
