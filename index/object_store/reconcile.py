"""Brings a working copy to the state of its store before it is written, without losing what was not brought over."""

from __future__ import annotations

import json
from collections.abc import Mapping

from index.object_store.copied_files import CopiedFiles
from index.object_store.fetch import CURRENT, LOG_FILE, SMALL_FILES, TABLE_FILE, fetch_snapshot, needed_for_writing
from index.object_store.push import added_by, is_entry
from index.object_store.store import DamagedError, MissingError, Stored

_REPLACED = (CURRENT, *SMALL_FILES)
_BY_CONTENT = ("segments/", "channel_parts/", "records/")


def reconcile(files: CopiedFiles) -> None:
    """Make a working copy one that can be written.

    Where nobody has written to the store since this machine did, what is only here stays, to be brought over. Else it goes.

    Raises:
        LibraryError: the store cannot be read.
    """
    files.drop_missing()
    _drop_unreadable(files)
    remote = files.store.listed()
    _recognise(files, remote)
    if _is_ahead(files, remote):
        _forget_what_is_lost(files, remote)
        files.fetch(needed_for_writing(files, remote))
        return
    _repair(files, remote)
    files.fetch(needed_for_writing(files, remote))
    if CURRENT in remote:
        try:
            fetch_snapshot(files)
        except (MissingError, DamagedError):  # it is published anew, over the one that the store names
            current = files.store.read(CURRENT)
            if current is not None:
                files.note(CURRENT, current.etag, current.content)


def _drop_unreadable(files: CopiedFiles) -> None:
    """Delete small files that a power cut has left unfinished; they are fetched again."""
    for name in _REPLACED:
        path = files.path(name)
        try:
            if path.exists():
                json.loads(path.read_bytes())
        except ValueError:
            files.forget(name)


def _recognise(files: CopiedFiles, remote: Mapping[str, Stored]) -> None:
    """Note what is here as it is in the store: this machine put it, and died before it could note that."""
    for name, there in remote.items():
        is_unknown = name in _REPLACED or (is_entry(name) and name not in files.etags)
        if is_unknown and files.etags.get(name) != there.etag and files.path(name).exists():
            content, found = files.path(name).read_bytes(), files.store.read(name)
            if found is not None and found.content == content:
                files.note(name, found.etag, content if name in _REPLACED else None)


def _is_ahead(files: CopiedFiles, remote: Mapping[str, Stored]) -> bool:
    """Whether nobody has written to the store since this machine did, and all is there of what is only here."""
    known = files.etags
    if any(known.get(name) != remote[name].etag for name in _REPLACED if name in remote):
        return False
    if any(name not in remote for name in known if LOG_FILE.fullmatch(name)):
        return False
    last = _last_entries(remote)
    if not last.keys() <= _last_entries(known).keys() or any(known.get(name) != remote[name].etag for name in last.values()):
        return False
    new = [name for name in files.names_in(".") if is_entry(name) and name not in known]
    added = [file for name in new for file in added_by(name.partition("/")[0], files.path(name).read_bytes())]
    return all(file in remote or files.path(file).exists() for file in added)


def _forget_what_is_lost(files: CopiedFiles, remote: Mapping[str, Stored]) -> None:
    """Let files be put again that the store does not have any more as they are here."""
    for name in [name for name in files.etags if name not in _REPLACED and not LOG_FILE.fullmatch(name)]:
        if name not in remote or remote[name].etag != files.etags[name]:
            del files.etags[name]


def _repair(files: CopiedFiles, remote: Mapping[str, Stored]) -> None:
    """Delete what is here and not in the store, or is another there. Small files stay until others take their place."""
    for name in files.names_in("."):
        there, path = remote.get(name), files.path(name)
        by_content = bool(TABLE_FILE.fullmatch(name)) or name.startswith(_BY_CONTENT)
        if name in _REPLACED:
            if there is None:
                files.forget(name)
            elif not files.is_pushed(name) or files.etags.get(name) != there.etag:
                files.etags.pop(name, None)
        elif not (by_content or LOG_FILE.fullmatch(name) or name.startswith("snapshots/")):
            continue  # of no commit
        elif there is None:
            files.forget(name)
        elif by_content and path.stat().st_size == there.size_bytes:
            files.etags[name] = there.etag  # such names are given once
        elif files.etags.get(name) != there.etag:
            files.forget(name)
    for name in [name for name in files.etags if name not in remote]:
        files.forget(name)


def _last_entries(names: Mapping[str, object]) -> dict[str, str]:
    """The name of the last entry of each table's log, by table."""
    entries = [(match[1], name) for name in names if (match := LOG_FILE.fullmatch(name)) and match[3] == "json"]
    return dict(sorted(entries))
