"""The Delta table of footage that several videos share, which is replaced as a whole."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import pyarrow as pa
from deltalake import DeltaTable

from index.storage.paths import Library
from index.storage.transactions import create_table, delete_except, read_columns, replace_all
from schemas.duplicates import DUPLICATES


class DuplicateTable:
    """The table of one library; it is not there before duplicates are looked for the first time."""

    def __init__(self, library: Library, explained: Callable[[], AbstractContextManager[None]]) -> None:
        """Open the table, if there is one; ``explained`` turns errors of Delta Lake into a LibraryError."""
        self._library, self._explained = library, explained
        self.table: DeltaTable | None = None
        with explained():
            if DeltaTable.is_deltatable(str(library.duplicates)):
                self.table = DeltaTable(library.duplicates)

    def by_name(self) -> dict[str, DeltaTable]:
        """The table by its name, which is also its folder's; nothing where there is none."""
        return {} if self.table is None else {"duplicates": self.table}

    def read(self) -> pa.Table | None:
        """All rows, with the columns of `DUPLICATES`; None where duplicates were never looked for."""
        if self.table is None:
            return None
        with self._explained():
            return read_columns(self.table, DUPLICATES.names)

    def replace(self, rows: pa.Table) -> None:
        """Make ``rows`` all that the table holds, in one transaction; nothing is written where it holds just these."""
        if self.read() == rows:
            return
        with self._explained():
            if self.table is None:
                self.table = create_table(self._library.duplicates, DUPLICATES)
            replace_all(self.table, rows)

    def drop_orphans(self, owners: pa.Array) -> None:
        """Delete the rows of which either video is not among ``owners``."""
        if self.table is not None:
            for column in ("video_id", "other_video_id"):
                delete_except(self.table, column, owners)
