"""Compares folders with what a library knows of them. Content decides; names and times only save reading it."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from jobs.ingest.known import KnownRows
from jobs.ingest.listing import Listing
from pipeline.sources import absolute_path, is_folder, source_of
from pipeline.sources.hashing import content_hash, ends_hash
from pipeline.sources.paths import path_of_text
from schemas.errors import UsageError, VideoError
from schemas.records import VideoFile, path_text


@dataclass(frozen=True, slots=True)
class Copy:
    """A file with the same content as another one.

    Attributes:
        content_hash: of both.
        original: the other file: its video id where the library knows it, else the file itself, which is about to be read.
    """

    file: VideoFile
    content_hash: str
    original: str | VideoFile


@dataclass(slots=True)
class Changes:
    """The differences between folders and a library, which an ingest brings into the library.

    Attributes:
        to_do: files whose content the library does not know.
        unreadable: files that cannot even be opened, with the reason.
        replacing: whether some of these replace rows of an older content.
        unchanged: number of files that are as the library knows them.
        moved: the files of videos that have another path, by video id.
        touched: the files of videos that are as they were but for their time or version, by video id.
        removed: video ids of files that are gone.
        copies: files with the content of another file, known or to do: they are not read a second time.
        taken: video ids that new files must not get, since a moved video keeps one that was made of their path, or since a
            row that is being replaced has it until the new one is there.
    """

    to_do: list[VideoFile] = field(default_factory=list)
    unreadable: list[tuple[VideoFile, VideoError]] = field(default_factory=list)
    replacing: bool = False
    unchanged: int = 0
    moved: dict[str, VideoFile] = field(default_factory=dict)
    touched: dict[str, VideoFile] = field(default_factory=dict)
    removed: list[str] = field(default_factory=list)
    copies: list[Copy] = field(default_factory=list)
    taken: frozenset[str] = frozenset()


def compare(
    found: Listing,
    known: pa.Table,
    sources: Sequence[str | Path],
    *,
    no_videos: Collection[str] = (),
    allow_empty: bool = False,
    retry_failed: bool = False,
    rehash: bool = False,
    track: int | None = None,
) -> Changes:
    """Compare the files that there are with those that the library knows.

    Args:
        found: the files.
        known: `index.storage.tables.Tables.known_videos`, the latest last.
        sources: the folders and files that the user named; a known video below one of them that is not found counts as
            removed.
        no_videos: paths of files that are not videos; one that the library knows as a video counts as gone.
        allow_empty: accept a source without any video although the library knows some below it.
        retry_failed: read again the videos that could not be indexed, or not whole.
        rehash: read the content also of files whose size and time are unchanged.
        track: read again the videos that have this track and were indexed by another, and those whose tracks have not been
            counted.

    Raises:
        UsageError: a source holds no video any more, unless ``allow_empty``: its disk may not be mounted.
    """
    known_rows = KnownRows(known, track)
    rows = known_rows.rows_of(found)
    folders = [_prefix(path_text(absolute_path(str(source)))) for source in sources]
    passed = {path_text(path) for path in no_videos}
    gone = _gone(known_rows, rows, found, folders, passed)
    settled = known_rows.is_settled(rows, found, retry_failed=retry_failed)
    changes, making_way = Changes(), list[int]()
    if not rehash:
        changes.unchanged = int(settled.sum())
    lost = _by_content(known_rows, gone)
    for number in range(len(found)) if rehash else np.flatnonzero(~settled).tolist():
        file, error, row = found.file(number), found.errors.get(number), int(rows[number])
        if settled[number] and not _has_changed(known_rows.content_hash(row), file):
            changes.unchanged += 1
        elif error is None and _is_same(known_rows, row, file):
            changes.unchanged += 1  # touched, or copied back
            changes.touched[known_rows.video_id(row)] = file
        elif error is None and row < 0 and (old := _take(lost, file)) is not None:
            changes.moved[known_rows.video_id(old)] = file
        else:
            making_way += [row] * (row >= 0)
            if error:
                changes.unreadable.append((file, error))
            else:
                changes.to_do.append(file)
    changes.removed = _removed(
        known_rows, gone, sources, folders, changes.moved, allow_empty=allow_empty, seen=(found, passed)
    )
    changes.replacing = bool(making_way)
    if changes.to_do or changes.unreadable:
        replaced = [known_rows.video_id(row) for row in making_way]
        changes.taken = frozenset(known_rows.moved_before()) | changes.moved.keys() | frozenset(replaced)
    # The rows of files that are read make way in this run.
    lasting = known_rows.is_indexed & known_rows.of_track & np.isin(np.arange(len(known_rows) + 1), rows)
    lasting[making_way] = False
    changes.to_do, changes.copies = _copies(changes.to_do, known_rows, lasting)
    return changes


def _copies(files: list[VideoFile], known: KnownRows, lasting: NDArray[np.bool_]) -> tuple[list[VideoFile], list[Copy]]:
    """Separate the files to read from copies of files that are known, in rows that are ``lasting``, or to be read.

    Only files of the same size are compared: both ends first, then the whole content.
    """
    sizes = Counter(file.size_bytes for file in files)
    originals: dict[int, dict[str | None, str | VideoFile]] = defaultdict(dict)
    for row in np.flatnonzero(lasting & np.isin(known.sizes, list(sizes))).tolist():
        originals[int(known.sizes[row])][known.content_hash(row)] = known.video_id(row)
    alike: dict[tuple[int, bytes], list[VideoFile]] = defaultdict(list)
    to_do, copies = [], []
    for file in files:
        ends = b""
        if sizes[file.size_bytes] > 1 or file.size_bytes in originals:
            ends = ends_hash(file.path)
            alike[file.size_bytes, ends].append(file)
        if not ends or (len(alike[file.size_bytes, ends]) == 1 and file.size_bytes not in originals):
            to_do.append(file)
            continue
        of_size = originals[file.size_bytes]
        for earlier in alike[file.size_bytes, ends][:1]:  # the first of its kind is only looked into when a second comes
            if earlier is not file and (digest := _hash(earlier)):
                of_size.setdefault(digest, earlier)
        digest = _hash(file)
        if digest is None or digest not in of_size:
            to_do.append(file)
            if digest is not None:
                of_size[digest] = file
        else:
            copies.append(Copy(file, digest, of_size[digest]))
    return to_do, copies


def _gone(
    known: KnownRows, rows: NDArray[np.int32], found: Listing, folders: Sequence[str], passed: Collection[str]
) -> list[int]:
    """Known videos that are gone: those below ``folders``, and those elsewhere that a new file may be, by its size."""
    missing = np.setdiff1d(np.arange(len(known)), rows)
    paths = known.paths.take(pa.array(missing))
    is_asked = np.isin(known.sizes[missing], found.sizes[rows < 0])
    for folder in folders:
        is_asked |= pc.starts_with(paths, pattern=folder).to_numpy()
    unreadable = [found.file(number).path for number in found.errors]
    unreadable_folders = tuple(_prefix(path_text(path)) for path in unreadable if is_folder(path))
    return [
        row
        for row, path in zip(missing[is_asked].tolist(), paths.filter(pa.array(is_asked)).to_pylist(), strict=True)
        if (path in passed or _is_gone(path)) and not path.startswith(unreadable_folders)
    ]


def _removed(
    known: KnownRows,
    gone: Sequence[int],
    sources: Sequence[str | Path],
    folders: Sequence[str],
    moved: Collection[str],
    *,
    allow_empty: bool,
    seen: tuple[Listing, Collection[str]],
) -> list[str]:
    """The video ids of files that are gone from below ``folders``, which are the sources', and have not moved.

    ``seen`` are the files that are there, and the paths of those that are no videos.

    Raises:
        UsageError: nothing is left below a source, unless ``allow_empty``.
    """
    removed: dict[str, str] = {}
    ids = {
        path: known.video_id(row)
        for row, path in zip(gone, known.paths.take(pa.array(gone, pa.int64())).to_pylist(), strict=True)
    }
    for source, folder in zip(sources, folders, strict=True):
        below = {path: video_id for path, video_id in ids.items() if path.startswith(folder) and video_id not in moved}
        if below and not allow_empty and not _any_below(folder, *seen):
            raise UsageError(
                f"{absolute_path(str(source))!r} holds no video, and the library knows {len(below)} below it. If its disk "
                "is not mounted, mount it; if they are really gone, add `allow_empty` to take them out of the library",
                argument="sources",
            )
        removed |= below
    return list(removed.values())


def _any_below(folder: str, found: Listing, passed: Collection[str]) -> bool:
    return bool(pc.any(pc.starts_with(found.paths, pattern=folder)).as_py()) or any(p.startswith(folder) for p in passed)


def _is_same(known: KnownRows, row: int, file: VideoFile) -> bool:
    """Whether the file is what the row says, of the right track and indexed whole, under another time."""
    may_be = known.is_indexed[row] and known.of_track[row] and known.sizes[row] == file.size_bytes
    return bool(may_be) and _hash(file) == known.content_hash(row)


def _has_changed(digest: str | None, file: VideoFile) -> bool:
    """Whether the file's content has another hash than ``digest``; False where either is not known."""
    return bool(digest) and _hash(file) not in (None, digest)


