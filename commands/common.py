"""Shared by the commands: what they print with, how they name a refused file, and the options that several have."""

from __future__ import annotations

import math
import os
import re
import shlex
import sys
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import click

from schemas.errors import VidsiftError
from schemas.text import printable, shortened, spelled_out

_F = TypeVar("_F", bound=Callable[..., Any])


def echo(text: str, *, err: bool = False) -> None:
    """Print lines to standard output, or with ``err`` to standard error.

    Control characters are spelled out, so that no text can steer the terminal.
    """
    click.echo(spelled_out(text), err=err)


def note(sentence: str) -> None:
    """Print ``vidsift: sentence`` as one line to standard error: an error, or a note beside the result."""
    click.echo(f"vidsift: {shortened(printable(sentence))}", err=True)


def command_line() -> str:
    """The command as it was typed, quoted for a shell."""
    return shlex.join(["vidsift", *sys.argv[1:]])


class Command(click.Command):
    """A command that names the argument whose file the system refused."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command.

        Raises:
            VidsiftError: the system refused an operation on a file that an argument names.
        """
        try:
            return super().invoke(ctx)
        except OSError as exc:
            name = self._argument_of(ctx, exc.filename)
            if name is None:
                raise
            raise VidsiftError(f"{name}: {os.fsdecode(exc.filename)!r}: {exc.strerror}; give another") from exc

    def _argument_of(self, ctx: click.Context, file: object) -> str | None:
        """The option or argument whose value is ``file`` or a folder above it; None if there is none."""
        if not isinstance(file, str | bytes):
            return None
        for param in self.params:
            given = ctx.params.get(param.name or "")
            for value in given if isinstance(given, tuple) else (given,):
                if isinstance(value, str | Path) and os.fsdecode(file).startswith(str(Path(value))):
                    return param.opts[-1] if isinstance(param, click.Option) else param.make_metavar(ctx)
        return None


class NumberRange(click.FloatRange):
    """A number within a range; ``nan`` is refused."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number as a float."""
        number = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value!r} is not a number.", param, ctx)
        return number


class Duration(click.ParamType[float]):
    """A length of time as ``90``, ``90s``, ``10m`` or ``1.5h``, in seconds."""

    name = "time"
    _UNITS_S: ClassVar = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The length as seconds."""
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smh]?)\s*", str(value), re.ASCII)
        if match is None:
            self.fail(f"got {value!r}, expected a length of time such as 90s, 10m or 1h.", param, ctx)
        return float(match[1]) * self._UNITS_S[match[2]]


def check_arguments(arguments: Sequence[str]) -> None:
    """Refuse arguments that no shell can pass, but Python code can: NUL characters and half surrogate pairs.

    Raises:
        click.UsageError: one of them is such; the message names its option.
    """
    for before, argument in pairwise(["", *arguments]):
        if "\0" not in argument and _can_be_passed(argument):
            continue
        options = [text for text in (argument, before) if text.startswith("-") and text.strip("-")]
        name = options[0].partition("=")[0] if options else "an argument"
        raise click.UsageError(
            f"{name}: got {argument!r}, expected any text without NUL characters and half surrogate pairs"
        )


def _can_be_passed(argument: str) -> bool:
    """Whether a shell can pass ``argument``: any bytes, with those that are not UTF-8 as Python spells them."""
    try:
        os.fsencode(argument)
    except UnicodeEncodeError:
        return False
    return True


class LibraryPath(click.Path):
    """A library's folder. For the address of one in an object store, that is the folder of its working copy."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The folder."""
        if isinstance(value, str) and "://" in value:
            from index.object_store import library_folder
            from schemas.errors import UsageError

            try:
                return library_folder(value)
            except UsageError as exc:
                name = param.opts[0].lstrip("-").replace("-", "_") if param else "library"
                raise UsageError(exc.message, argument=name) from exc
        return super().convert(value, param, ctx)


def library_option(command: _F) -> _F:
    """``--library DIR``, required, as ``folder``."""
    return _library_option("folder", "Folder of the library, or its s3://, gs:// or az:// address.", multiple=False)(command)


def libraries_option(command: _F) -> _F:
    """``--library DIR``, once or several times, as ``folders``."""
    return _library_option(
        "folders", "Folder of a library, or its s3://, gs:// or az:// address; may be repeated.", multiple=True
    )(command)


def _library_option(name: str, help_text: str, *, multiple: bool) -> Callable[[_F], _F]:
    kind = LibraryPath(path_type=Path)
    return click.option("--library", name, type=kind, required=True, multiple=multiple, metavar="DIR", help=help_text)


def embedder_option(command: _F) -> _F:
    """``--embedder MODEL`` of the commands that read a library."""
    return click.option(
        "--embedder", metavar="MODEL", help="Hub id or folder of the library's embedder, if it has moved since the ingest."
    )(command)


def rerank_option(command: _F) -> _F:
    """``--rerank N``."""
    return click.option(
        "--rerank", default=100, show_default=True, help="Rerank this many of the best clips; 0 turns reranking off."
    )(command)


def json_option(help_text: str) -> Callable[[_F], _F]:
    """``--json``, as ``as_json``."""
    return click.option("--json", "as_json", is_flag=True, help=help_text)


def time_limit_options(command: _F) -> _F:
    """When a run ends in good order although there is more to do."""
    for option in (
        click.option(
            "--stop-at", metavar="HH:MM", help="Begin no more files from this time of day on; finish and publish the others."
        ),
        click.option("--max-hours", type=float, metavar="H", help="Likewise, H hours from now."),
    ):
        command = option(command)
    return command


def run_options(command: _F) -> _F:
    """The limits and the place of a run over many videos."""
    for option in (
        click.option(
            "--cpus", "num_cpus", type=int, help="CPUs that Ray may use if it is started on this machine. [default: all]"
        ),
        click.option("--address", metavar="HOST:PORT", help="Run on this Ray cluster. [default: start Ray on this machine]"),
        click.option(
            "--max-memory",
            "max_memory_mb",
            type=int,
            default=4096,
            show_default=True,
            help="Give up on a video if reading it takes more than this many megabytes of memory.",
        ),
        click.option(
            "--video-timeout",
            "video_timeout_s",
            type=float,
            default=600.0,
            show_default=True,
            help="Give up on a video if reading one minute of it takes more than this many seconds.",
        ),
    ):
        command = option(command)
    return command
