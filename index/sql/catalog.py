"""The DuckDB catalog, opened read-only: the tables that SQL sees."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from index.sql.catalog_files import AttachedSegment, CatalogFiles, attach, not_a_catalog
from index.sql.interruptible import GivenUpError, run_interruptible
from schemas.errors import LibraryError, QueryError, UnknownNameError, check_utf8
from schemas.sql import TABLES

_Settings = dict[str, str | bool | int | float | list[str]]
# A query can reach the catalog's tables alone: no files, no network, no extensions, no settings.
_READER: _Settings = {
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "allow_community_extensions": "false",
    "python_enable_replacements": "false",  # or a table name could mean a variable of this program
    "temp_directory": "",  # nothing is spilled beside the library
}
_LOCKED: _Settings = {"enable_external_access": "false", "lock_configuration": "true"}  # once the catalog's files are open
# The most characters of a statement, and the most nested brackets. Parsing a longer one takes hundreds of times its memory
# and cannot be interrupted, and releasing the result of a deeper one can overflow the stack.
_MAX_LENGTH = 300_000
_MAX_DEPTH = 500
_BRACKET = re.compile(r"""'[^']*'|"[^"]*"|(?P<opening>[(\[{])|(?P<closing>[)\]}])""")

# Rows of a result that are fetched at a time; after each batch the result's size is checked against the memory limit.
BATCH_ROWS = 2_048

# DuckDB's message where a query names the hits of a search, and there was no search.
_NO_HITS = re.compile(r"Table with name hits does not exist", re.IGNORECASE)
_CORRUPT = "Corrupt database file"  # in DuckDB's messages about the file alone, not about queries
_READING = {duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN, duckdb.StatementType.RELATION}


def several_tracks(catalog: Catalog) -> list[dict[str, Any]]:
    """``path``, ``track`` and ``tracks`` of the videos that have several video tracks, by path."""
    if "tracks" not in catalog.sql("from videos limit 0").column_names:
        return []  # the catalog was published before tracks were counted
    rows: list[dict[str, Any]] = catalog.sql(
        "select path, track, tracks from videos where tracks > 1 order by path"
    ).to_pylist()
    return rows


