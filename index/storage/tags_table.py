"""The Delta table ``tags``: scores of clips, which can always be computed again from the clips' embeddings."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pyarrow as pa
from deltalake import DeltaTable, write_deltalake

from index.storage.transactions import create_table, delete_except, read_columns
from schemas.tables import TAGS


class TagTable:
    """``tags`` of one library, opened for writing by the process that holds the write lock, or to be read only."""

    def __init__(
        self, folder: Path, explained: Callable[[], AbstractContextManager[None]], *, read_only: bool = False
    ) -> None:
        """Open the table in ``folder``, making an empty one where there is none.

        Args:
            folder: the table's.
            explained: turns errors of Delta Lake into a LibraryError.
            read_only: make and write nothing; a table that is not there reads like an empty one.
        """
        self.explained = explained
        self._table: DeltaTable | None = None
        with explained():
            if not read_only:
                self._table = create_table(folder, TAGS)
            elif DeltaTable.is_deltatable(str(folder)):
                self._table = DeltaTable(folder)

    @property
    def table(self) -> DeltaTable:
        """The table itself."""
        assert self._table is not None, "opened for writing"
        return self._table

    @property
    def version(self) -> int:
        """Its Delta version; 0 where nothing was ever written to it."""
        return 0 if self._table is None else self._table.version()

    @property
    def num_rows(self) -> int | None:
        """How many rows it has, as its log says; None where the log does not say."""
        if self._table is None:
            return 0
        counts = pa.table(self._table.get_add_actions(flatten=True))["num_records"].to_pylist()
        return None if None in counts else sum(counts)

    def files(self, of: Callable[[DeltaTable], list[str]]) -> list[str]:
        """The table's files as ``of`` lists them; none where there is no table."""
        return [] if self._table is None else of(self._table)

    def scored(self) -> pa.Table:
        """Which clips have been scored by which definition: columns ``clip_id`` and ``definition``."""
        with self.explained():
            return read_columns(self.table, ["clip_id", "definition"])

    def keep(self, digests: Collection[str]) -> None:
        """Delete the rows of all definitions but those with these digests."""
        with self.explained():
            delete_except(self.table, "definition", digests)

    def append(self, batches: Iterator[pa.RecordBatch]) -> None:
        """Add rows in one transaction, without holding them all in memory."""
        with self.explained():
            write_deltalake(self.table, pa.RecordBatchReader.from_batches(TAGS, batches), mode="append")
