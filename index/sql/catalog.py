"""The DuckDB catalog: the tables that SQL sees, built from Parquet and opened read-only."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from index.sql.interruptible import GivenUpError, run_interruptible
from schemas.errors import LibraryError, QueryError, UnknownNameError, check_utf8

# Everything in a query's reach is the catalog's tables: no files, no network, no extensions, no settings.
_READER: dict[str, str | bool | int | float | list[str]] = {
    "enable_external_access": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "allow_community_extensions": "false",
    "python_enable_replacements": "false",  # else a table name could mean a variable of this program
    "temp_directory": "",  # nothing is spilled beside the library
    "lock_configuration": "true",
}
# Characters of a statement, and brackets within each other: parsing longer ones takes hundreds of times the memory, can
# neither be interrupted nor waited for, and what is left of it can take more stack than there is when it is let go of.
_MAX_LENGTH = 300_000
_MAX_DEPTH = 500
_BRACKET = re.compile(r"""'[^']*'|"[^"]*"|(?P<opening>[(\[{])|(?P<closing>[)\]}])""")

# How DuckDB says that a query names the hits of a search and there was none.
# Of a result, which is held to the limit of memory after each.
BATCH_ROWS = 2_048

_NO_HITS = re.compile(r"Table with name hits does not exist", re.IGNORECASE)
_CORRUPT = "Corrupt database file"  # which no query can say
_READING = {duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN, duckdb.StatementType.RELATION}


def several_tracks(catalog: Catalog) -> list[dict[str, Any]]:
    """``path``, ``track`` and ``tracks`` of the videos that have several video tracks, by path."""
    if "tracks" not in catalog.sql("from videos limit 0").column_names:
        return []  # published before they were counted
    found: list[dict[str, Any]] = catalog.sql(
        "select path, track, tracks from videos where tracks > 1 order by path"
    ).to_pylist()
    return found


