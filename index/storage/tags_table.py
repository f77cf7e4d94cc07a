"""The Delta table ``tags``: scores of clips, computed from their embeddings, which can always be computed again."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable, write_deltalake

from schemas.tables import TAGS


class TagTable:
    """``tags`` of one library, opened for writing by the one process that may."""

    def __init__(
        self, folder: Path, explained: Callable[[], AbstractContextManager[None]], *, read_only: bool = False
    ) -> None:
        """Open the table in ``folder``; ``explained`` words what goes wrong.

        Where there is none, an empty one is made; with ``read_only`` nothing is made, and none is like an empty one.
        """
        self.explained = explained
        self._table: DeltaTable | None = None
        with explained():
            if not read_only:
                self._table = DeltaTable.create(folder, TAGS, mode="ignore")
            elif DeltaTable.is_deltatable(str(folder)):
                self._table = DeltaTable(folder)

    @property
    def table(self) -> DeltaTable:
        """The table itself."""
        assert self._table is not None, "who writes has made one"
        return self._table

    @property
    def version(self) -> int:
        """Its Delta version; 0 where nothing was ever written to it."""
        return 0 if self._table is None else self._table.version()

    def files(self, of: Callable[[DeltaTable], list[str]]) -> list[str]:
        """What ``of`` says of it; nothing where there is no table."""
        return [] if self._table is None else of(self._table)

    def scored(self) -> pa.Table:
        """Which clip has been scored by which definition: columns ``clip_id`` and ``definition``."""
        with self.explained():
            return self.table.to_pyarrow_table(columns=["clip_id", "definition"])

    def keep(self, digests: Collection[str]) -> None:
        """Delete the rows of all definitions but these."""
        with self.explained():
            present = pc.unique(self.table.to_pyarrow_table(columns=["definition"])["definition"]).to_pylist()
            if gone := sorted(set(present) - set(digests)):
                self.table.delete(_among("definition", gone))

    def drop_orphans(self, owners: pa.ChunkedArray) -> None:
        """Delete the rows of videos that are not among ``owners``."""
        with self.explained():
            present = pc.unique(self.table.to_pyarrow_table(columns=["video_id"])["video_id"])
            gone = present.filter(pc.invert(pc.is_in(present, value_set=owners.combine_chunks()))).to_pylist()
            if gone:
                self.table.delete(_among("video_id", gone))

    def append(self, batches: Iterator[pa.RecordBatch]) -> None:
        """Add rows, as they come, in one transaction."""
        with self.explained():
            write_deltalake(self.table, pa.RecordBatchReader.from_batches(TAGS, batches), mode="append")


def _among(column: str, found: Collection[str]) -> str:
    assert all(item.isalnum() for item in found), "both columns hold hex digits of our own making"
    quoted = ", ".join(f"'{item}'" for item in found)
    return f"{column} in ({quoted})"
