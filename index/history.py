"""The history of a library: its snapshots, and what each changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from index.snapshot.snapshot import SnapshotInfo, current_snapshot, read_info, snapshot_numbers
from index.storage.paths import Library
from index.storage.working_copies import fetch_history
from schemas.text import columns_text


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """A snapshot in the history.

    Attributes:
        number: the snapshot's.
        current: whether readers open this one.
        info: its description of itself.
    """

    number: int
    current: bool
    info: SnapshotInfo


def history(folder: Path) -> list[HistoryEntry]:
    """The snapshots that were published, the latest first.

    Raises:
        LibraryError: no library, or nothing published.
    """
    library = Library(folder)
    current = int(current_snapshot(library).name)
    fetch_history(folder)
    return [
        HistoryEntry(number, number == current, read_info(library.snapshots / str(number)))
        for number in reversed(snapshot_numbers(library))
    ]


def history_text(entries: Sequence[HistoryEntry]) -> str:
    """The history as a table, the latest snapshot first."""
    rows = [
        (
            f"{entry.number}{' *' if entry.current else ''}",
            entry.info.published_at,
            str(entry.info.rows.get("videos", "")),
            str(entry.info.rows.get("clips", "")),
            ", ".join(change_text(name, count) for name, count in entry.info.changes.items()),
        )
        for entry in entries
    ]
    return columns_text(("snapshot", "published", "videos", "clips", "what changed"), rows)


def change_text(name: str, count: int) -> str:
    """A change in words: ``3 indexed``, ``rolled back to snapshot 2``."""
    if name == "rolled_back_to":
        return f"rolled back to snapshot {count}"
    return "compacted" if name == "compacted" else f"{count} {name.replace('_', ' ')}"
