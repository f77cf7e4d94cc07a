"""Fetches what readers and writers need of a library into its working copy."""

from __future__ import annotations

import errno
import re
from collections.abc import Mapping

from index.object_store.copied_files import CopiedFiles
from index.object_store.manifest import (
    DESCRIPTIONS,
    SnapshotObjects,
    description_of,
    files_of_folder,
    objects_of_snapshot,
    records_of_folder,
)
from index.object_store.room import make_room
from index.object_store.store import MissingError, Stored
from index.storage.paths import KEPT_SNAPSHOTS
from schemas.errors import LibraryError

CURRENT = "CURRENT"
SMALL_FILES = ("library.json", "tags.json")
"""Files that are replaced under their name, beside CURRENT."""

LOG_FILE = re.compile(r"([a-z_]+)/_delta_log/(?:(\d{20})\.(json|checkpoint[\w.]*\.parquet)|_last_checkpoint)")
"""A file of a table's log: the table, the version, and ``json`` for an entry."""

TABLE_FILE = re.compile(r"([a-z_]+)/[^/.][^/]*\.parquet")


def fetch_snapshot(files: CopiedFiles) -> None:
    """Fetch the snapshot that the store's CURRENT names, and make it the working copy's.

    Raises:
        MissingError: the store lacks an object, which may have been deleted since newer snapshots were published.
        LibraryError: an object is damaged, or cannot be read.
    """
    current = files.store.read(CURRENT)
    if current is None:
        if CURRENT in files.etags:  # somebody has deleted the library
            files.forget(CURRENT)
        for name in SMALL_FILES:
            fetch_small(files, name)
        return
    number = number_of(current.content)
    is_new = files.etags.get(CURRENT) != current.etag or not files.path(CURRENT).exists()
    is_new |= _is_another(files, number)
    missing = _missing(files, number)
    for name in SMALL_FILES:
        if is_new or not files.path(name).exists():  # a change of either is followed by a snapshot
            fetch_small(files, name)
    if is_new or missing:
        make_room(files.folder.parent, _sizes(files, missing))
        files.fetch(missing)
        files.replace(CURRENT, current.content, current.etag)
        drop_old_snapshots(files, number)


def _is_another(files: CopiedFiles, number: int) -> bool:
    """Whether the snapshot of this number is not the one that is here: another library has taken the address."""
    name = f"snapshots/{number}/snapshot.json"
    known = files.etags.get(name)
    if known is None or files.store.etag(name) == known:
        return False
    for other in [other for other in files.etags if other.startswith("snapshots/")]:
        del files.etags[other]
    return True


def fetch_small(files: CopiedFiles, name: str) -> None:
    """Fetch a file that is replaced under its name, if the store has it."""
    found = files.store.read(name)
    if found is None:
        if name in files.etags:
            files.forget(name)
    elif files.etags.get(name) != found.etag or not files.path(name).exists():
        files.replace(name, found.content, found.etag)


def description(files: CopiedFiles, name: str) -> bytes:
    """The content of an object that describes others.

    Raises:
        MissingError: the store lacks it.
        LibraryError: it cannot be read.
    """
    if files.is_here(name):
        return files.path(name).read_bytes()
    found = files.store.read(name)
    if found is None:
        raise MissingError(errno.ENOENT, "there is no such object", name)
    return found.content


def objects_of(files: CopiedFiles, number: int) -> SnapshotObjects:
    """What the snapshot of this number refers to; errors as for `description`."""
    return objects_of_snapshot(number, description(files, f"snapshots/{number}/snapshot.json"))


def referenced(files: CopiedFiles, number: int) -> set[str]:
    """Names of the folders and of the files of records that a snapshot refers to; errors as for `description`."""
    folders = objects_of(files, number).folders
    segments = [folder for folder in folders if folder.startswith("segments/")]
    return {*folders, *(name for of in segments for name in records_of_folder(description(files, description_of(of))))}


def _missing(files: CopiedFiles, number: int) -> dict[str, str | None]:
    """SHA-256 by name of what readers of a snapshot need and is not here."""
    found = objects_of(files, number)
    hashes = dict(found.files)
    for folder in found.folders:
        of = description_of(folder)
        content = description(files, of)
        hashes |= {of: None, **files_of_folder(folder, content)}
        if folder.startswith("segments/"):
            hashes |= dict.fromkeys(records_of_folder(content))
    return {name: digest for name, digest in hashes.items() if not files.is_here(name)}


def _sizes(files: CopiedFiles, names: Mapping[str, object]) -> int:
    """Bytes of these objects together."""
    prefixes = {name.rpartition("/")[0] + "/" for name in names}
    return sum(
        found.size_bytes for prefix in prefixes for name, found in files.store.listed(prefix).items() if name in names
    )


def drop_old_snapshots(files: CopiedFiles, number: int) -> None:
    """Delete from the working copy what only snapshots refer to that are older than the last few which it has."""
    here = sorted(int(path.name) for path in files.path("snapshots").glob("*") if path.name.isdigit())
    kept = [of for of in here if of <= number and _is_whole(files, of)][-KEPT_SNAPSHOTS:]
    names: set[str] = set()
    for of in kept:
        try:
            names |= referenced(files, of)
        except (LibraryError, MissingError):
            continue  # older than what the store keeps
    for parent in (*DESCRIPTIONS, "records"):
        for name in files.names_in(parent):
            if "/".join(name.split("/")[:2]) not in names:
                files.forget(name)
    for of in here:
        for name in files.names_in(f"snapshots/{of}") if of not in kept else ():
            if not name.endswith("/snapshot.json"):
                files.forget(name)


def _is_whole(files: CopiedFiles, number: int) -> bool:
    """Whether all files of a snapshot's own are here; of most there ever were, only the description is."""
    if not files.is_here(f"snapshots/{number}/snapshot.json"):
        return False
    try:
        return all(files.is_here(name) for name in objects_of(files, number).files)
    except (LibraryError, MissingError):
        return False


def needed_for_writing(files: CopiedFiles, remote: Mapping[str, Stored]) -> dict[str, None]:
    """Names of the descriptions of snapshots, and of the files of tables' logs that are needed to open them, if not here."""
    names = [name for name in remote if re.fullmatch(r"snapshots/\d+/snapshot\.json", name)]
    logs = [(match, name) for name in remote if (match := LOG_FILE.fullmatch(name))]
    checkpoints: dict[str, int] = {}
    for match, _ in logs:
        if match[3] and match[3] != "json" and f"{match[1]}/_delta_log/_last_checkpoint" in remote:
            checkpoints[match[1]] = max(int(match[2]), checkpoints.get(match[1], 0))
    for match, name in logs:
        first = checkpoints.get(match[1], 0)
        if match[2] is None or (int(match[2]) >= first if match[3] == "json" else int(match[2]) == first):
            names.append(name)
    return dict.fromkeys(name for name in names if not files.is_here(name))


def number_of(current: bytes) -> int:
    """The snapshot that a CURRENT names.

    Raises:
        LibraryError: it names none.
    """
    try:
        return int(current)
    except ValueError as exc:
        raise LibraryError("CURRENT names no snapshot in the library's store; run the ingest again to publish one") from exc
