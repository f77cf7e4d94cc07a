"""What a command shows on a terminal while it works."""

from __future__ import annotations

import sys
from typing import Protocol

import click


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
        text = str(progress)
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
