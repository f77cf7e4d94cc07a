"""Relocate: tell a library that its videos lie elsewhere now. Nothing is decoded."""

from __future__ import annotations

import os
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from index.snapshot.publish import publish_tables
from index.snapshot.snapshot import current_snapshot
from index.storage.lock import open_for_writing
from pipeline.sources import absolute_path, source_of
from pipeline.sources.find import check_address
from pipeline.sources.paths import path_of_text
from schemas.errors import UsageError
from schemas.records import VideoFile, path_text

_URL = re.compile(r"[a-z][a-z0-9+.-]*://.")

# The most videos that are looked for under their new paths.
_MAX_LOOKED_AT = 200

_MAX_FOLDERS = 5


@dataclass(frozen=True, slots=True)
class Relocated:
    """The result of relocating videos.

    Attributes:
        old: the folder or file that they were in.
        new: the one that they are in now.
        videos: how many have a new path.
        snapshot: number of the snapshot that shows them.
        looked_at: how many of them were looked for under their new paths; none in a store, which may need a key.
        found: how many of those are there, with the size that the library knows.
        missing: the first that is not, under its new path; None where all are.
    """

    old: str
    new: str
    videos: int
    snapshot: int
    looked_at: int
    found: int
    missing: str | None = None


def relocate(folder: Path, old: str, new: str) -> Relocated:
    """Give the videos at or below ``old`` the same paths below ``new``, and publish that.

    Video ids, clips and all that was written of the videos stay. ``new`` need not be there: it may be a disk of the machine
    that the library is about to go to. Sizes and times stay as they are known, so the next ingest looks into files whose
    time differs, and takes those of the same content for unchanged.

    Args:
        folder: the library's.
        old: a folder, a file or a URL as the library knows it; it need not be there any more.
        new: likewise, where it is now.

    Raises:
        UsageError: the library has no video there, or has others under the new paths.
        LibraryError: there is no library, or it cannot be written.
    """
    old, new = (_spelled(argument, given) for argument, given in (("old", old), ("new", new)))
    if old == new:
        raise UsageError(f"got {new!r} twice, expected two places", argument="new")
    with open_for_writing(folder) as (library, config, tables):
        known = tables.read_videos(["video_id", "path", "size_bytes", "modified_ns", "version"])
        is_moved = pc.or_(pc.equal(known["path"], old), pc.starts_with(known["path"], pattern=_below(old)))
        moved, others = known.filter(is_moved).sort_by("path"), known.filter(pc.invert(is_moved))
        if not len(moved):
            raise UsageError(f"no video of the library is at or below {old!r}; {_known(known['path'])}", argument="old")
        paths = pc.binary_join_element_wise(new, pc.utf8_slice_codeunits(moved["path"], len(old)), "")
        taken = paths.filter(pc.is_in(paths, value_set=others["path"].combine_chunks()))
        if len(taken):
            raise UsageError(
                f"the library has another video under {taken[0].as_py()!r} and {len(taken) - 1} more of the new paths; "
                "relocate those first, or ingest with their files gone",
                argument="new",
            )
        columns = [paths, *(moved[name] for name in ("size_bytes", "modified_ns", "version"))]
        rows = zip(*(column.to_pylist() for column in columns), strict=True)
        files = [VideoFile(path, size_bytes, time_ns, version or "") for path, size_bytes, time_ns, version in rows]
        tables.move_videos(dict(zip(moved["video_id"].to_pylist(), files, strict=True)))
        publish_tables(library, tables, config, {"relocated": len(moved)})
        missing, looked_at = ([], 0) if _URL.match(new) else _missing(paths, moved["size_bytes"])
        snapshot = int(current_snapshot(library).name)
    found = looked_at - len(missing)
    return Relocated(old, new, len(moved), snapshot, looked_at, found, missing[0] if missing else None)


def relocated_text(done: Relocated) -> str:
    """The result in a sentence."""
    videos = f"{done.videos} video{'s' * (done.videos != 1)}"
    there = f"{done.found} of {done.looked_at} looked for there"
    if done.missing is None:
        there = "all there" if done.looked_at == done.videos else f"the {done.looked_at} looked for there"
    if not done.looked_at:
        there = "not looked for"
    return f"{videos} relocated from {done.old} to {done.new} ({there}), published as snapshot {done.snapshot}"


def _spelled(argument: str, given: str) -> str:
    """A place as the library spells paths, without a slash at its end.

    Raises:
        UsageError: nothing is given, or an address that holds a secret.
    """
    if not given:
        raise UsageError("got nothing, expected a folder, a file or a URL", argument=argument)
    if _URL.match(given):
        check_address(given, argument)
    whole = given if _URL.match(given) else absolute_path(given)
    return path_text(whole).rstrip("/")


def _below(place: str) -> str:
    return f"{place}/"


def _missing(paths: pa.ChunkedArray, sizes: pa.ChunkedArray) -> tuple[list[str], int]:
    """The new paths, of some spread over all, at which there is no file of the size; and how many were looked for."""
    chosen = np.unique(np.linspace(0, len(paths) - 1, _MAX_LOOKED_AT).astype(np.int64))
    pairs = zip(paths.take(pa.array(chosen)).to_pylist(), sizes.take(pa.array(chosen)).to_pylist(), strict=True)
    return [path for path, size_bytes in pairs if not _is_there(path, size_bytes)], len(chosen)


def _is_there(text: str, size_bytes: int) -> bool:
    for path in {text, path_of_text(text)}:
        try:
            if source_of(path).stat(path).size_bytes == size_bytes:
                return True
        except OSError:
            continue
    return False


def _known(paths: pa.ChunkedArray) -> str:
    """Where a library's videos are, as a clause: the folders that hold most of them."""
    folders = Counter(os.path.dirname(path) for path in paths.to_pylist())
    if not folders:
        return "it has no video at all"
    shared = os.path.commonpath(list(folders)) if all(folder.startswith("/") for folder in folders) else ""
    if len(shared) > 1:
        return f"all its {folders.total()} videos are below {shared!r}"
    listed = ", ".join(f"{folder!r} ({count})" for folder, count in folders.most_common(_MAX_FOLDERS))
    more = f" and {len(folders) - _MAX_FOLDERS} other folders" if len(folders) > _MAX_FOLDERS else ""
    return f"its videos are in {listed}{more}"
