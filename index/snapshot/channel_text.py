"""The full-text index of a part of channels: SQLite's FTS5 over what is said and what can be read on the screen.

entries    the rows themselves: id, channel, annotation (its number in the part), start_s, end_s, text, language
words      FTS5 of each entry's words, ``whole`` and as ``stem``, without their content
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import duckdb

from index.snapshot.text_analysis import UNKNOWN, stems, words
from index.sql.catalog import explain
from schemas.channels import TEXT_TABLES
from schemas.errors import LibraryError

_SCHEMA = """
create table entries(
  id integer primary key, channel text, annotation integer, start_s real, end_s real, text text, language text
);
create virtual table words using fts5(whole, stem, content='', tokenize="unicode61 remove_diacritics 0");
"""
_BATCH = 10_000


class TextEntry(NamedTuple):
    """A row of a channel whose text was found.

    Attributes:
        channel: the table that it is of.
        annotation: the number of its annotation in the part.
    """

    channel: str
    annotation: int
    start_s: float
    end_s: float
    text: str
    language: str | None


def write_text_index(path: Path, rows: Path) -> list[str]:
    """Index the texts of a part's rows, and return the languages that they are in.

    Args:
        path: the file to write.
        rows: the part's rows.duckdb.

    Raises:
        LibraryError: the rows cannot be read, or the file cannot be written.
    """
    languages: set[str] = set()
    try:
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("pragma journal_mode = off")
            connection.executescript(_SCHEMA)
            for number, entry in enumerate(_entries(rows)):
                text_words = words(entry.text)
                values = (number, " ".join(text_words), " ".join(stems(text_words, entry.language)))
                connection.execute("insert into entries values (?, ?, ?, ?, ?, ?, ?)", (number, *entry))
                connection.execute("insert into words(rowid, whole, stem) values (?, ?, ?)", values)
                languages.add(entry.language or UNKNOWN)
            connection.execute("insert into words(words) values ('optimize')")
    except sqlite3.Error as exc:
        raise LibraryError(f"{str(path)!r} cannot be written: {exc}") from exc
    return sorted(languages)


def _entries(rows: Path) -> Iterator[TextEntry]:
    """The rows that have a text."""
    try:
        with duckdb.connect(str(rows.absolute()), read_only=True) as connection:
            for channel in TEXT_TABLES:
                language = "language" if channel == "speech" else "null"
                query = f"select annotation, start_s, end_s, text, {language} from {channel} order by rowid"
                result = connection.execute(query)
                while batch := result.fetchmany(_BATCH):
                    yield from (TextEntry(channel, *row) for row in batch)
    except duckdb.Error as exc:
        raise LibraryError(f"{str(rows)!r} cannot be read: {explain(exc)}") from exc


@contextmanager
def open_text_index(path: Path) -> Iterator[TextIndex]:
    """Open the full-text index of a part for one question: SQLite's connections stay with the thread that made them.

    Raises:
        LibraryError: the file is missing or damaged.
    """
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)
    except sqlite3.Error as exc:
        raise _unreadable(path, exc) from exc
    with closing(connection):
        yield TextIndex(path, connection)


class TextIndex:
    """The full-text index of one part, opened for reading."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        """Take what `open_text_index` opened."""
        self._path, self._connection = path, connection

    def num_entries(self) -> int:
        """Rows that have a text."""
        return int(self._query("select count(*) from entries", ())[0][0])

    def count(self, expression: str) -> int:
        """How many entries match an expression of FTS5.

        Raises:
            LibraryError: the file is missing or damaged.
        """
        return int(self._query("select count(*) from words where words match ?", (expression,))[0][0])

    def matches(self, expression: str, channel: str, most: int) -> list[TextEntry]:
        """The entries of a channel that match an expression of FTS5 best, by BM25; the best first.

        Args:
            expression: as FTS5 has it, over the columns ``whole`` and ``stem``.
            channel: the table whose rows are wanted.
            most: how many.

        Raises:
            LibraryError: the file is missing or damaged.
        """
        query = (
            "select channel, annotation, start_s, end_s, text, language from words join entries on id = words.rowid "
            "where words match ? and channel = ? order by rank limit ?"
        )
        return [TextEntry(*row) for row in self._query(query, (expression, channel, most))]

    def _query(self, query: str, values: tuple[object, ...]) -> list[Any]:
        try:
            return self._connection.execute(query, values).fetchall()
        except sqlite3.Error as exc:
            raise _unreadable(self._path, exc) from exc


def _unreadable(path: Path, exc: sqlite3.Error) -> LibraryError:
    return LibraryError(f"{str(path)!r} cannot be read ({exc}); run vidsift annotate on the library again")
