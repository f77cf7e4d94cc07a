"""How `ingest` and `watch` can be looked after while nobody sits before them: a log in JSON, and metrics."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from commands.common import Command, note
from commands.group import ending_of
from commands.json_log import JsonLog, libraries_logged, write_crash, write_event
from commands.progress_line import ProgressLine
from schemas.errors import VidsiftError
from schemas.text import printable, shortened

if TYPE_CHECKING:
    from jobs.count_progress import CountProgress
    from jobs.ingest.progress import Progress
    from jobs.observe.metrics import RunMetrics
    from jobs.run_events import OnEvent, RunEvent

_F = TypeVar("_F", bound=Callable[..., Any])

_LOG_JSON = "--log-json"

_TOTALS = (
    "rounds",
    "failed_rounds",
    "indexed",
    "partial",
    "failed",
    "moved",
    "removed",
    "clips",
    "video_seconds",
)


def observe_options(command: _F) -> _F:
    """``log_json``, ``metrics_port`` and ``metrics_host``, as `observed` takes them."""
    for option in (
        click.option(
            "--metrics-host", default="127.0.0.1", show_default=True, help="Address to listen on for --metrics-port."
        ),
        click.option(
            "--metrics-port",
            type=click.IntRange(0, 65535),
            metavar="N",
            help="Answer at http://HOST:N/metrics with metrics for Prometheus; 0 takes any free port.",
        ),
        click.option(_LOG_JSON, is_flag=True, help="Write one JSON object per line to standard error, in place of text."),
    ):
        command = option(command)
    return command


class ObservedCommand(Command):
    """A command with `observe_options`, whose errors are lines of JSON too, where its log is."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """Parse the arguments."""
        if _LOG_JSON not in args:
            return super().make_context(info_name, args, parent, **extra)
        try:
            return super().make_context(info_name, args, parent, **extra)
        except click.ClickException as exc:
            raise _written(exc) from exc

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        if not ctx.params.get("log_json"):
            return super().invoke(ctx)
        try:
            return super().invoke(ctx)
        except click.ClickException as exc:
            raise _written(exc) from exc
        except BrokenPipeError:
            raise
        except (VidsiftError, OSError, KeyboardInterrupt) as exc:
            message, code = ending_of(exc, self)
            write_event("error", "run_failed", error=message, exit_code=code)
            raise click.exceptions.Exit(code) from exc
        except click.exceptions.Exit:
            raise
        except Exception as exc:  # a log in JSON holds no traceback beside its lines
            write_crash(exc)
            raise click.exceptions.Exit(1) from exc


def _written(exc: click.ClickException) -> click.exceptions.Exit:
    """Write a click error as a line; what ends the command then."""
    write_event("error", "run_failed", error=shortened(printable(exc.format_message())), exit_code=exc.exit_code)
    return click.exceptions.Exit(exc.exit_code)


class Observed:
    """What a run tells, and who is told: the log or a person at a terminal, and the metrics.

    Attributes:
        log_json: whether the log is JSON.
        began_s: when the run began, by `time.monotonic`.
        totals: of the run so far, by name: videos by what became of them, clips, seconds of video, rounds.
    """

    def __init__(self, printer: ProgressLine | JsonLog, tell_printer: OnEvent) -> None:
        self._printer, self._tell_printer = printer, tell_printer
        self._metrics: RunMetrics | None = None
        self.log_json = isinstance(printer, JsonLog)
        self.began_s = time.monotonic()
        self.totals: Counter[str] = Counter(dict.fromkeys(_TOTALS, 0))

    def count_in(self, metrics: RunMetrics) -> None:
        """Let metrics know from now on."""
        self._metrics = metrics

    @property
    def seconds(self) -> float:
        """Since the run began."""
        return time.monotonic() - self.began_s

    def tell(self, event: RunEvent) -> None:
        """Tell of an event."""
        if self._metrics is not None:
            self._metrics.tell(event)
        self._add(event)
        self._tell_printer(event)

    def _add(self, event: RunEvent) -> None:
        names = {
            "files_listed": ("moved", "removed"),
            "committed": ("indexed", "partial", "failed", "clips", "video_seconds"),
        }.get(event.name, ())
        for name in names:
            self.totals[name] += getattr(event, name)
        if event.name in ("round_ended", "round_failed"):
            self.totals["rounds"] += 1
            self.totals["failed_rounds"] += event.name == "round_failed"

    def show(self, progress: Progress | CountProgress) -> None:
        """Show how far it is."""
        if self._metrics is not None:
            self._metrics.show(progress)
        self._printer.show(progress)

    def say(self, sentence: str) -> None:
        """Tell a sentence."""
        self._printer.say(sentence)

    def warn(self, sentence: str) -> None:
        """Tell a sentence of something that is not as it should be."""
        if isinstance(self._printer, JsonLog):
            self._printer.say(sentence, "warning")
        else:
            self._printer.say(sentence)

    def clear(self) -> None:
        """Make room for output."""
        self._printer.clear()


@contextmanager
def observed(
    command: str,
    sources: Sequence[str],
    folder: Path,
    *,
    log_json: bool,
    metrics_port: int | None,
    metrics_host: str,
) -> Iterator[Observed]:
    """What a run tells while the block runs, with the metrics server and the OTLP export that were asked for.

    Raises:
        UsageError: nobody can listen at the port.
    """
    from jobs.observe.otlp import otlp_endpoint
    from jobs.run_events import sentences

    with ExitStack() as stack:
        if log_json:
            log = JsonLog()
            stack.enter_context(libraries_logged())
            _write_start(command, sources, folder)
            seen = Observed(log, log.tell)
        else:
            line = stack.enter_context(ProgressLine(note))
            seen = Observed(line, sentences(line.say))
        endpoint = otlp_endpoint()
        if metrics_port is not None or endpoint is not None:
            seen.count_in(stack.enter_context(_metrics(command, folder, metrics_host, metrics_port, endpoint, seen)))
        yield seen


@contextmanager
def _metrics(
    command: str, folder: Path, host: str, port: int | None, endpoint: str | None, seen: Observed
) -> Iterator[RunMetrics]:
    from index.storage.paths import Library
    from jobs.observe.http import metrics_server
    from jobs.observe.metrics import RunMetrics
    from jobs.observe.otlp import otlp_push

    metrics = RunMetrics(command, Library(folder))
    with ExitStack() as stack:
        if port is not None:
            seen.say(f"metrics are at {stack.enter_context(metrics_server(metrics.registry, host, port))}")
        if endpoint is not None:
            stack.enter_context(otlp_push(metrics.registry, endpoint, seen.warn))
        yield metrics


def _write_start(command: str, sources: Sequence[str], folder: Path) -> None:
    import os
    from importlib.metadata import version

    from index.storage.paths import Library
    from schemas.records import path_text

    write_event(
        "info",
        "run_started",
        command=command,
        version=version("vidsift"),
        library=path_text(Library(folder).address),
        sources=[path_text(source) for source in sources],
        host=os.uname().nodename,
        process_id=os.getpid(),
    )
