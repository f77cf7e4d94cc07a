"""alerts.sqlite: what alerts have found, and which of it has been told, beside a library's tables."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from schemas.errors import LibraryError

_TABLES = """
create table if not exists rules (name text primary key, looked_until_us integer not null);
create table if not exists clips (rule text not null, clip_id integer not null, primary key (rule, clip_id)) without rowid;
create table if not exists messages (
    id text primary key, rule text not null, body text not null, made_at text not null default current_timestamp,
    delivered_at text
);
"""


class Message(NamedTuple):
    """A message to a receiver.

    Attributes:
        id: of the rule and the clip; the same whenever it is sent.
        rule: the name of the rule.
        clip_ids: the clips that it tells of, none of which the rule tells of again.
        body: what is sent.
    """

    id: str
    rule: str
    clip_ids: tuple[int, ...]
    body: str


class AlertState:
    """The state of a library's alerts; each call is a transaction of its own."""

    def __init__(self, path: Path) -> None:
        """Nothing is opened yet."""
        self._path = path

    def looked_until(self, rule: str) -> int | None:
        """Up to when a rule has looked at what was indexed, in microseconds since 1970; None where it never did."""
        rows = self._run([("select looked_until_us from rules where name = ?", (rule,))])
        return rows[0][0] if rows else None

    def told(self, rule: str, clip_ids: Sequence[int]) -> set[int]:
        """Those of the clips that messages of a rule tell of."""
        told: set[int] = set()
        for start in range(0, len(clip_ids), 500):
            part = clip_ids[start : start + 500]
            marks = ", ".join("?" * len(part))
            told |= {row[0] for row in self._run([(f"select clip_id from clips where rule = ? and clip_id in ({marks})",
                                                   (rule, *part))])}  # fmt: skip
        return told

    def enter(self, rule: str, looked_until_us: int, messages: Sequence[Message] = ()) -> None:
        """Enter up to when a rule has looked, and what it found, both or neither."""
        statements: list[tuple[str, tuple[object, ...]]] = [
            ("insert into rules values (?, ?) on conflict do update set looked_until_us = excluded.looked_until_us",
             (rule, looked_until_us)),
        ]  # fmt: skip
        for message in messages:
            statements.append(("insert or ignore into messages (id, rule, body) values (?, ?, ?)",
                               (message.id, rule, message.body)))  # fmt: skip
            statements += [("insert or ignore into clips values (?, ?)", (rule, clip_id)) for clip_id in message.clip_ids]
        self._run(statements)

    def undelivered(self, rule: str) -> list[tuple[str, str]]:
        """The id and the body of each message of a rule that has not been delivered, the oldest first."""
        query = "select id, body from messages where rule = ? and delivered_at is null order by rowid"
        return [(str(row[0]), str(row[1])) for row in self._run([(query, (rule,))])]

    def delivered(self, message_id: str) -> None:
        """Note that a message has been delivered. What it said is no longer needed."""
        self._run([("update messages set delivered_at = current_timestamp, body = '' where id = ?", (message_id,))])

    def _run(self, statements: Sequence[tuple[str, tuple[object, ...]]]) -> list[tuple[Any, ...]]:
        """Run statements as one transaction; the rows of the last.

        Raises:
            LibraryError: the file cannot be read or written.
        """
        try:
            with closing(sqlite3.connect(self._path, timeout=30)) as connection, connection:
                connection.executescript(_TABLES)
                rows: list[tuple[Any, ...]] = []
                for statement, values in statements:
                    rows = connection.execute(statement, values).fetchall()
                return rows
        except sqlite3.Error as exc:
            raise LibraryError(
                f"{str(self._path)!r} cannot be read or written ({exc}); if it is damaged, delete it: alerts then begin "
                "with what is indexed from now on"
            ) from exc