class Catalog:
    """A published catalog, opened for reading."""

    def __init__(self, path: Path, *, memory_mb: int = 4096) -> None:
        """Open ``path`` so that no statement can change it, reach anything else, or take more than ``memory_mb``.

        Raises:
            LibraryError: the file is missing or no DuckDB database.
        """
        self._path, self._memory_mb = path, memory_mb
        self._hits: pa.Table | None = None
        self._connection = self._connect()

    def _connect(self) -> duckdb.DuckDBPyConnection:
        limit: dict[str, str | bool | int | float | list[str]] = {"memory_limit": f"{self._memory_mb}MB"}
        try:
            return duckdb.connect(str(self._path.absolute()), read_only=True, config=_READER | limit)
        except duckdb.Error as exc:
            raise LibraryError(f"--library: {str(self._path)!r} cannot be read as a catalog; run the ingest again") from exc

    def _connect_anew(self) -> None:
        """Leave a connection to whatever goes on in it: some of DuckDB's functions cannot be interrupted."""
        self._connection = self._connect()
        self.show_hits(self._hits)

    def sql(
        self,
        query: str,
        parameters: dict[str, object] | None = None,
        *,
        timeout_s: float | None = None,
        argument: str = "QUERY",
    ) -> pa.Table:
        """The result of one reading statement.

        Args:
            query: the statement.
            parameters: values for its named parameters.
            timeout_s: seconds after which it is ended; None lets it run.
            argument: what messages call it.

        Raises:
            UnknownNameError: it names a column or a table that is not there.
            QueryError: it is malformed, more than one statement, more than reading, or too much for the limits.
            LibraryError: the catalog's file is damaged.
        """
        check_utf8(argument, query)
        if len(query) > _MAX_LENGTH:
            raise QueryError(f"{argument}: got {len(query)} characters, expected {_MAX_LENGTH}; make it shorter")
        if (depth := _depth(query)) > _MAX_DEPTH:
            raise QueryError(f"{argument}: got {depth} brackets within each other, expected {_MAX_DEPTH}; make it flatter")
        connection = self._connection
        try:
            return run_interruptible(
                lambda: self._answer(connection, query, parameters, argument), connection.interrupt, timeout_s
            )
        except GivenUpError as exc:
            self._connect_anew()
            raise QueryError(
                f"{argument}: ran longer than {timeout_s:g} s, and could not be ended; narrow it, or raise --timeout"
            ) from exc
        except KeyboardInterrupt:
            self._connect_anew()
            raise
        except duckdb.InterruptException as exc:
            raise QueryError(
                f"{argument}: ran longer than {timeout_s:g} s and was ended; narrow it, or raise --timeout"
            ) from exc
        except duckdb.OutOfMemoryException as exc:
            raise QueryError(
                f"{argument}: takes more memory than allowed; narrow it, or raise --memory ({explain(exc)})"
            ) from exc
        except (duckdb.BinderException, duckdb.CatalogException) as exc:
            raise UnknownNameError(f"{argument}: {explain(exc)}; {_hint(exc, argument)}") from exc
        except duckdb.Error as exc:
            if isinstance(exc, duckdb.IOException) or _CORRUPT in str(exc):
                raise LibraryError(
                    f"--library: the catalog {str(self._path)!r} is damaged ({explain(exc)}); delete CURRENT and the "
                    "folder snapshots, and run the ingest of any of its folders again: they are rebuilt"
                ) from exc
            raise QueryError(f"{argument}: {explain(exc)}; {_hint(exc, argument)}") from exc

    def _answer(
        self, connection: duckdb.DuckDBPyConnection, query: str, parameters: dict[str, object] | None, argument: str
    ) -> pa.Table:
        """The result of ``query``. What is made of it goes in this thread, which has the stack for that."""
        statements = connection.extract_statements(query)
        try:
            if not statements:
                raise QueryError(
                    f"{argument}: got no statement; give one, such as: select label, count(*) from clips group by label"
                )
            if len(statements) != 1:
                raise QueryError(f"{argument}: got {len(statements)} statements, expected one; run them one after the other")
            if statements[0].type not in _READING:
                raise QueryError(
                    f"{argument}: got a statement of type {statements[0].type.name}, expected reading (SELECT, WITH, "
                    "DESCRIBE, SHOW, EXPLAIN); a library changes through vidsift ingest only"
                )
            return self._fetched(connection.sql(statements[0], params=parameters), argument)
        finally:
            statements.clear()

    def _fetched(self, result: duckdb.DuckDBPyRelation, argument: str) -> pa.Table:
        """All rows, as long as they fit into the memory that queries may take."""
        batches, size_bytes = [], 0
        with result.to_arrow_reader(BATCH_ROWS) as reader:
            try:
                for batch in reader:
                    batches.append(batch)
                    size_bytes += batch.get_total_buffer_size()
                    if size_bytes > self._memory_mb << 20:
                        raise QueryError(
                            f"{argument}: its result takes more memory than allowed; narrow it, or raise --memory"
                        )
            except (OSError, pa.ArrowException) as exc:  # all that is left of DuckDB's own errors once rows have come
                raise _duckdb_error(str(exc)) from exc
            return pa.Table.from_batches(batches, reader.schema)

    def show_hits(self, hits: pa.Table | None) -> None:
        """Let queries see ``hits`` as the table of that name, in place of what was shown before; None takes it away."""
        self._hits = hits
        if hits is None:
            self._connection.execute("drop table if exists temp.hits")
            return
        # A copy, and not a view of Arrow memory: queries then reach nothing but DuckDB's own tables, as ever.
        self._connection.register("arriving_hits", hits)
        self._connection.execute("create or replace temp table hits as from arriving_hits")
        self._connection.unregister("arriving_hits")

    def fingerprint(self, table: str) -> dict[str, object]:
        """What two catalogs have in common whose ``table`` holds the same rows, in whatever order."""
        found: dict[str, object] = self.sql(
            f"select count(*) as n, sum(hash(t))::varchar as sum, bit_xor(hash(t)) as xor from {table} t"
        ).to_pylist()[0]
        return found

    def keywords(self) -> list[str]:
        """The words that SQL gives a meaning, in lower case."""
        found = self._connection.sql("select distinct keyword_name from duckdb_keywords() order by all").fetchall()
        return [name for (name,) in found]

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()


def _depth(query: str) -> int:
    """How many brackets are open at a time, but for those in strings."""
    depth = deepest = 0
    for found in _BRACKET.finditer(query):
        depth += (found.lastgroup == "opening") - (found.lastgroup == "closing")
        deepest = max(deepest, depth)
    return deepest


def _duckdb_error(message: str) -> duckdb.Error:
    if message.startswith("INTERRUPT"):
        return duckdb.InterruptException(message)
    if message.startswith("Out of Memory"):
        return duckdb.OutOfMemoryException(message)
    return duckdb.Error(message)


def explain(exc: duckdb.Error) -> str:
    """DuckDB's message on one line, without the echo of the query and its caret."""
    lines = [line.strip() for line in str(exc).splitlines() if line.strip()]
    kept = [line for line in lines if not line.startswith(("LINE ", "^"))]
    return " ".join(kept) or type(exc).__name__


def _hint(exc: duckdb.Error, argument: str) -> str:
    """What to do about it."""
    if argument != "--where" and _NO_HITS.search(str(exc)):
        return "hits is what a search found, and none was asked for: add --search TEXT"
    return "the tables are videos, clips, labels and tags"
