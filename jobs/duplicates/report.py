"""What a look for duplicates found, as an object, as text and as JSON."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from schemas.duplicates import Duplicate, SharedSpan, group_numbers
from schemas.records import path_text
from schemas.text import clock, column_lines, lines_text

# A share of a video from which on it is called the whole.
_WHOLE = 0.9
_SAME_SPEED = 0.01


@dataclass(frozen=True, slots=True)
class ComparedVideo:
    """A video of the library.

    Attributes:
        path: its file.
        duration_s: its length, in seconds.
    """

    path: str
    duration_s: float


@dataclass(slots=True)
class DuplicateReport:
    """What a run found.

    Attributes:
        videos: of the library, by video id.
        duplicates: pairs of videos that share footage.
        candidates: pairs whose pictures were compared.
        failures: path and reason of videos that could not be read.
        wall_seconds: how long it took.
        interrupted: whether somebody stopped the run; the library then keeps what it knew before.
    """

    videos: Mapping[str, ComparedVideo]
    duplicates: list[Duplicate] = field(default_factory=list)
    candidates: int = 0
    failures: list[tuple[str, str]] = field(default_factory=list)
    wall_seconds: float = 0.0
    interrupted: bool = False

    def groups(self) -> list[tuple[int, list[str], list[Duplicate]]]:
        """For each group its number, the ids of its videos by path, and its pairs."""
        numbers = group_numbers((one.video_id, one.other_video_id) for one in self.duplicates)
        members: dict[int, list[str]] = defaultdict(list)
        for video_id in sorted(numbers, key=lambda video_id: self.videos[video_id].path):
            members[numbers[video_id]].append(video_id)
        pairs = {number: [one for one in self.duplicates if numbers[one.video_id] == number] for number in members}
        return [(number, members[number], pairs[number]) for number in sorted(members)]

    def share(self, video_id: str, spans: Sequence[tuple[float, float]]) -> float:
        """The share of a video that these seconds are."""
        duration_s = self.videos[video_id].duration_s
        return min(1.0, sum(end_s - start_s for start_s, end_s in spans) / duration_s) if duration_s > 0 else 0.0

    def as_json(self) -> dict[str, Any]:
        """The object that ``--json`` prints."""
        return {
            "groups": [
                {
                    "group_id": number,
                    "videos": [{"video_id": video_id, "path": self.videos[video_id].path} for video_id in members],
                    "pairs": [self._pair_json(one) for one in pairs],
                }
                for number, members, pairs in self.groups()
            ],
            "videos": len(self.videos),
            "compared": self.candidates,
            "unreadable": [{"path": path, "error": reason} for path, reason in self.failures],
            "wall_seconds": round(self.wall_seconds, 3),
        }

    def _pair_json(self, one: Duplicate) -> dict[str, Any]:
        return {
            "video_id": one.video_id,
            "path": self.videos[one.video_id].path,
            "other_video_id": one.other_video_id,
            "other_path": self.videos[one.other_video_id].path,
            "kind": self.kind(one),
            "share": round(self.share(one.video_id, [shared.span for shared in one.shared]), 3),
            "other_share": round(self.share(one.other_video_id, [shared.other for shared in one.shared]), 3),
            "spans": [
                {
                    "start_s": shared.span.start_s,
                    "end_s": shared.span.end_s,
                    "other_start_s": round(shared.other.start_s, 3),
                    "other_end_s": round(shared.other.end_s, 3),
                    "speed": round(shared.speed, 4),
                    "mirrored": shared.mirrored,
                    "confidence": round(shared.confidence, 3),
                }
                for shared in one.shared
            ],
        }

    def kind(self, one: Duplicate) -> str:
        """What a pair is, by its shares: ``whole``, ``contains`` or ``within`` (as of the first), or ``part``."""
        whole = self.share(one.video_id, [shared.span for shared in one.shared]) >= _WHOLE
        other = self.share(one.other_video_id, [shared.other for shared in one.shared]) >= _WHOLE
        return {(True, True): "whole", (False, True): "contains", (True, False): "within"}.get((whole, other), "part")


def duplicates_text(report: DuplicateReport) -> str:
    """The groups, for people."""
    lines = []
    for number, members, pairs in report.groups():
        lines.append(f"group {number}: {len(members)} videos")
        for one in pairs:
            path, other_path = (path_text(report.videos[video_id].path) for video_id in one[:2])
            lines.append(f"  {path}")
            lines.append(f"  {other_path}")
            heading = ("    first", "second", "seconds", "", "confidence")
            rows = [_row(shared) for shared in one.shared]
            lines += list(column_lines(heading, rows))
            shares = (
                report.share(one.video_id, [shared.span for shared in one.shared]),
                report.share(one.other_video_id, [shared.other for shared in one.shared]),
            )
            lines.append(f"    {shares[0]:.0%} of the first, {shares[1]:.0%} of the second")
    videos = sum(len(members) for _, members, _ in report.groups())
    lines.append(
        f"{videos} of {len(report.videos)} videos share footage, in {len(report.groups())} groups; "
        f"{report.candidates} pairs were compared in {clock(report.wall_seconds)}"
    )
    lines += [f"  not compared: {path_text(path)}: {reason}" for path, reason in report.failures]
    return lines_text(lines)


def _row(shared: SharedSpan) -> tuple[str, ...]:
    changes = [f"speed {shared.speed:.3g}"] * (abs(shared.speed - 1) > _SAME_SPEED) + ["mirrored"] * shared.mirrored
    first, second = (f"{clock(of.start_s)}-{clock(of.end_s)}" for of in shared[:2])
    length_s = shared.span.end_s - shared.span.start_s
    return f"    {first}", second, f"{length_s:.1f}", ", ".join(changes), f"{shared.confidence:.2f}"
