"""Writes a run as a trace that Perfetto (ui.perfetto.dev) and about:tracing open: a row per thread of each process."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from jobs.ingest.timing import StageTiming
from schemas.errors import UsageError

# How the files of `write_trace` begin.
_BEGINNING = b'{"traceEvents"'


def check_trace(path: Path) -> None:
    """Make the file now, so that a run of hours does not fail to write it at its end.

    Raises:
        UsageError: it cannot be written, or holds something other than a trace.
    """
    try:
        with path.open("a+b") as file:
            file.seek(0)
            beginning = file.read(len(_BEGINNING))
    except OSError as exc:
        raise _unwritable(path, exc) from exc
    if beginning not in (b"", _BEGINNING):
        raise UsageError(f"{str(path)!r} exists and is not a trace; name another file", argument="trace")


def write_trace(path: Path, timings: Iterable[StageTiming]) -> None:
    """Write complete events of the Trace Event Format, times in microseconds, a process per worker."""
    timings = sorted(timings, key=lambda timing: timing.began_s)
    began_s = timings[0].began_s if timings else 0.0
    workers = {worker: number for number, worker in enumerate(dict.fromkeys(timing.worker for timing in timings), start=1)}
    stages: dict[str, set[str]] = {worker: set() for worker in workers}
    threads: dict[str, list[int]] = {worker: [] for worker in workers}
    for timing in timings:
        stages[timing.worker].add(timing.stage)
        if timing.thread not in threads[timing.worker]:
            threads[timing.worker].append(timing.thread)
    events: list[dict[str, object]] = [
        {"name": "process_name", "ph": "M", "pid": number, "args": {"name": f"{'+'.join(sorted(stages[worker]))} {worker}"}}
        for worker, number in workers.items()
    ]
    events += [
        {
            "name": timing.stage,
            "cat": timing.stage,
            "ph": "X",
            "pid": workers[timing.worker],
            "tid": 1 + threads[timing.worker].index(timing.thread),
            "ts": round((timing.began_s - began_s) * 1e6),
            "dur": round(timing.seconds * 1e6),
            "args": {
                "count": timing.count,
                "video_s": timing.video_s,
                "cpu_s": round(timing.cpu_s, 4),
                "about": timing.note,
            },
        }
        for timing in timings
    ]
    try:
        path.write_text(json.dumps({"traceEvents": events, "displayTimeUnit": "ms"}), encoding="utf-8")
    except OSError as exc:
        raise _unwritable(path, exc) from exc


def _unwritable(path: Path, exc: OSError) -> UsageError:
    message = f"{str(path)!r} cannot be written: {exc.strerror}; give a file that you may write"
    return UsageError(message, argument="trace")
