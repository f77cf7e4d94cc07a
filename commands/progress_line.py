"""Progress on standard error: one line that renews itself on a terminal, a line now and then in a log."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import TracebackType
from typing import Protocol

import click

from commands.common import echo
from schemas.text import printable


class Progress(Protocol):
    """How far some work is; its ``str`` is what a person reads."""

    @property
    def elapsed_s(self) -> float:
        """Seconds since the work began."""


def _echo_to_stderr(sentence: str) -> None:
    echo(printable(sentence), err=True)


class ProgressLine:
    """The progress of one piece of work; leaving its ``with`` block clears the line.

        with ProgressLine() as line:
            report = work(say=line.say, on_progress=line.show)

    Args:
        print_note: prints a sentence that `say` is given.
    """

    _LOG_EVERY_S = 30.0

    def __init__(self, print_note: Callable[[str], None] = _echo_to_stderr) -> None:
        """Nothing is shown yet."""
        self._print_note = print_note
        self._on_terminal = sys.stderr.isatty()
        self._width = 0
        self._logged_s = 0.0

    def __enter__(self) -> ProgressLine:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.clear()

    def show(self, progress: Progress) -> None:
        """Show how far the work is; a log gets a line every 30 s."""
        text = printable(str(progress))
        self._logged_s = 0.0 if progress.elapsed_s < self._logged_s else self._logged_s  # another piece of work has begun
        if self._on_terminal:
            click.echo(f"\r{text:<{self._width}}", nl=False, err=True)
            self._width = len(text)
        elif progress.elapsed_s - self._logged_s >= self._LOG_EVERY_S:
            click.echo(text, err=True)
            self._logged_s = progress.elapsed_s

    def counter(self, unit: str) -> Callable[[int, int], None]:
        """A function of (done, total) that shows ``3/5 moments`` on a terminal, and leaves the last count there."""

        def show(done: int, total: int) -> None:
            if not self._on_terminal:
                return
            text = f"{done}/{total} {unit}"
            click.echo(f"\r{text}" + "\n" * (done == total), nl=False, err=True)
            self._width = 0 if done == total else len(text)

        return show

    def say(self, sentence: str) -> None:
        """Print a sentence on a line of its own."""
        self.clear()
        self._print_note(sentence)

    def clear(self) -> None:
        """Clear the line, so that the next output begins at its start."""
        if self._width:
            click.echo(f"\r{'':<{self._width}}\r", nl=False, err=True)
            self._width = 0
