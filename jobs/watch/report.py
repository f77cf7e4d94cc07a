"""What a round of a watch did, as text and as JSON."""

from __future__ import annotations

from datetime import datetime

from jobs.watch.watch import Round
from schemas.records import path_text
from schemas.text import lines_text

# Failed videos that the text names.
_MAX_FAILURES = 20


def round_text(done: Round) -> str:
    """A line for the round, with those of the videos that failed."""
    if done.report is None:
        return f"{done.error}; it is tried again in {done.again_s:.0f} s"
    report = done.report
    names = ("indexed", "partial", "failed", "moved", "removed", "clips")
    parts = [f"{getattr(report, name)} {name}" for name in names if getattr(report, name)]
    if report.annotated is not None:
        parts += [f"{count} {name.replace('_', ' ')}" for name, count in report.annotated.changes().items() if count]
    if done.searchable_s is not None:
        parts.append(f"searchable within {done.searchable_s:.0f} s")
    if report.time_is_up:
        parts.append(f"{report.not_done} videos to do")
    lines = [f"{_now()} {', '.join(parts)}"]
    lines += [f"  {row.status}: {path_text(row.video.file.path)}: {row.error}" for row in report.failures[:_MAX_FAILURES]]
    if len(report.failures) > _MAX_FAILURES:
        lines.append(f"  and {len(report.failures) - _MAX_FAILURES} more: vidsift status lists them all")
    return lines_text(lines)


def round_json(done: Round) -> dict[str, object]:
    """The object that ``--json`` prints: an ingest's, and when it was, and how long its files took to be searchable."""
    assert done.report is not None, "a round that broke is told on standard error"
    content: dict[str, object] = {"at": _now(), **done.report.as_json()}
    content["searchable_s"] = None if done.searchable_s is None else round(done.searchable_s, 3)
    return content


def _now() -> str:
    return datetime.now().astimezone().isoformat(timespec="seconds")
