"""What the SQL prompt's line editor knows: the words it completes, and what was asked before.

The editor is the standard library's readline: it is there already and starts at once, where prompt_toolkit would be two
more packages and a tenth of a second for a menu. Where Python came without it, lines can be typed all the same.
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

# Statements offered again; the file is cut to so many when it holds twice as many.
_KEPT = 1_000

# What separates words; not the full stop, which is part of h.score and .tables.
_DELIMITERS = " \t\n`~!@#$%^&*()-=+[{]}\\|;:'\",<>/?"


class Completer:
    """Completes words to the names of tables and columns, to SQL's own words, and to the prompt's commands."""

    def __init__(self, tables: Sequence[TableMeaning], keywords: Sequence[str], commands: Sequence[str]) -> None:
        """The arguments are what there is to complete to."""
        self._columns = {table.name: list(table.column_names) for table in tables}
        self._keywords, self._commands = keywords, commands
        self._found: list[str] = []

    def complete(self, word: str) -> list[str]:
        """What ``word`` may become, names before SQL's words.

        Behind ``clips.`` come that table's columns, behind any other name with a full stop those of all tables: it may be
        an alias. SQL's words are in capitals where ``word`` is.
        """
        if word.startswith("."):
            return [command for command in self._commands if command.startswith(word)]
        owner, dot, beginning = word.rpartition(".")
        all_columns = dict.fromkeys(column for columns in self._columns.values() for column in columns)
        columns = self._columns.get(owner.lower(), list(all_columns))
        if dot:
            return [f"{owner}.{column}" for column in columns if column.startswith(beginning.lower())]
        keywords = [keyword.upper() if word.isupper() else keyword for keyword in self._keywords]
        names = [name for name in (*self._columns, *columns) if name.startswith(word.lower())]
        return list(dict.fromkeys([*names, *(keyword for keyword in keywords if keyword.startswith(word))]))

    def __call__(self, word: str, state: int) -> str | None:
        """The ``state``-th of them, as readline asks for it."""
        if state == 0:
            self._found = self.complete(word)
        return self._found[state] if state < len(self._found) else None


class History:
    """Statements that were asked before, in a file that only its user can read: a JSON string a line, as they have lines."""

    def __init__(self, path: Path | None = None) -> None:
        """Kept at ``path``; None is the user's state folder."""
        self._path = path or _state_folder() / "vidsift" / "sql_history"

    def load(self) -> list[str]:
        """The latest statements, the oldest first; none where there is no such file."""
        try:
            lines = self._path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError):
            return []
        if len(lines) > 2 * _KEPT:
            self._shorten(lines[-_KEPT:])
        found = []
        for line in lines[-_KEPT:]:
            with contextlib.suppress(ValueError):
                found.append(str(json.loads(line)))
        return found

    def add(self, statement: str) -> None:
        """Keep a statement, where the folder can be written."""
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
    """Lets ``input`` complete words, and offer what was asked before. Making one changes that for the whole process."""

    def __init__(self, completer: Completer, history: History) -> None:
        """``history`` is offered, and grows."""
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
        """Offer a statement from now on, in this session and in later ones."""
        if self._readline is not None:
            self._readline.add_history(statement)
        self._history.add(statement)


def _state_folder() -> Path:
    """Where the user's programs keep what lasts from run to run, by the XDG base directory specification."""
    given = os.environ.get("XDG_STATE_HOME", "")
    return Path(given) if os.path.isabs(given) else Path.home() / ".local" / "state"
