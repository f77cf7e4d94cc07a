"""Completion and history of the SQL prompt.

The line editor is the standard library's readline. prompt_toolkit would add a menu, but also two packages and 0.1 s at the
start. Where Python was built without readline, the prompt works without completion.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from schemas.sql import TableMeaning

# Statements offered again; a file with more than twice as many is cut to these.
_KEPT = 1_000

# Characters that separate words; the full stop is part of h.score and .tables.
_DELIMITERS = " \t\n`~!@#$%^&*()-=+[{]}\\|;:'\",<>/?"


class Completer:
    """Completes words to names of tables and columns, to SQL's keywords, and to the prompt's commands.

    Args:
        tables: tables that can be queried.
        keywords: SQL's keywords in lower case.
        commands: the prompt's commands, such as ``.tables``.
    """

    def __init__(self, tables: Sequence[TableMeaning], keywords: Sequence[str], commands: Sequence[str]) -> None:
        self._columns = {table.name: list(table.column_names) for table in tables}
        self._keywords, self._commands = keywords, commands
        self._candidates: list[str] = []

    def complete(self, word: str) -> list[str]:
        """The completions of ``word``, names before keywords.

        After ``clips.`` come the columns of clips. After any other name and full stop come the columns of all tables, since
        the name may be an alias. Keywords are in capitals if ``word`` is.
        """
        if word.startswith("."):
            return [command for command in self._commands if command.startswith(word)]
        table, dot, beginning = word.rpartition(".")
        all_columns = dict.fromkeys(column for columns in self._columns.values() for column in columns)
        columns = self._columns.get(table.lower(), list(all_columns))
        if dot:
            return [f"{table}.{column}" for column in columns if column.startswith(beginning.lower())]
        keywords = [keyword.upper() if word.isupper() else keyword for keyword in self._keywords]
        names = [name for name in (*self._columns, *columns) if name.startswith(word.lower())]
        return list(dict.fromkeys([*names, *(keyword for keyword in keywords if keyword.startswith(word))]))

    def __call__(self, word: str, state: int) -> str | None:
        """The completion number ``state`` of ``word``; None after the last. This is readline's interface."""
        if state == 0:
            self._candidates = self.complete(word)
        return self._candidates[state] if state < len(self._candidates) else None


class History:
    """Earlier statements, in a file that only its user can read: one JSON string a line, since statements have lines.

    Args:
        path: the file; None is ``vidsift/sql_history`` in the user's state folder.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path or _state_folder() / "vidsift" / "sql_history"

    def load(self) -> list[str]:
        """The latest statements, the oldest first; empty if the file cannot be read."""
        try:
            lines = self._path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError):
            return []
        if len(lines) > 2 * _KEPT:
            self._shorten(lines[-_KEPT:])
        statements = []
        for line in lines[-_KEPT:]:
            with contextlib.suppress(ValueError):
                statements.append(str(json.loads(line)))
        return statements

    def add(self, statement: str) -> None:
        """Append a statement; a folder that cannot be written is ignored."""
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with os.fdopen(
                os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "w", encoding="utf-8"
            ) as file:
                file.write(json.dumps(statement) + "\n")

    def _shorten(self, lines: Sequence[str]) -> None:
        aside = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        with contextlib.suppress(OSError):
            aside.touch(mode=0o600)
            aside.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
            aside.replace(self._path)


class Editor:
    """Gives ``input`` completion and history, in the whole process.

    Args:
        completer: completes words.
        history: earlier statements; `remember` adds to it.
    """

    def __init__(self, completer: Completer, history: History) -> None:
        self._history = history
        # Not at the top: some builds of readline write to standard output as they are imported.
        self._readline: Any = import_module("readline") if find_spec("readline") else None
        if self._readline is None:
            return
        self._readline.set_auto_history(False)  # a statement is one entry, however many lines it has
        self._readline.clear_history()
        for statement in history.load():
            self._readline.add_history(statement)
        self._readline.set_completer(completer)
        self._readline.set_completer_delims(_DELIMITERS)
        editline = "libedit" in (self._readline.__doc__ or "")
        self._readline.parse_and_bind("bind ^I rl_complete" if editline else "tab: complete")

    def remember(self, statement: str) -> None:
        """Add a statement to the history, of this prompt and of later ones."""
        if self._readline is not None:
            self._readline.add_history(statement)
        self._history.add(statement)


def _state_folder() -> Path:
    """The user's state folder by the XDG base directory specification."""
    given = os.environ.get("XDG_STATE_HOME", "")
    return Path(given) if os.path.isabs(given) else Path.home() / ".local" / "state"
