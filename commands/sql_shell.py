"""SQL statements from a prompt at a terminal, or from a pipe."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

import click
import pyarrow as pa

from commands.flags import flag_text
from commands.schema_output import schema_text
from commands.sql_completion import Completer, Editor, History
from commands.sql_statements import is_blank, split_statements
from index.sql.catalog import Catalog
from schemas.errors import QueryError, UsageError, VidsiftError
from schemas.sql import HITS, TABLES
from schemas.text import printable

_HELP = """\
A statement ends with ; and may have several lines. Tab completes, the arrow keys bring back what was asked before.
.tables          the tables
.schema [TABLE]  their columns, and what these mean
.help            this
.quit            leave, as Ctrl-D does
Ctrl-C drops what is typed, or ends the query that is running."""

_PROMPT, _CONTINUATION = "vidsift> ", "    ...> "


def statements_of(data: bytes) -> list[str]:
    """The statements in ``data``, read from standard input; the last one needs no semicolon.

    Raises:
        UsageError: ``data`` is not UTF-8.
        QueryError: ``data`` holds no statement.
    """
    try:
        text = data.decode()
    except UnicodeDecodeError as exc:
        raise UsageError("standard input: got bytes that are no UTF-8, expected SQL in UTF-8") from exc
    statements, rest = split_statements(text)
    if not is_blank(rest):
        statements.append(rest.strip())
    if not statements:
        raise QueryError(
            "QUERY: got none, and none on standard input; give one, such as: select label, count(*) from clips group by 1"
        )
    return statements


def read_line(prompt: str) -> str:
    """A line from the terminal; the prompt goes to standard error where standard output is redirected.

    Raises:
        EOFError: there is no further line.
    """
    if sys.stdout.isatty():
        return input(prompt)
    click.echo(prompt, nl=False, err=True)
    return input()


class Prompt:
    """Asks for statements and shows their results until the user leaves.

    Args:
        catalog: answers the statements.
        with_hits: whether the table hits is in it.
        timeout_s: seconds after which a statement is stopped.
        ask: prints a prompt and returns the line typed, as ``input`` does.
        show: prints a result.
        say: prints any other text.
        history: earlier statements; None is the user's own.
    """

    def __init__(
        self,
        catalog: Catalog,
        *,
        with_hits: bool,
        timeout_s: float,
        ask: Callable[[str], str],
        show: Callable[[pa.Table], None],
        say: Callable[[str], None],
        history: History | None = None,
    ) -> None:
        self._catalog, self._timeout_s = catalog, timeout_s
        self._tables = (*TABLES, HITS) if with_hits else TABLES
        self._ask, self._show, self._say = ask, show, say
        self._commands: dict[str, Callable[[Sequence[str]], None]] = {
            ".tables": self._list_tables,
            ".schema": self._describe,
            ".help": lambda _: self._say(_HELP),
        }
        completer = Completer(self._tables, catalog.keywords(), [*self._commands, ".quit"])
        self._editor = Editor(completer, history or History())

    def run(self) -> None:
        """Ask for statements until the end of input or ``.quit``."""
        self._say("A statement ends with ; and .help says what else there is.")
        unfinished = ""
        while True:
            try:
                line = self._ask(_CONTINUATION if unfinished else _PROMPT)
            except EOFError:
                self._say("")
                return
            except KeyboardInterrupt:
                self._say("")
                unfinished = ""
                continue
            except UnicodeDecodeError:
                self._say("vidsift: QUERY: got bytes that are no UTF-8, expected UTF-8; set the terminal's encoding to it")
                continue
            command = line.split()
            if not unfinished and command and command[0].startswith("."):
                if command[0] in (".quit", ".exit"):
                    return
                self._run_command(command[0], command[1:])
                continue
            unfinished = self._answer_all(f"{unfinished}{line}\n")

    def _answer_all(self, text: str) -> str:
        """Answer the finished statements in ``text``, and return the unfinished rest."""
        statements, rest = split_statements(text)
        for statement in statements:
            self._editor.remember(f"{statement};")
            try:
                self._show(self._catalog.sql(statement, timeout_s=self._timeout_s))
            except VidsiftError as exc:
                context = click.get_current_context(silent=True)
                self._say(printable(f"vidsift: {flag_text(exc, context.command if context else None)}"))
            except KeyboardInterrupt:
                self._say("\ninterrupted")
                break
        return "" if is_blank(rest) else rest

    def _run_command(self, command: str, arguments: Sequence[str]) -> None:
        if command in self._commands:
            self._commands[command](arguments)
        else:
            self._say(f"no such command: {printable(command)}; expected {', '.join(self._commands)}, .quit")

    def _list_tables(self, _: Sequence[str]) -> None:
        for table in self._tables:
            self._say(f"{table.name:<13}{table.meaning}")

    def _describe(self, names: Sequence[str]) -> None:
        table_names = [name.rstrip(";").lower() for name in names]
        tables = [table for table in self._tables if table.name in table_names or not table_names]
        if len(tables) < len(set(table_names)):
            self._say(f".schema: got {' '.join(names)}, expected {', '.join(table.name for table in self._tables)}")
        else:
            self._say(schema_text(tables))
