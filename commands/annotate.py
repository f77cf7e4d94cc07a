"""The command for what is shot, said and written: ``annotate``, and the options that ``ingest`` shares with it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from commands.common import Command, echo, json_option, library_option, note, run_options
from commands.progress_line import ProgressLine
from schemas.errors import UsageError
from schemas.options import IngestOptions
from schemas.text import json_text

_F = TypeVar("_F", bound=Callable[..., Any])

# The options that are settings of an annotator: option, annotator, setting.
_SETTINGS = (
    ("detector", "shots", "detector"),
    ("speech_model", "speech", "model"),
    ("speech_engine", "speech", "engine"),
    ("language", "speech", "language"),
)


def annotator_options(command: _F) -> _F:
    """The options that are settings of annotators, which `annotator_settings` takes, and the one of their texts."""
    for option in (
        click.option(
            "--text-embedder",
            metavar="MODEL",
            help="Also find speech and text in other words, by a sentence encoder: hub id or folder; none takes it out. "
            "[default: the library's]",
        ),
        click.option("--language", metavar="CODE", help="Language of the speech, such as en. [default: found by the model]"),
        click.option("--speech-engine", metavar="NAME", help="Run Whisper by torch or by faster-whisper. [default: torch]"),
        click.option(
            "--speech-model", metavar="MODEL", help="Whisper model: hub id or folder. [default: openai/whisper-base]"
        ),
        click.option("--detector", metavar="NAME", help="Find shots by content or by transnetv2. [default: content]"),
    ):
        command = option(command)
    return command


def annotator_settings(given: dict[str, Any]) -> dict[str, dict[str, str]]:
    """The settings of annotators by name, taken out of a command's values."""
    model = given["speech_model"]
    if model is not None and os.path.isdir(model):
        given["speech_model"] = os.path.abspath(model)  # later ingests run elsewhere
    settings: dict[str, dict[str, str]] = {}
    for option, annotator, setting in _SETTINGS:
        if (value := given.pop(option)) is not None:
            settings.setdefault(annotator, {})[setting] = value
    return settings


@click.command(cls=Command)
@click.argument("channels", metavar="[ANNOTATOR]...", nargs=-1)
@library_option
@annotator_options
@click.option("--remove", is_flag=True, help="Take these annotators and all that they wrote out of the library.")
@click.option("--retry-failed", is_flag=True, help="Read videos again that could not be read.")
@run_options
@json_option("Print one JSON object at the end.")
def annotate(
    channels: tuple[str, ...],
    folder: Path,
    text_embedder: str | None,
    remove: bool,
    retry_failed: bool,
    as_json: bool,
    **given: Any,
) -> None:
    """Find shots, speech and text in a library's videos.

    An ANNOTATOR is shots, subtitles, speech or text; without any, those that the library has. Each reads the videos that it
    has not read yet, and fills a table: shots, speech (subtitles and speech) or screen_text. Later ingests run them too.

    \b
    vidsift annotate shots subtitles --library ~/videos.vidsift
    vidsift annotate speech --speech-model ./whisper-small --language de --library ~/videos.vidsift
    vidsift annotate --text-embedder sentence-transformers/all-MiniLM-L6-v2 --library ~/videos.vidsift
    vidsift annotate text --remove --library ~/videos.vidsift
    """
    settings = annotator_settings(given)
    from jobs.annotate.annotate import annotate as run
    from jobs.annotate.annotate import take_out
    from jobs.annotate.report import annotate_text

    if remove:
        if not channels:
            raise UsageError("got none; name what to take out, such as: text", argument="channels")
        removed = take_out(folder, channels)
        echo(
            json_text(removed) if as_json else "\n".join(f"{name}: out of {count} videos" for name, count in removed.items())
        )
        return
    with ProgressLine() as line:
        report = run(
            folder,
            channels,
            settings=settings,
            text_embedder=text_embedder,
            options=IngestOptions(**given),
            retry_failed=retry_failed,
            on_progress=line.show,
        )
    echo(json_text(report.as_json()) if as_json else annotate_text(report))
    if report.interrupted:
        note("interrupted; what was finished is kept, run the same command again to go on")
        sys.stdout.flush()
        os._exit(130)  # as an interrupted ingest ends
