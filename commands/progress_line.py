"""What a command shows on a terminal: text that a terminal shows and does not obey, and progress."""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path
from typing import Any, Protocol

import click

from schemas.errors import VidsiftError
from schemas.text import printable, shortened, spelled_out


def echo(text: str, *, err: bool = False) -> None:
    """Print lines, to standard error with ``err``. Whoever made them left no control character in; this sees to it."""
    click.echo(spelled_out(text), err=err)


def complain(sentence: str) -> None:
    """Print one line to standard error: an error, or what a user should know besides."""
    click.echo(f"vidsift: {shortened(printable(sentence))}", err=True)


class Command(click.Command):
    """Says of what the system refuses which argument led there."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command.

        Raises:
            VidsiftError: the system could not do something with a file that an argument names.
        """
        try:
            return super().invoke(ctx)
        except OSError as exc:
            name = self._that_named(ctx, exc.filename)
            if name is None:
                raise
            raise VidsiftError(f"{name}: {os.fsdecode(exc.filename)!r}: {exc.strerror}; give another") from exc

    def _that_named(self, ctx: click.Context, file: object) -> str | None:
        for param in self.params:
            given = ctx.params.get(param.name or "")
            for value in given if isinstance(given, tuple) else (given,):
                if not isinstance(value, str | Path) or not isinstance(file, str | bytes):
                    continue
                if os.fsdecode(file).startswith(str(Path(value))):
                    return param.opts[-1] if isinstance(param, click.Option) else param.make_metavar(ctx)
        return None


class NumberRange(click.FloatRange):
    """A number within a range, which what is no number is not in."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number."""
        number = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value!r} is not a number.", param, ctx)
        return number


class Moment(Protocol):
    """A moment of some work, whose text says how far it is."""

    @property
    def elapsed_s(self) -> float:
        """Seconds since it began."""


class ProgressLine:
    """Shows progress on standard error: a line that renews itself on a terminal, one now and then in a log."""

    _LOG_EVERY_S = 30.0

    def __init__(self) -> None:
        """Nothing is shown yet."""
        self._terminal = sys.stderr.isatty()
        self._width = 0
        self._logged_s = 0.0

    def show(self, progress: Moment) -> None:
        """Show where a run is."""
        text = printable(str(progress))
        if self._terminal:
            click.echo(f"\r{text:<{self._width}}", nl=False, err=True)
            self._width = len(text)
        elif progress.elapsed_s - self._logged_s >= self._LOG_EVERY_S:
            click.echo(text, err=True)
            self._logged_s = progress.elapsed_s

    def end(self) -> None:
        """Clear the line, so that what follows stands alone."""
        if self._width:
            click.echo(f"\r{'':<{self._width}}\r", nl=False, err=True)
