"""A group of commands that are imported when they are called, and whose errors are one line with an exit code."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import click

from commands.common import check_arguments, note
from commands.flags import flag_text
from schemas.errors import VidsiftError
from schemas.text import printable, shortened

# By heading and name: ``module:function`` of a command, and its line in the group's help.
CommandTable = Mapping[str, Mapping[str, tuple[str, str]]]


class LazyCommands(Mapping[str, click.Command]):
    """The commands of a table, by name; looking one up imports its module."""

    def __init__(self, table: CommandTable) -> None:
        self.table = table
        self._places = {name: place for commands in table.values() for name, (place, _) in commands.items()}

    def __getitem__(self, name: str) -> click.Command:
        """The command ``name``; KeyError if there is none."""
        module, function = self._places[name].split(":")
        command: click.Command = getattr(import_module(module), function)
        return command

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


@contextmanager
def _printable_usage_errors() -> Iterator[None]:
    """Spell out control characters in click's own errors, which quote what was typed."""
    try:
        yield
    except click.ClickException as exc:
        object.__setattr__(exc, "message", shortened(printable(exc.message)))  # which click itself only ever reads
        raise


def ending_of(exc: VidsiftError | OSError | KeyboardInterrupt, command: click.Command | None) -> tuple[str, int]:
    """What is said of an error that ends ``command``, and the exit code."""
    if isinstance(exc, VidsiftError):
        return flag_text(exc, command), exc.exit_code
    if isinstance(exc, KeyboardInterrupt):
        return "interrupted", 130
    # What no step expected: a disk that fills up under standard output, a folder locked midway.
    return f"{exc.strerror or exc}{f': {exc.filename!r}' if exc.filename else ''}", 1


class CommandGroup(click.Group):
    """Lists its commands under headings, and prints errors as one line with their exit code."""

    commands: LazyCommands  # type: ignore[assignment]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands from the table alone, so that no command is imported."""
        width = max(map(len, self.commands))
        for heading, commands in self.commands.table.items():
            with formatter.section(heading):
                formatter.write_dl([(f"{name:<{width}}", short_help) for name, (_, short_help) in commands.items()])

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """Check the arguments, then parse them."""
        with _printable_usage_errors():
            check_arguments(args)
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; an error that it raises ends the process with the error's exit code."""
        try:
            with _printable_usage_errors():
                return super().invoke(ctx)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader has seen enough
            message, code = "", 0
        except (VidsiftError, OSError, KeyboardInterrupt) as exc:
            message, code = ending_of(exc, self.commands.get(ctx.invoked_subcommand or ""))
        if message:
            note(message)
        gc.collect()  # or DuckDB complains of objects that the error's frames hold in a circle
        ctx.exit(code)
