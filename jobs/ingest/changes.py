"""Compares folders with what a library knows of them. Content decides; names and times only save reading it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline.sources import absolute_path, is_folder, source_of
from pipeline.sources.hashing import content_hash, ends_hash
from pipeline.sources.paths import path_of_text
from schemas.errors import UsageError, VideoError
from schemas.records import VideoFile, path_text, video_id_of


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
        moved: video_id -> (new path as text, modified_ns).
        removed: video ids of files that are gone.
        copies: files with the content of another file, known or to do: they are not read a second time.
        taken: video ids that new files must not get, since a moved video keeps one that was made of their path, or since a
            row that is being replaced has it until the new one is there.
    """

    to_do: list[VideoFile] = field(default_factory=list)
    unreadable: list[tuple[VideoFile, VideoError]] = field(default_factory=list)
    replacing: bool = False
    unchanged: int = 0
    moved: dict[str, tuple[str, int]] = field(default_factory=dict)
    removed: list[str] = field(default_factory=list)
    copies: list[Copy] = field(default_factory=list)
    taken: frozenset[str] = frozenset()


def compare(
    found: Sequence[VideoFile | tuple[VideoFile, VideoError]],
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
        found: the files, as `pipeline.sources.find.find_videos` gives them.
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
    by_path: dict[str, dict[str, Any]] = {row["path"]: row for row in known.to_pylist()}
    here = {path_text(item.path if isinstance(item, VideoFile) else item[0].path) for item in found}
    unreadable = [path_text(item[0].path) for item in found if isinstance(item, tuple) and is_folder(item[0].path)]
    passed = {path_text(path) for path in no_videos}
    gone = {
        path: row
        for path, row in by_path.items()
        if path not in here
        and (path in passed or _is_gone(path))
        and not any(_is_below(path, folder) for folder in unreadable)
    }
    changes = Changes()
    lost_by_size = defaultdict(list)
    for lost in gone.values():
        if lost["content_hash"] and _is_of_track(lost, track):
            lost_by_size[lost["size_bytes"]].append(lost)
    for item in found:
        file, error = (item, None) if isinstance(item, VideoFile) else item
        row: dict[str, Any] | None = by_path.get(path_text(file.path))
        if (
            row
            and _is_settled(row, file, error, retry_failed=retry_failed, track=track)
            and not (rehash and _has_changed(row, file))
        ):
            changes.unchanged += 1
        elif error:
            changes.replacing |= row is not None
            changes.unreadable.append((file, error))
        elif (
            row
            and row["status"] == "indexed"
            and _is_of_track(row, track)
            and row["size_bytes"] == file.size_bytes
            and _hash(file) == row["content_hash"]
        ):
            changes.unchanged += 1  # touched, or copied back
        elif row is None and (old := _same_content(file, lost_by_size[file.size_bytes])):
            changes.moved[old["video_id"]] = (path_text(file.path), file.modified_ns)
            lost_by_size[file.size_bytes].remove(old)
        else:
            changes.replacing |= row is not None
            changes.to_do.append(file)
    changes.removed = _removed(gone, here | passed, sources, changes.moved, allow_empty=allow_empty)
    replaced = {path_text(file.path) for file in (*changes.to_do, *(file for file, _ in changes.unreadable))}
    lasting_paths = here - replaced
    # The others' rows make way in this run.
    lasting = [row for path, row in by_path.items() if path in lasting_paths and _is_of_track(row, track)]
    making_way = {row["video_id"] for path, row in by_path.items() if path in replaced}
    changes.to_do, changes.copies = _copies(changes.to_do, lasting)
    moved_before = (
        row["video_id"] for row in by_path.values() if row["video_id"] != video_id_of(row["content_hash"], row["path"])
    )
    changes.taken = frozenset(moved_before) | changes.moved.keys() | making_way
    return changes


def _copies(files: list[VideoFile], known: Sequence[dict[str, Any]]) -> tuple[list[VideoFile], list[Copy]]:
    """Separate the files to read from copies of files that are known, or to be read.

    Only files of the same size are compared: both ends first, then the whole content.
    """
    originals: dict[int, dict[str, str | VideoFile]] = defaultdict(dict)
    for row in known:
        if row["status"] == "indexed":
            originals[row["size_bytes"]][row["content_hash"]] = row["video_id"]
    alike: dict[tuple[int, bytes], list[VideoFile]] = defaultdict(list)
    sizes = Counter(file.size_bytes for file in files)
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


def _removed(
    gone: dict[str, dict[str, Any]],
    seen: set[str],
    sources: Sequence[str | Path],
    moved: Collection[str],
    *,
    allow_empty: bool,
) -> list[str]:
    """The video ids of files that are gone from below ``sources`` and have not moved; ``seen`` are the paths that are there.

    Raises:
        UsageError: nothing is left below a source, unless ``allow_empty``.
    """
    removed: dict[str, str] = {}
    for source in (absolute_path(str(source)) for source in sources):
        below = [path for path in gone if _is_below(path, path_text(source)) and gone[path]["video_id"] not in moved]
        if below and not allow_empty and not any(_is_below(path, path_text(source)) for path in seen):
            raise UsageError(
                f"{source!r} holds no video, and the library knows {len(below)} below it. If its disk is not "
                "mounted, mount it; if they are really gone, add `allow_empty` to take them out of the library",
                argument="sources",
            )
        removed |= {path: gone[path]["video_id"] for path in below}
    return list(removed.values())


def _is_settled(
    row: dict[str, Any], file: VideoFile, error: VideoError | None, *, retry_failed: bool, track: int | None
) -> bool:
    """Whether reading the file again would tell nothing new."""
    if (file.size_bytes, file.modified_ns) != (row["size_bytes"], row["modified_ns"]):
        return False
    if row["error_stage"] == "find" and error is None:
        return False  # it could not be opened then, and can be now
    if error is None and row["status"] != "failed" and not _is_of_track(row, track):
        return False
    return row["status"] == "indexed" or not retry_failed


def _is_of_track(row: dict[str, Any], track: int | None) -> bool:
    """Whether an ingest of this track takes the track that the row is of."""
    if track is None:
        return True
    return row["tracks"] is not None and (row["track"] == track or row["tracks"] < track)


def _has_changed(row: dict[str, Any], file: VideoFile) -> bool:
    """Whether the file's content differs from the row's; False where either is not known."""
    return bool(row["content_hash"]) and _hash(file) not in (None, row["content_hash"])


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


def _is_below(path: str, folder: str) -> bool:
    return path.startswith(folder.rstrip("/") + "/")


def _same_content(file: VideoFile, candidates: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    if not candidates:
        return None
    digest = _hash(file)
    return next((row for row in candidates if row["content_hash"] == digest), None)


def _hash(file: VideoFile) -> str | None:
    try:
        return content_hash(file.path)
    except VideoError:
        return None  # the plan step will say so in the video's row