class Catalog:
    """A published catalog, opened for reading."""

    def __init__(self, files: CatalogFiles | Path, *, memory_mb: int = 4096) -> None:
        """Open ``files`` so that no statement can change them, reach anything else, or take more than ``memory_mb``.

        Args:
            files: of the catalog; or the one file that libraries of format 1 have.
            memory_mb: the most that one query may take.

        Raises:
            LibraryError: a file is missing or is not a DuckDB database.
        """
        self._files, self._memory_mb = files, memory_mb
        self._hits: pa.Table | None = None
        self.segments: tuple[AttachedSegment, ...] | None = None
        """Of the catalog; None where it is one file."""
        self._connection = self._connect()

    def _connect(self) -> duckdb.DuckDBPyConnection:
        settings = _READER | {"memory_limit": f"{self._memory_mb}MB"}
        if isinstance(self._files, CatalogFiles):
            connection = duckdb.connect(":memory:", config=settings)
            self.segments = attach(connection, self._files)
            for name, value in _LOCKED.items():
                connection.execute(f"set {name} = {value}")
            return connection
        try:
            return duckdb.connect(str(self._files.absolute()), read_only=True, config=settings | _LOCKED)
        except duckdb.Error as exc:
            raise not_a_catalog(self._files) from exc

    @property
    def _path(self) -> Path:
        """What is named where a file is damaged; DuckDB does not say which one."""
        return self._files.videos.parent if isinstance(self._files, CatalogFiles) else self._files

    @property
    def _rebuilt(self) -> str:
        """What an ingest makes anew from the tables, in words."""
        return "the folders snapshots and segments" if isinstance(self._files, CatalogFiles) else "the folder snapshots"

    def _connect_anew(self) -> None:
        """Abandon the connection together with what runs in it, since some of DuckDB's functions cannot be interrupted."""
        self._connection = self._connect()
        self.show_hits(self._hits)

    def sql(
        self,
        query: str,
        parameters: dict[str, object] | None = None,
        *,
        timeout_s: float | None = None,
        argument: str = "QUERY",
        batch_rows: int = BATCH_ROWS,
    ) -> pa.Table:
        """The result of one statement, which may only read.

        Args:
            query: the statement.
            parameters: values for its named parameters.
            timeout_s: seconds after which it is stopped; None sets no limit.
            argument: the name of the argument that it came from, for error messages.
            batch_rows: rows that are fetched at a time; more are faster where rows are known to be short.

        Raises:
            UnknownNameError: it names a column or a table that does not exist.
            QueryError: it is malformed, is more than one statement, does more than read, or exceeds a limit.
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
                lambda: self._answer(connection, query, parameters, argument, batch_rows), connection.interrupt, timeout_s
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
                    f"the catalog {str(self._path)!r} is damaged ({explain(exc)}); delete CURRENT and "
                    f"{self._rebuilt}, and run the ingest of any of its folders again: they are rebuilt"
                ) from exc
            raise QueryError(f"{argument}: {explain(exc)}; {_hint(exc, argument)}") from exc

    def _answer(
        self,
        connection: duckdb.DuckDBPyConnection,
        query: str,
        parameters: dict[str, object] | None,
        argument: str,
        batch_rows: int,
    ) -> pa.Table:
        """The result of ``query``; its statements are released in this thread too, whose stack is large enough."""
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
            # EXPLAIN ANALYZE runs what it explains, and could delete hits or drop a view.
            connection.execute("begin transaction read only")
            return self._fetched(connection.sql(statements[0], params=parameters), argument, batch_rows)
        finally:
            statements.clear()
            _roll_back(connection)

    def _fetched(self, result: duckdb.DuckDBPyRelation, argument: str, batch_rows: int) -> pa.Table:
        """All rows of a result, if they fit into the memory that queries may take."""
        batches, size_bytes = [], 0
        with result.to_arrow_reader(batch_rows) as reader:
            try:
                for batch in reader:
                    batches.append(batch)
                    size_bytes += batch.get_total_buffer_size()
                    if size_bytes > self._memory_mb << 20:
                        raise QueryError(
                            f"{argument}: its result takes more memory than allowed; narrow it, or raise --memory"
                        )
            except (OSError, pa.ArrowException) as exc:  # DuckDB's own errors take this form once rows are being read
                raise _duckdb_error(str(exc)) from exc
            return pa.Table.from_batches(batches, reader.schema)

    def show_hits(self, hits: pa.Table | None) -> None:
        """Let queries see ``hits`` as the table of that name, in place of an earlier one; None removes it."""
        self._hits = hits
        if hits is None:
            self._connection.execute("drop table if exists temp.hits")
            return
        # A copy, not a view of Arrow memory, so that queries reach DuckDB's own tables alone.
        self._connection.register("arriving_hits", hits)
        self._connection.execute("create or replace temp table hits as from arriving_hits")
        self._connection.unregister("arriving_hits")

    @cached_property
    def ids_by_row(self) -> NDArray[np.int64]:
        """Of a catalog that is one file: the ids of all clips in the order of video_id, start_s and end_s."""
        ids = self.sql("select clip_id from clips order by video_id, start_s, end_s")
        return np.asarray(ids["clip_id"].to_numpy(), np.int64)

    def columns(self, table: str) -> list[str]:
        """The names of the columns of ``table``."""
        names: list[str] = self.sql(f"from {table} limit 0").column_names
        return names

    def fingerprint(self, table: str, columns: Sequence[str]) -> dict[str, object]:
        """The row count and hashes of columns of ``table``: equal in two catalogs that hold the same rows, in any order."""
        counts_and_hashes: dict[str, object] = self.sql(
            f"select count(*) as n, sum(hash(t))::varchar as sum, bit_xor(hash(t)) as xor "
            f"from (select {', '.join(columns)} from {table}) t"
        ).to_pylist()[0]
        return counts_and_hashes

    def keywords(self) -> list[str]:
        """The keywords of SQL, in lower case."""
        rows = self._connection.sql("select distinct keyword_name from duckdb_keywords() order by all").fetchall()
        return [name for (name,) in rows]

    def close(self) -> None:
        """Close the file."""
        self._connection.close()


def _roll_back(connection: duckdb.DuckDBPyConnection) -> None:
    """Undo what the transaction has done, if there is one; an interruption may arrive only now."""
    while True:
        try:
            connection.execute("rollback")
        except duckdb.InterruptException:
            continue
        except duckdb.TransactionException:
            pass  # none was begun
        return


def _depth(query: str) -> int:
    """The greatest number of brackets that are open at a time, not counting those in strings."""
    depth = deepest = 0
    for match in _BRACKET.finditer(query):
        depth += (match.lastgroup == "opening") - (match.lastgroup == "closing")
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
    """Advice for somebody whose query failed with this error."""
    if argument != "--where" and _NO_HITS.search(str(exc)):
        return "hits is what a search found, and none was asked for: add --search TEXT"
    names = [table.name for table in TABLES]
    return f"the tables are {', '.join(names[:-1])} and {names[-1]}"
