"""The report of an ingest, as an object, as text and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from jobs.annotate.report import AnnotateReport, annotate_lines
from jobs.ingest.profile import RunProfile
from schemas.records import VideoRow, path_text
from schemas.text import clock, column_lines, lines_text

# Failed videos, and endings of files that are no videos, that the text names.
_MAX_FAILURES = 20
_MAX_ENDINGS = 8


def ingest_text(report: IngestReport) -> str:
    """The closing lines of an ingest."""
    parts = [f"{getattr(report, name)} {name}" for name in ("indexed", "partial", "failed", "unchanged", "moved", "removed")]
    lines = [f"{report.found} videos found: {', '.join(parts)}"]
    if report.passed_over:
        lines.append(_passed_over_line(report.passed_over))
    lines += [f"left out: {path_text(folder)} ({what})" for folder, what in report.left_out.items()]
    if report.clips:
        speed = report.video_seconds / report.wall_seconds
        lines.append(
            f"{report.clips} clips from {clock(report.video_seconds)} of video in {clock(report.wall_seconds)} "
            f"({speed:.1f} s of video per second)"
        )
    if report.profile and report.clips:
        lines += _profile_lines(report.profile)
    if report.several_tracks:
        have = "has" if report.several_tracks == 1 else "have"
        lines.append(
            f"{report.several_tracks} of them {have} several video tracks, of which one was taken: "
            "vidsift status says which, --track N takes another"
        )
    lines += [f"  {row.status}: {path_text(row.video.file.path)}: {row.error}" for row in report.failures[:_MAX_FAILURES]]
    if len(report.failures) > _MAX_FAILURES:
        lines.append(f"  and {len(report.failures) - _MAX_FAILURES} more: vidsift status lists them all")
    if report.annotated is not None:
        lines += annotate_lines(report.annotated)
    if report.time_is_up:
        lines.append(f"the time was up: {_left_text(report)} to do")
    return lines_text(lines)


def _left_text(report: IngestReport) -> str:
    """What a run has left, whose time was up."""
    left = [f"{report.not_done} of {report.found} videos are left"] if report.not_done else []
    if report.annotated and report.annotated.left:
        left += [f"{count} videos are left for {name}" for name, count in report.annotated.left.items()]
    return ", ".join(left)


def _passed_over_line(endings: dict[str, int]) -> str:
    """How many files were passed over, by ending, the commonest first."""
    total = sum(endings.values())
    counts = [f"{count} {ending or 'without an ending'}" for ending, count in list(endings.items())[:_MAX_ENDINGS]]
    if len(endings) > _MAX_ENDINGS:
        counts.append(f"{total - sum(list(endings.values())[:_MAX_ENDINGS])} of {len(endings) - _MAX_ENDINGS} other endings")
    return f"{total} file{'s' * (total != 1)} passed over: {', '.join(counts)}"


def _profile_lines(profile: RunProfile) -> list[str]:
    """The cost of a run as a table of stages."""
    rows = [
        (
            stage.stage,
            f"{stage.seconds:.1f}",
            f"{stage.share:.0%}",
            f"{stage.per_s:.1f} {stage.unit}/s" if stage.unit else "",
            f"{stage.waiting_s:.1f}",
        )
        for stage in profile.stages
    ]
    idle = "" if profile.idle_share is None else f", cores idle for {profile.idle_share:.0%} of it"
    fetched = []
    if profile.remote_bytes:
        times = profile.fetched_bytes / profile.remote_bytes
        size = f"{profile.remote_bytes / 1e6:.1f} MB of files"
        fetched.append(f"{profile.fetched_bytes / 1e6:.1f} MB were fetched for {size} over the network, {times:.2f} times")
    if profile.moved_bytes:
        fetched.append(f"{profile.moved_bytes / 1e6:.1f} MB of decoded clips went from one machine to another")
    return [
        *column_lines(("stage", "seconds", "of CPU", "throughput", "waiting s"), rows),
        *fetched,
        str(profile.resources),
        f"decoding began after {profile.first_frame_s:.1f} s, {profile.hours_per_hour:.1f} h of video per hour{idle}",
        f"bound by {profile.bound_by}: {profile.advice}",
    ]


@dataclass(slots=True)
class IngestReport:
    """The counts of an ingest. ``found`` is always the sum of the next five, and of `not_done`.

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
        profile: what the run cost; None where nothing ran, or Ray died before it could tell.
        passed_over: files that are no videos by their name or their first bytes, or were not wanted, by ending; "" for none.
        several_tracks: how many of what was newly indexed have more than one video track.
        left_out: folders of vidsift's own among the sources, and what each is.
        annotated: what annotators of whole videos did; None where the library has none.
        time_is_up: whether the run's time was up before all was done.
        unfinished: files that are still being written, which are not among those found.
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
    profile: RunProfile | None = None
    passed_over: dict[str, int] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    several_tracks: int = 0
    failures: list[VideoRow] = field(default_factory=list)
    annotated: AnnotateReport | None = None
    time_is_up: bool = False
    unfinished: int = 0

    @property
    def changes_anything(self) -> bool:
        """Whether the library is another than before."""
        return any(self.changes().values())

    @property
    def not_done(self) -> int:
        """Files that an ingest has not come to that was interrupted or whose time was up; else 0."""
        return self.found - self.indexed - self.partial - self.failed - self.unchanged - self.moved

    def count(self, rows: Sequence[VideoRow]) -> None:
        """Count finished videos."""
        for row in rows:
            setattr(self, row.status, getattr(self, row.status) + 1)
            self.clips += row.clip_count
            self.several_tracks += (row.video.tracks or 1) > 1
            self.video_seconds += (row.video.duration_s or 0.0) if row.clip_count else 0.0
            if row.status != "indexed":
                self.failures.append(row)

    def account(self) -> dict[str, float]:
        """What became of the files: ``found`` is the sum of the next six. The clips and seconds are of what was added."""
        names = ("found", "indexed", "partial", "failed", "unchanged", "moved", "not_done", "removed", "clips")
        return {name: getattr(self, name) for name in names} | {"video_seconds": self.video_seconds}

    def changes(self) -> dict[str, int]:
        """The counts that the library's history keeps of this ingest."""
        names = ("indexed", "partial", "failed", "moved", "removed", "clips")
        return {name: getattr(self, name) for name in names} | (self.annotated.changes() if self.annotated else {})

    def as_json(self) -> dict[str, object]:
        """The object that ``--json`` prints."""
        content = asdict(self)
        del content["failures"], content["profile"], content["annotated"], content["time_is_up"], content["unfinished"]
        if self.profile is not None:
            content["run"] = _rounded(_profile_json(self.profile))
        content["left_out"] = [path_text(folder) for folder in self.left_out]
        if self.annotated is not None:
            content["annotators"] = self.annotated.as_json()["annotators"]
        if self.not_done:
            content["not_done"] = self.not_done
        if self.time_is_up:
            content["time_is_up"] = True
        return content | {"video_seconds": round(self.video_seconds, 3), "wall_seconds": round(self.wall_seconds, 3)}


def _profile_json(profile: RunProfile) -> dict[str, Any]:
    """The fields of a profile under the keys that ``--json`` has for them."""
    keys = {"resources": "shape", "max_in_flight": "lanes"}
    content = asdict(profile)
    content["resources"] = {keys.get(name, name): value for name, value in content["resources"].items()}
    return {keys.get(name, name): value for name, value in content.items()}


def _rounded(value: Any) -> Any:
    """The same JSON value with every number to the thousandth."""
    if isinstance(value, dict):
        return {key: _rounded(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(inner) for inner in value]
    return round(value, 3) if isinstance(value, float) else value


class Interrupted(KeyboardInterrupt):
    """Somebody stopped the ingest. What was finished is committed and published.

    Attributes:
        report: what was done until then.
    """

    def __init__(self, report: IngestReport) -> None:
        super().__init__()
        self.report = report