def _is_gone(text: str) -> bool:
    """Whether no file has this path any more. A path that cannot be looked at, as below a locked folder, is not gone."""
    for path in {text, path_of_text(text)}:
        try:
            if source_of(path).stat(path).kind != "folder":
                return False
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError:
            return False
    return True


def _prefix(folder: str) -> str:
    """The beginning of every path below a folder."""
    return folder.rstrip("/") + "/"


def _by_content(known: KnownRows, gone: Sequence[int]) -> dict[int, dict[str, deque[int]]]:
    """The rows of ``gone`` that a new file may be, by size and content hash."""
    lost: dict[int, dict[str, deque[int]]] = defaultdict(lambda: defaultdict(deque))
    for row in gone:
        if known.of_track[row] and (digest := known.content_hash(row)):
            lost[int(known.sizes[row])][digest].append(row)
    return lost


def _take(lost: dict[int, dict[str, deque[int]]], file: VideoFile) -> int | None:
    """Take out of ``lost`` the row that has the file's content."""
    of_size = lost.get(file.size_bytes)
    digest = _hash(file) if of_size else None
    if not of_size or not digest or digest not in of_size:
        return None
    row = of_size[digest].popleft()
    if not of_size[digest]:
        del of_size[digest]
    return row


def _hash(file: VideoFile) -> str | None:
    try:
        return content_hash(file.path)
    except VideoError:
        return None  # the plan step will say so in the video's row
