"""A run's log on standard error: one JSON object per line, in the place of sentences and of the progress line."""

from __future__ import annotations

import logging
import re
import threading
import traceback
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from schemas.text import json_text, shortened

if TYPE_CHECKING:
    from jobs.count_progress import CountProgress
    from jobs.ingest.progress import Progress
    from jobs.run_events import Level, RunEvent

# What may be secret in an address: a password, and the query of a web address, which may be a signature. Addresses with such
# are refused as sources; this is for what libraries say of those that they are redirected to.
_PASSWORD = re.compile(r"(://)[^/\s@'\"]*:[^/\s@'\"]*@")
_QUERY = re.compile(r"(https?://[^\s?#'\"]*)[?#][^\s'\"]*", re.IGNORECASE)
_SIGNATURE = re.compile(
    r"([?&](?:x-amz-[\w-]+|x-goog-[\w-]+|awsaccesskeyid|signature|sig|token|access_token|key|password)=)[^&\s'\"]+",
    re.IGNORECASE,
)


def without_secrets(text: str) -> str:
    """``text`` without the passwords and signatures that addresses in it have."""
    text = _QUERY.sub(r"\1?...", _PASSWORD.sub(r"\1...@", text))
    return _SIGNATURE.sub(r"\1...", text)


def write_event(level: Level, event: str, **fields: Any) -> None:
    """Write a line: when, how much it matters, what happened, and more of it."""
    time = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    click.echo(json_text({"time": time, "level": level, "event": event, **_clean(fields)}), err=True)


def write_crash(exc: BaseException) -> None:
    """Write what nobody expected, which ends the run."""
    lines = traceback.format_exception(exc)
    write_event("error", "run_failed", error=f"{type(exc).__name__}: {exc}", exit_code=1, traceback="".join(lines))


def _clean(value: Any) -> Any:
    """The same JSON value with no secret in it, no endless text, and numbers to the thousandth."""
    if isinstance(value, Mapping):
        return {key: _clean(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(inner) for inner in value]
    if isinstance(value, str):
        return shortened(without_secrets(value))
    return round(value, 3) if isinstance(value, float) else value


class JsonLog:
    """Writes what a run tells of, in the ways that `commands.progress_line.ProgressLine` does."""

    _SHOW_EVERY_S = 30.0

    def __init__(self) -> None:
        """Nothing is shown yet."""
        self._shown_s = 0.0

    def tell(self, event: RunEvent) -> None:
        """Write an event."""
        write_event(event.level, event.name, **event.fields())

    def say(self, sentence: str, level: Level = "info") -> None:
        """Write a sentence for people."""
        write_event(level, "message", message=sentence)

    def show(self, progress: Progress | CountProgress) -> None:
        """Write how far a run is, every 30 s."""
        self._shown_s = 0.0 if progress.elapsed_s < self._shown_s else self._shown_s  # another piece of work has begun
        if progress.elapsed_s - self._shown_s >= self._SHOW_EVERY_S:
            self._shown_s = progress.elapsed_s
            write_event("info", "progress", **progress.fields())

    def clear(self) -> None:
        """Nothing stays on a line."""


class _Handler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        level: Level = "error" if record.levelno >= logging.ERROR else "warning"
        write_event(level, "library_message", library=record.name, message=record.getMessage())


@contextmanager
def libraries_logged() -> Iterator[None]:
    """Write what Python libraries warn of as lines, too, while the block runs; they print it as text else."""
    handler, root = _Handler(logging.WARNING), logging.getLogger()
    before, before_in_threads = warnings.showwarning, threading.excepthook

    def show(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
        write_event("warning", "library_message", library=category.__name__, message=str(message))

    def ended(args: threading.ExceptHookArgs) -> None:
        thread = args.thread.name if args.thread else "unknown"
        write_event(
            "error", "library_message", library=f"thread {thread}", message=f"{args.exc_type.__name__}: {args.exc_value}"
        )

    root.addHandler(handler)
    threading.excepthook = ended
    warnings.showwarning = show
    try:
        yield
    finally:
        root.removeHandler(handler)
        warnings.showwarning, threading.excepthook = before, before_in_threads
