"""The commands that look after a library: ``status``, ``history``, ``rollback``, ``relocate``, ``compact``, ``verify``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from commands.common import Command, echo, json_option, library_option, note
from schemas.text import json_text, printable


@click.command(cls=Command)
@library_option
@json_option("Print one JSON object.")
def status(folder: Path, as_json: bool) -> None:
    """Show what a library holds, its models, and what failed.

    \b
    vidsift status --library ~/videos.vidsift
    """
    from index.status import library_status, status_text

    report = library_status(folder)
    echo(json_text(asdict(report)) if as_json else status_text(report))


@click.command(cls=Command)
@library_option
@json_option("Print one JSON object per snapshot.")
def history(folder: Path, as_json: bool) -> None:
    """List a library's snapshots and what each changed.

    \b
    vidsift history --library ~/videos.vidsift
    """
    from index.history import history as run
    from index.history import history_text

    entries = run(folder)
    if not as_json:
        echo(history_text(entries))
        return
    for entry in entries:
        echo(json_text({"snapshot": entry.number, "current": entry.current, **asdict(entry.info)}))


@click.command(cls=Command)
@click.argument("number", metavar="N", type=int)
@library_option
def rollback(number: int, folder: Path) -> None:
    """Return a library to snapshot N.

    This publishes a new snapshot, so a rollback can be rolled back. Tags are not part of snapshots and stay as they are.

    \b
    vidsift rollback 3 --library ~/videos.vidsift
    """
    from jobs.maintain.rollback import rollback as run

    echo(f"back to snapshot {number}, published as snapshot {run(folder, number)}")


@click.command(cls=Command)
@click.argument("old", metavar="OLD", type=click.Path(path_type=str))
@click.argument("new", metavar="NEW", type=click.Path(path_type=str))
@library_option
@json_option("Print one JSON object.")
def relocate(old: str, new: str, folder: Path, as_json: bool) -> None:
    """Tell a library that its videos lie elsewhere now.

    OLD is a folder, a file or a URL, as the library knows it, and NEW is where that is now. Nothing is decoded, and NEW need
    not be there yet. A moved library itself needs nothing.

    \b
    vidsift relocate /mnt/old/films /mnt/new/films --library ~/videos.vidsift
    vidsift relocate /mnt/films s3://archive/films --library ~/videos.vidsift
    """
    from jobs.maintain.relocate import relocate as run
    from jobs.maintain.relocate import relocated_text

    done = run(folder, old, new)
    echo(json_text(asdict(done)) if as_json else relocated_text(done))
    if done.missing is not None:
        note(f"no file of the known size at {done.missing!r}: an ingest of its folder would take such videos out")


@click.command(cls=Command)
@library_option
def compact(folder: Path) -> None:
    """Merge small files and delete unused ones.

    Afterwards the library cannot be rolled back to earlier snapshots.

    \b
    vidsift compact --library ~/videos.vidsift
    """
    from jobs.maintain.rollback import compact as run

    counts = run(folder)
    echo(f"{counts['files_before']} Parquet files before, {counts['files_after']} now")


@click.command(cls=Command)
@library_option
def verify(folder: Path) -> None:
    """Check that a library is complete and consistent.

    The exit code is 1 if a check fails.

    \b
    vidsift verify --library ~/videos.vidsift
    """
    from jobs.maintain.verify import verify as run

    checks = run(folder)
    for check in checks:
        echo(printable(f"{'ok' if check.breach is None else 'BREACH':<6}  {check}"))
    if any(check.breach is not None for check in checks):
        raise SystemExit(1)
