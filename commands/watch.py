"""The command that indexes what arrives: ``watch``."""

from __future__ import annotations

import math
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from commands.common import Duration, echo, json_option, library_option, note
from commands.ingest_options import ingest_arguments, ingest_options
from commands.observe import Observed, ObservedCommand, observe_options, observed
from schemas.text import json_text


@click.command(cls=ObservedCommand)
@click.argument("sources", metavar="SOURCE...", nargs=-1, required=True, type=click.Path(path_type=str))
@library_option
@click.option(
    "--every", "every_s", type=Duration(), default="10m", show_default=True, help="List the sources again after this time."
)
@click.option(
    "--settle",
    "settle_s",
    type=Duration(),
    default="10s",
    show_default=True,
    help="Index a file once its size and time have stood still for this long.",
)
@click.option(
    "--publish-every",
    "publish_every_s",
    type=Duration(),
    default="1m",
    show_default=True,
    help="Leave at least this time between two snapshots.",
)
@click.option(
    "--notify",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Tell of new moments that the alerts in this TOML file look for.",
)
@ingest_options
@observe_options
@json_option("Print one JSON object for each time that something was indexed.")
def watch(
    sources: tuple[str, ...],
    folder: Path,
    every_s: float,
    settle_s: float,
    publish_every_s: float,
    notify: Path | None,
    as_json: bool,
    log_json: bool,
    metrics_port: int | None,
    metrics_host: str,
    **given: Any,
) -> None:
    """Index videos as they arrive.

    Folders of this machine are followed by the system's notices, and all sources are listed --every 10m. Ray and the models
    stay loaded. Ctrl-C and SIGTERM end it: what is finished is kept, and the exit code is 0.

    \b
    vidsift watch /mnt/camera --library ~/videos.vidsift
    vidsift watch ~/Videos /mnt/nas --library ~/videos.vidsift --every 5m --settle 1m
    vidsift watch /mnt/camera --library ~/videos.vidsift --notify alerts.toml
    """
    arguments = ingest_arguments(given)
    from jobs.run_events import RunEnded
    from jobs.watch.arrivals import FolderArrivals
    from jobs.watch.report import round_json, round_text
    from jobs.watch.watch import Round, Watch, WatchOptions

    options = WatchOptions(every_s=every_s, settle_s=settle_s, publish_every_s=publish_every_s)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what stops a service stops it as cleanly as Ctrl-C
    with observed("watch", sources, folder, log_json=log_json, metrics_port=metrics_port, metrics_host=metrics_host) as seen:

        def tell(done: Round) -> None:
            seen.clear()
            if done.report is None:
                if not log_json:
                    note(round_text(done))
            else:
                echo(json_text(round_json(done)) if as_json else round_text(done))
                sys.stdout.flush()

        after_round = _no_alerts if notify is None else _alerts(notify, folder, seen, given["embedder"])
        arrivals = FolderArrivals(seen.warn)
        watched = Watch(
            sources,
            folder,
            arrivals,
            options=options,
            on_round=tell,
            say=seen.warn,
            after_round=after_round,
            ingest_arguments={**arguments, "on_progress": seen.show},
            on_event=seen.tell,
        )
        try:
            watched.run()
        except KeyboardInterrupt:
            seen.clear()
        finally:
            arrivals.close()
        ended = "ended; what was finished is kept"
        seen.tell(RunEnded(outcome="ended", exit_code=0, seconds=seen.seconds, account=seen.totals, sentence=ended))
    sys.stdout.flush()
    os._exit(0)  # an interpreter that was stopped while Ray's threads start can crash on its way out


def _no_alerts() -> float:
    return math.inf


def _alerts(file: Path, folder: Path, seen: Observed, embedder: str | None) -> Callable[[], float]:
    """What looks for the alerts of a file after each round."""
    from jobs.watch.alert_rules import read_rules
    from jobs.watch.alerts import Alerts

    alerts = Alerts(read_rules(file), folder, seen.warn, embedder=embedder, on_event=seen.tell)
    alerts.begin()
    return alerts.look_and_tell
