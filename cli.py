"""The command line: a table of commands, each imported when it is called, and errors as one line with their exit code."""

from __future__ import annotations

import gc
import io
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import click

from commands.common import check_arguments, note
from commands.flags import flag_text
from jobs.child_processes import keep_to_what_is_installed
from schemas.errors import VidsiftError
from schemas.text import printable, shortened

# By group and name: where a command is, and its line in ``vidsift --help``, the first sentence of its own help.
COMMANDS = {
    "Index": {
        "ingest": ("commands.ingest:ingest", "Index videos, or bring a library up to date."),
        "demo": ("commands.demo:demo", "Render films, index them, and check the answers."),
    },
    "Ask": {
        "search": ("commands.search:search", "Find moments by text, by example, or by both."),
        "sql": ("commands.sql:sql", "Query videos, clips, labels and tags with SQL."),
        "schema": ("commands.sql:schema", "List the SQL tables and what their columns mean."),
        "export": ("commands.export:export", "Cut found moments into files, or list them as chapters."),
    },
    "Label": {
        "tag": ("commands.tags:tag", "Score every clip for a tag described in words."),
        "teach": ("commands.tags:teach", "Score every clip for a tag taught by examples."),
        "untag": ("commands.tags:untag", "Remove tags from a library."),
    },
    "Evaluate": {
        "evaluate": ("commands.evaluate:evaluate", "Measure a library against labelled moments."),
        "evaluate-model": ("commands.evaluate:evaluate_model", "Measure a model on labelled or captioned videos."),
    },
    "Learn": {
        "dataset": ("commands.data:dataset", "Summarise training data and list damaged videos."),
        "preview": ("commands.data:preview", "Draw the frames of a clip as a model is shown them."),
        "finetune": ("commands.train:finetune", "Train a video classifier on your own classes."),
        "pretrain": ("commands.train:pretrain", "Train a VideoMAE on videos without labels."),
        "align": ("commands.train:align", "Train an X-CLIP on captioned moments."),
    },
    "Look after": {
        "status": ("commands.library:status", "Show what a library holds, its models, and what failed."),
        "history": ("commands.library:history", "List a library's snapshots and what each changed."),
        "rollback": ("commands.library:rollback", "Return a library to snapshot N."),
        "compact": ("commands.library:compact", "Merge small files and delete unused ones."),
        "verify": ("commands.library:verify", "Check that a library is complete and consistent."),
    },
}

_PLACES = {name: place for commands in COMMANDS.values() for name, (place, _) in commands.items()}


class LazyCommands(Mapping[str, click.Command]):
    """`COMMANDS` by name; looking one up imports its module."""

    def __getitem__(self, name: str) -> click.Command:
        """The command ``name``; KeyError if there is none."""
        module, function = _PLACES[name].split(":")
        command: click.Command = getattr(import_module(module), function)
        return command

    def __iter__(self) -> Iterator[str]:
        return iter(_PLACES)

    def __len__(self) -> int:
        return len(_PLACES)


@contextmanager
def _printable_usage_errors() -> Iterator[None]:
    """Spell out control characters in click's own errors, which quote what was typed."""
    try:
        yield
    except click.ClickException as exc:
        object.__setattr__(exc, "message", shortened(printable(exc.message)))  # which click itself only ever reads
        raise


class CommandGroup(click.Group):
    """Lists its commands in groups, and prints errors as one line with their exit code."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands from the table alone, so that no command is imported."""
        width = max(map(len, self.commands))
        for group, commands in COMMANDS.items():
            with formatter.section(group):
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
        except VidsiftError as exc:
            message, code = flag_text(exc, self.commands.get(ctx.invoked_subcommand or "")), exc.exit_code
        except KeyboardInterrupt:
            message, code = "interrupted", 130
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader has seen enough
            message, code = "", 0
        except OSError as exc:  # what no step expected: a disk that fills up under standard output, a folder locked midway
            message, code = f"{exc.strerror or exc}{f': {exc.filename!r}' if exc.filename else ''}", 1
        if message:
            note(message)
        gc.collect()  # or DuckDB complains of objects that the error's frames hold in a circle
        ctx.exit(code)


@click.group(
    cls=CommandGroup,
    commands=LazyCommands(),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="vidsift")
def main() -> None:
    """Index folders of video once, then find where things happen.

    \b
    vidsift ingest ~/Videos --library ~/videos.vidsift
    vidsift search "people baking a cake" --library ~/videos.vidsift
    vidsift sql "select path, duration_s from videos" --library ~/videos.vidsift
    """


def run() -> None:
    """Run `main` as a process of its own; `search` and `sql` end without unloading modules, which takes 0.8 s."""
    keep_to_what_is_installed()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal of another encoding than UTF-8 gets what it can show
            stream.reconfigure(errors="backslashreplace")
    try:
        main()
    except SystemExit as exc:
        if sys.argv[1:2] not in (["search"], ["sql"]) or not isinstance(exc.code, int):
            raise
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(exc.code)


if __name__ == "__main__":
    run()
