"""The command that indexes: ``ingest``."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any, Literal

import click

from commands.common import echo, json_option, library_option, time_limit_options
from commands.ingest_options import ingest_arguments, ingest_options
from commands.observe import ObservedCommand, observe_options, observed
from schemas.text import json_text

# The exit codes of a run that was stopped, or whose time was up, before all was done: the same command goes on.
_INTERRUPTED, _TIME_WAS_UP = 130, 3
_OUTCOMES: dict[int, Literal["finished", "time_up", "interrupted"]] = {
    0: "finished",
    _TIME_WAS_UP: "time_up",
    _INTERRUPTED: "interrupted",
}
_GO_ON = "interrupted; what was finished is kept, run the same command again to go on"


@click.command(cls=ObservedCommand)
@click.argument("sources", metavar="SOURCE...", nargs=-1, required=True, type=click.Path(path_type=str))
@library_option
@ingest_options
@click.option("--allow-empty", is_flag=True, help="Remove missing videos even if a source has no video left.")
@click.option("--retry-failed", is_flag=True, help="Read videos again that failed or were indexed in part.")
@click.option("--rehash", is_flag=True, help="Read every file, to find changes that kept size and time.")
@time_limit_options
@click.option(
    "--trace", metavar="FILE", type=click.Path(path_type=Path), help="Write a trace of all processes, for Perfetto."
)
@observe_options
@json_option("Print one JSON object at the end.")
def ingest(
    sources: tuple[str, ...],
    folder: Path,
    as_json: bool,
    log_json: bool,
    metrics_port: int | None,
    metrics_host: str,
    **given: Any,
) -> None:
    """Index videos, or bring a library up to date.

    A SOURCE is a video or a folder of videos, on disk or at s3://, gs://, az://, https://, sftp://. Each file is matched
    with a GLOB by its name, by its path below SOURCE, and by those of the folders that hold it. * matches slashes too; case
    is ignored. A GLOB removes no video from the library.

    \b
    vidsift ingest ~/Videos /mnt/camera --library ~/videos.vidsift
    vidsift ingest ~/Videos --library ~/videos.vidsift --classifier ./my-videomae --window 2
    vidsift ingest /mnt/archive --library ~/videos.vidsift --stop-at 06:30
    vidsift ingest ~/Videos --library ~/videos.vidsift --include '*.mov' --include 'holidays/*' --exclude proxies
    """
    arguments = ingest_arguments(given)
    from index.storage.config import read_library_config
    from index.storage.paths import Library
    from jobs.ingest.ingest import ingest as run
    from jobs.ingest.library_config import licence_notes
    from jobs.ingest.report import Interrupted, ingest_text
    from jobs.run_events import RunEnded

    interrupted = False
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what stops a service stops it as cleanly as Ctrl-C
    is_new = read_library_config(Library(folder)) is None
    code = 0
    with observed(
        "ingest", sources, folder, log_json=log_json, metrics_port=metrics_port, metrics_host=metrics_host
    ) as seen:
        try:
            report = run(sources, folder, on_progress=seen.show, on_event=seen.tell, **arguments)
        except Interrupted as exc:
            report, interrupted, code = exc.report, True, _INTERRUPTED
        if report.time_is_up and not interrupted:
            code = _TIME_WAS_UP
        seen.clear()
        if is_new and (config := read_library_config(Library(folder))) is not None:
            for sentence in licence_notes(config):
                seen.say(sentence)
        echo(json_text(report.as_json()) if as_json else ingest_text(report))
        seen.tell(
            RunEnded(
                outcome=_OUTCOMES[code],
                exit_code=code,
                seconds=seen.seconds,
                account=report.account(),
                sentence=_GO_ON if interrupted else "",
            )
        )
    if interrupted:
        sys.stdout.flush()
        os._exit(code)  # an interpreter that was stopped while Ray's threads start can crash on its way out
    if code:
        raise SystemExit(code)
