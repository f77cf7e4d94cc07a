"""Brings to the store what was committed and published in a working copy, so that at every moment it is a whole library."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

from index.object_store.copied_files import CopiedFiles
from index.object_store.fetch import CURRENT, LOG_FILE, SMALL_FILES, TABLE_FILE, number_of, referenced
from index.object_store.manifest import DESCRIPTIONS
from index.object_store.store import MissingError
from index.storage.paths import KEPT_SNAPSHOTS
from schemas.errors import LibraryError

UNREFERENCED = timedelta(hours=1)
"""The age at which objects are deleted that nothing refers to: a younger one may be on its way to be referred to."""


def push_all(files: CopiedFiles, check: Callable[[], None], confirm: Callable[[], None]) -> None:
    """Put everything that is not in the store yet.

    Args:
        files: of the working copy.
        check: raises where another writer is known to have taken the lease.
        confirm: asks the store, too.

    Raises:
        ChangedError: somebody else has written in the meantime.
        LibraryError: the store cannot be written.
    """
    for name in SMALL_FILES:
        files.put_replaced(name)
    _push_tables(files)
    if files.is_pushed(CURRENT):
        return
    number = number_of(files.path(CURRENT).read_bytes())
    # Who puts this first has the number, also where the lease was lost on the way.
    description = f"snapshots/{number}/snapshot.json"
    if not files.is_here(description):
        files.note(description, files.store.put_new(description, files.path(description).read_bytes()))
    files.put(
        name
        for parent in (*DESCRIPTIONS, "records", f"snapshots/{number}")
        for name in files.names_in(parent)
        if name not in files.etags
    )
    check()
    files.put_replaced(CURRENT)
    delete_unreferenced(files, confirm)


def _push_tables(files: CopiedFiles) -> None:
    """Put new entries of the tables' logs in the order in which they were written, each after the files that it adds.

    A commit may take away clips only after another has taken away their video, so the order among tables matters.
    """
    logs = [name for folder in _tables(files) for name in files.names_in(f"{folder}/_delta_log")]
    entries = [name for name in logs if name not in files.etags and is_entry(name)]
    for name in _in_order(files, entries):
        content = files.path(name).read_bytes()
        table = name.partition("/")[0]
        files.put(f for f in added_by(table, content) if f not in files.etags and files.path(f).exists())
        files.note(name, files.store.put_new(name, content))
    for name in logs:
        if not is_entry(name) and LOG_FILE.fullmatch(name) and not files.is_pushed(name):
            content = files.path(name).read_bytes()
            files.note(name, files.store.put(name, content), content)
    gone = [name for table in _tables(files) for name in _expired(files, table)]
    files.store.delete(gone)
    for name in gone:
        files.forget(name)


def _in_order(files: CopiedFiles, entries: list[str]) -> list[str]:
    """Entries in the order in which they were written; of one table always by version, whatever its clock said."""
    latest: dict[str, int] = {}
    written: dict[str, int] = {}
    for name in sorted(entries):
        table = name.partition("/")[0]
        latest[table] = written[name] = max(latest.get(table, 0), files.path(name).stat().st_mtime_ns)
    return sorted(written, key=lambda name: written[name])


def _tables(files: CopiedFiles) -> list[str]:
    return sorted(path.parent.name for path in files.folder.glob("*/_delta_log"))


def is_entry(name: str) -> bool:
    """Whether a file is an entry of a table's log, which is written once."""
    match = LOG_FILE.fullmatch(name)
    return match is not None and match[3] == "json"


def _expired(files: CopiedFiles, table: str) -> list[str]:
    """Entries of a table's log that Delta Lake has deleted here since this writer began: a checkpoint has what they say."""
    try:
        last = int(json.loads(files.path(f"{table}/_delta_log/_last_checkpoint").read_bytes())["version"])
    except (OSError, ValueError, LookupError, TypeError):
        return []
    entries = [
        (match, name) for name in files.etags if (match := LOG_FILE.fullmatch(name)) and match[1] == table and match[2]
    ]
    return [name for match, name in entries if int(match[2]) < last and not files.path(name).exists()]


def added_by(table: str, entry: bytes) -> list[str]:
    """The names of the files that an entry of a table's log adds."""
    actions = (json.loads(line) for line in entry.decode("utf-8").splitlines())
    return [f"{table}/{action['add']['path']}" for action in actions if "add" in action]


def delete_unreferenced(files: CopiedFiles, confirm: Callable[[], None], older_than: timedelta = UNREFERENCED) -> None:
    """Delete what none of the last snapshots refers to, once it is as old as that.

    Raises:
        LibraryError: the store cannot be listed, or refuses to delete.
    """
    remote = {
        name: found
        for parent in (*DESCRIPTIONS, "records", "snapshots")
        for name, found in files.store.listed(f"{parent}/").items()
    }
    numbers = sorted({int(name.split("/")[1]) for name in remote if name.endswith("/snapshot.json")})
    kept = numbers[-KEPT_SNAPSHOTS:]
    try:
        names = set().union(*(referenced(files, number) for number in kept))
    except (LibraryError, MissingError):
        return  # what they refer to is not known, so nothing is deleted
    names |= {f"snapshots/{number}" for number in kept}
    before = datetime.now(UTC) - older_than
    gone = [
        name
        for name, found in remote.items()
        if "/".join(name.split("/")[:2]) not in names and not name.endswith("/snapshot.json") and found.modified_at < before
    ]
    _delete(files, gone, confirm)
    for name in gone:
        files.etags.pop(name, None)


def delete_files_of_no_version(files: CopiedFiles, kept: Mapping[str, set[str]], confirm: Callable[[], None]) -> None:
    """Delete the Parquet files of tables in the store but for these, by table: those that no machine has deleted.

    Raises:
        LibraryError: the store cannot be listed, or refuses to delete; or another writer has taken the lease.
    """
    gone = [
        name
        for table, names in kept.items()
        for name in files.store.listed(f"{table}/")
        if TABLE_FILE.fullmatch(name) and name.rpartition("/")[2] not in names
    ]
    _delete(files, gone, confirm)
    for name in gone:
        files.forget(name)


def _delete(files: CopiedFiles, listed: list[str], confirm: Callable[[], None]) -> None:
    """Delete objects that were listed, if nobody else can have put one of them."""
    if listed:
        confirm()
        files.store.delete(listed)
