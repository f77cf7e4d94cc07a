"""Changes a library as a whole: rolls back to a snapshot, compacts its tables."""

from __future__ import annotations

from pathlib import Path

from index.search.text_encoder import text_vectors_of
from index.snapshot.merging import MERGED_BY_COMPACT
from index.snapshot.publish import publish_tables
from index.snapshot.snapshot import current_snapshot, read_info, snapshot_numbers
from index.storage.lock import open_for_writing
from index.storage.paths import Library
from schemas.errors import LibraryError, UsageError


def rollback(folder: Path, number: int) -> int:
    """Restore the library as it was at snapshot ``number``, and publish that as a new snapshot.

    Nothing is lost: the snapshot before the rollback stays in the history, and can be rolled back to. Tags are not part of
    the history: the library keeps the tags that it has today, and clips that come back are scored for them.

    Returns:
        The number of the new snapshot.

    Raises:
        UsageError: there is no such snapshot.
        LibraryError: a compaction has deleted files that the snapshot needs.
    """
    with open_for_writing(folder) as (library, config, tables):
        numbers = snapshot_numbers(library)
        if number not in numbers:
            listed = ", ".join(map(str, numbers)) or "none"
            message = f"got {number}, expected one of the snapshots that vidsift history lists ({listed})"
            raise UsageError(message, argument="number")
        try:
            tables.restore(read_info(library.snapshots / str(number)).versions)
        except LibraryError as exc:
            raise _compacted_since(library, number) or exc from exc
        # Merging segments is left to the next ingest: here nothing is written that is there.
        publish_tables(library, tables, config, {"rolled_back_to": number}, most_merged=0, rolled_back_to=number)
        return int(current_snapshot(library).name)


def _compacted_since(library: Library, number: int) -> LibraryError | None:
    """The error for a snapshot that a later compaction has made unusable; None where there was no compaction since."""
    later = [later for later in snapshot_numbers(library) if later > number]
    compactions = [later for later in later if "compacted" in read_info(library.snapshots / str(later)).changes]
    if not compactions:
        return None
    return LibraryError(
        f"snapshot {number} cannot be restored: files that it needs were deleted when snapshot {max(compactions)} "
        f"compacted the library; roll back to snapshot {max(compactions)} or a later one, or ingest the videos again",
        argument="number",
    )


def compact(folder: Path) -> dict[str, int]:
    """Merge small files and segments, and delete files that nothing refers to. Earlier snapshots cannot be rolled back to.

    Returns:
        ``files_before`` and ``files_after``: how many Parquet files there were, and are.
    """
    with open_for_writing(folder) as (library, config, tables):
        counts = tables.compact()
        embed_texts = text_vectors_of(config)
        publish_tables(library, tables, config, {"compacted": 1}, most_merged=MERGED_BY_COMPACT, embed_texts=embed_texts)
        return counts
