"""A run as a trace that Perfetto (ui.perfetto.dev) and about:tracing open: a row for each thread of each process."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from jobs.ingest.timing import StageTiming
from schemas.errors import UsageError

# What `write_trace` begins files with.
_BEGINNING = b'{"traceEvents"'


def check_trace(path: Path) -> None:
    """Make the file, so that a run that ends hours from now does not fail to write it.

    Raises:
        UsageError: it cannot be written, or holds something that is no trace.
    """
    try:
        with path.open("a+b") as file:
            file.seek(0)
            beginning = file.read(len(_BEGINNING))
    except OSError as exc:
        raise _unwritable(path, exc) from exc
    if beginning not in (b"", _BEGINNING):
        raise UsageError(f"--trace: {str(path)!r} is there already and is no trace; name another file")


def write_trace(path: Path, works: Iterable[StageTiming]) -> None:
    """Write complete events of the Trace Event Format, times in microseconds, a process for each worker's."""
    works = sorted(works, key=lambda work: work.began_s)
    began_s = works[0].began_s if works else 0.0
    workers = {worker: number for number, worker in enumerate(dict.fromkeys(work.worker for work in works), start=1)}
    stages: dict[str, set[str]] = {worker: set() for worker in workers}
    threads: dict[str, list[int]] = {worker: [] for worker in workers}
    for work in works:
        stages[work.worker].add(work.stage)
        if work.thread not in threads[work.worker]:
            threads[work.worker].append(work.thread)
    events: list[dict[str, object]] = [
        {"name": "process_name", "ph": "M", "pid": number, "args": {"name": f"{'+'.join(sorted(stages[worker]))} {worker}"}}
        for worker, number in workers.items()
    ]
    events += [
        {
            "name": work.stage,
            "cat": work.stage,
            "ph": "X",
            "pid": workers[work.worker],
            "tid": 1 + threads[work.worker].index(work.thread),
            "ts": round((work.began_s - began_s) * 1e6),
            "dur": round(work.seconds * 1e6),
            "args": {"count": work.count, "video_s": work.video_s, "cpu_s": round(work.cpu_s, 4), "about": work.note},
        }
        for work in works
    ]
    try:
        path.write_text(json.dumps({"traceEvents": events, "displayTimeUnit": "ms"}), encoding="utf-8")
    except OSError as exc:
        raise _unwritable(path, exc) from exc


def _unwritable(path: Path, exc: OSError) -> UsageError:
    return UsageError(f"--trace: {str(path)!r} cannot be written: {exc.strerror}; give a file that you may write")
