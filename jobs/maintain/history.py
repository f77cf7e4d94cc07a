"""The history of a library's snapshots: listed, gone back to, compacted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from index.snapshot.publish import publish_tables
from index.snapshot.snapshot import SnapshotInfo, current_snapshot, read_info, snapshot_numbers
from index.storage.lock import open_for_writing
from index.storage.paths import Library
from schemas.errors import UsageError
from schemas.text import columns_text

if TYPE_CHECKING:
    pass


def history_text(entries: Sequence[Entry]) -> str:
    """The history, a snapshot a line, the latest first."""
    rows = [
        (
            f"{entry.number}{' *' if entry.current else ''}",
            entry.info.published_at,
            str(entry.info.rows.get("videos", "")),
            str(entry.info.rows.get("clips", "")),
            ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in entry.info.changes.items()),
        )
        for entry in entries
    ]
    return columns_text(("snapshot", "published", "videos", "clips", "what changed"), rows)


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the history.

    Attributes:
        number: the snapshot's.
        current: whether readers open this one.
        info: what it says of itself.
    """

    number: int
    current: bool
    info: SnapshotInfo


def history(folder: Path) -> list[Entry]:
    """Every snapshot that was ever published, the latest first.

    Raises:
        LibraryError: no library, or nothing published.
    """
    library = Library(folder)
    current = int(current_snapshot(library).name)
    return [
        Entry(number, number == current, read_info(library.snapshots / str(number)))
        for number in reversed(snapshot_numbers(library))
    ]


def rollback(folder: Path, number: int) -> int:
    """Bring the library back to what it was at snapshot ``number``, as a new snapshot whose number is returned.

    Nothing is lost: the snapshot it was at before is in the history too, and can be gone back to in turn. The library's own
    tags are no part of its history: it keeps the names that it has today, and the clips that are back get them.

    Raises:
        UsageError: there is no such snapshot.
        LibraryError: the files of that time have been dropped by a compaction.
    """
    with open_for_writing(folder) as (library, identity, tables):
        numbers = snapshot_numbers(library)
        if number not in numbers:
            listed = ", ".join(map(str, numbers)) or "none"
            raise UsageError(f"N: got {number}, expected one of the snapshots that vidsift history lists ({listed})")
        tables.restore(read_info(library.snapshots / str(number)).versions)
        publish_tables(library, tables, identity, {"rolled_back_to": number})
        return int(current_snapshot(library).name)


def compact(folder: Path) -> dict[str, int]:
    """Merge small files, and drop all that nothing refers to any more. Snapshots before this one can't be gone back to.

    Returns:
        ``files_before`` and ``files_after``, Parquet files in the tables' folders.
    """
    with open_for_writing(folder) as (library, identity, tables):
        counts = tables.compact()
        publish_tables(library, tables, identity, {"compacted": 1})
        return counts
