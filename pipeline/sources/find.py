"""Finds the videos below the folders and files that a user named."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cache
from itertools import pairwise
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

from pipeline.container.signature import may_be_video
from pipeline.sources import absolute_path, exists, is_file, is_folder, scheme_of, source_of
from pipeline.sources.base import Entry, Status
from pipeline.sources.paths import spelling
from schemas.errors import UsageError, VideoError
from schemas.records import VideoFile, path_text

# Endings that people's videos have, and little else. A file named outright is taken whatever it is called.
VIDEO_SUFFIXES = frozenset((
    ".3g2", ".3gp", ".3gp2", ".3gpp", ".3gpp2", ".amv", ".asf", ".avi", ".divx", ".dv", ".dvr-ms",
    ".f4v", ".flv", ".gxf", ".h261", ".h263", ".h264", ".h265", ".h266", ".hevc", ".insv", ".ismv",
    ".ivf", ".ivr", ".k3g", ".lrv", ".m1v", ".m2p", ".m2t", ".m2ts", ".m2v", ".m4v", ".mj2",
    ".mjpeg", ".mjpg", ".mk3d", ".mkv", ".mov", ".mp2v", ".mp4", ".mp4v", ".mpe", ".mpeg", ".mpeg4",
    ".mpg", ".mpg2", ".mpg4", ".mpv", ".mqv", ".mxf", ".nsv", ".nut", ".nuv", ".ogm", ".ogv",
    ".osv", ".qt", ".rmvb", ".ssif", ".vob", ".vro", ".webm", ".wmv", ".wtv", ".xvid", ".y4m",
))  # fmt: skip

# Endings that videos share with others: TypeScript, Qt's translations, music for trackers, old logs, still pictures. Their
# first bytes decide (`pipeline.container.signature`).
SHARED_SUFFIXES = frozenset((
    ".264", ".265", ".266", ".360", ".apng", ".avc", ".avif", ".avifs", ".bik", ".cine", ".dat",
    ".dav", ".dif", ".drc", ".evo", ".flc", ".fli", ".gif", ".heic", ".heics", ".heif", ".heifs",
    ".lrf", ".mod", ".mts", ".obu", ".ogg", ".ogx", ".pva", ".rec", ".rm", ".roq", ".smk", ".thp",
    ".tivo", ".tod", ".tp", ".trp", ".ts", ".ty", ".viv",
))  # fmt: skip

_EMPTY = "the file is empty (0 bytes)"

# The contents of a library's folder, and the beginning of the list that an export writes.
_LIBRARY_TABLES = frozenset(("videos", "clips", "features", "tags"))
_LIBRARY_FILES = frozenset(("library.json", "CURRENT", "tags.json", "ingest.lock"))
_EXPORT_COLUMNS = b"file,path,start_s,end_s,"


@dataclass(frozen=True, slots=True)
class Choice:
    """The globs that choose among the files below a source.

    A glob is compared with the name of a file and with its path below the source, and likewise for each folder that it is
    in: ``proxies`` and ``2024/*.mov`` both work. ``*`` matches slashes too. Upper and lower case are the same, and so are
    the two ways in which Unicode spells an umlaut.

    Attributes:
        include: only files that match one of these are taken; whatever their ending, if they begin like a video.
        exclude: files and folders that match one of these are left out.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what can match nothing.

        Raises:
            UsageError: an empty GLOB, or one that begins at the root.
        """
        for argument, globs in (("include", self.include), ("exclude", self.exclude)):
            for glob in globs:
                if not glob or glob.startswith("/"):
                    raise UsageError(
                        f"got {path_text(glob)!r}, expected a name or a path below a source, with * and ? and "
                        "[abc], such as '*.mov' or 'proxies'",
                        argument=argument,
                    )

    def includes(self, path: str) -> bool:
        """Whether what has this path below its source is named by ``include``; so is all below a folder that is."""
        return _matches(path, self.include)

    def excludes(self, path: str) -> bool:
        """Whether what has this path below its source is named by ``exclude``."""
        return _matches(path, self.exclude)


def _matches(path: str, globs: tuple[str, ...]) -> bool:
    if not globs:
        return False
    names = {spelling(path).lower(), spelling(os.path.basename(path)).lower()}
    return any(fnmatchcase(name, _pattern(glob)) for glob in globs for name in names)


@cache
def _pattern(glob: str) -> str:
    return spelling(os.path.normpath(glob)).lower()


@dataclass(slots=True)
class PassedOver:
    """The files that were not taken. Hidden ones, and those in excluded folders or vidsift's own, are not counted.

    Attributes:
        endings: number of files by ending in lower case; "" for those without one.
        folders: folders that vidsift wrote, and what each is.
        no_videos: paths whose ending a video may have, and whose first bytes are not a video's.
    """

    endings: Counter[str] = field(default_factory=Counter)
    folders: dict[str, str] = field(default_factory=dict)
    no_videos: set[str] = field(default_factory=set)
    _walked: list[str] = field(default_factory=list)

    def count(self, path: str) -> None:
        """Count a file, unless it is below a source that has been walked."""
        if not any(path.startswith(source) for source in self._walked):
            self.endings[path_text(_ending(path))] += 1

    def end_folder(self, folder: str) -> None:
        """Count nothing below ``folder`` from now on: it has been walked, and everything below it counted."""
        self._walked.append(folder.rstrip("/") + "/")


def _ending(path: str) -> str:
    return os.path.splitext(path)[1].lower()


def check_sources(sources: Sequence[str | Path]) -> None:
    """Check that each of ``sources`` exists.

    Raises:
        UsageError: one does not.
    """
    for named in sources:
        if not (_is_there(str(named)) if scheme_of(str(named)) else exists(str(named))):
            raise UsageError(
                f"no such file or folder: {str(named)!r}; give folders or video files that exist "
                f"(the current folder is {os.getcwd()!r})",
                argument="sources",
            )


def _is_there(url: str) -> bool:
    """Whether a source over a network is there.

    Raises:
        UsageError: it cannot be told, or its address says what it must not.
    """
    check_address(url)
    try:
        source_of(url).stat(absolute_path(url))
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as exc:
        raise UsageError(f"{url!r} cannot be reached: {exc.strerror or exc}", argument="sources") from exc
    return True


def check_address(url: str, argument: str = "sources") -> None:
    """Check that an address, which a library will keep, holds nothing secret.

    Raises:
        UsageError: it has a password, or a query or fragment, which may be a signature.
    """
    scheme, _, rest = url.partition("://")
    if scheme in ("http", "https") and re.search(r"[?#]", rest):
        raise UsageError(
            f"the address {scheme}://{rest.partition('?')[0].partition('#')[0]} has a query or a fragment, expected none: "
            "it may hold a signature, and addresses are kept in the library",
            argument=argument,
        )
    if re.match(r"[^/@]*:[^/@]*@", rest):
        raise UsageError(
            f"an address of {scheme}:// with a password in it, expected none: addresses are kept in the library; "
            "see the documentation of sources for where credentials come from",
            argument=argument,
        )


def find_videos(
    sources: Sequence[str | Path],
    *,
    choice: Choice = Choice(),
    is_known: Callable[[VideoFile], bool] = lambda file: False,
    passed: PassedOver | None = None,
) -> Iterator[VideoFile | tuple[VideoFile, VideoError]]:
    """Yield every video below ``sources`` once, in the order of names within a folder.

    Hidden files and folders are passed over, and links to folders are not followed. So is what is not a video by its ending,
    or by its first bytes where its ending says too little; and what vidsift itself wrote: a library's tables, and folders of
    exports unless they are the source. Something with a video's name that is not a regular readable file comes with the
    error that says so, since opening it could hang; so does a folder that cannot be read, since nothing is known of the
    videos in it.

    Args:
        sources: folders, and files, which are taken whatever they are called.
        choice: globs that choose among the files.
        is_known: tells files that are known to be videos, whose first bytes need not be read.
        passed: is told what is not taken.

    Raises:
        UsageError: a source does not exist.
    """
    check_sources(sources)
    passed = PassedOver() if passed is None else passed
    tops = [absolute_path(str(named)) for named in sources]
    overlapping = any(below.startswith(above) for above, below in pairwise(sorted(f"{top.rstrip('/')}/" for top in tops)))
    seen: set[str] = set()  # of a million files it takes much memory, so only where a path can come twice
    for top in tops:
        unreadable: list[tuple[str, OSError]] = []
        for candidate in _walk(top, choice, passed, unreadable):
            path = candidate.path
            if path in seen:
                continue
            described = _describe(path, candidate.status)
            if not candidate.is_certain and not _is_video(described, is_known):
                passed.no_videos.add(path)
                passed.count(path)
                continue
            if overlapping:
                seen.add(path)
            yield described
        if is_folder(top):
            passed.end_folder(top)
        for folder, exc in unreadable:
            if folder not in seen:
                seen.add(folder)
                yield VideoFile(folder, 0, 0), VideoError("find", f"the folder cannot be read: {exc.strerror or exc}")


class _Candidate(NamedTuple):
    """A file that may be a video.

    Attributes:
        is_certain: its ending alone says that it is one, or its user does.
        status: where listing its folder told it.
    """

    path: str
    is_certain: bool
    status: Status | None = None


def _walk(top: str, choice: Choice, passed: PassedOver, unreadable: list[tuple[str, OSError]]) -> Iterator[_Candidate]:
    """The files that may be videos, at or below ``top``; folders that cannot be read are entered in ``unreadable``."""
    if not is_folder(top):
        name = os.path.basename(top)
        if choice.excludes(name) or (choice.include and not choice.includes(name)):
            passed.count(top)
        else:
            yield _Candidate(top, is_certain=True)
        return
    listed = source_of(top).list_below(top)
    if listed is not None:
        yield from _walk_listed(top, listed, choice, passed, unreadable)
        return
    folders = [("", not choice.include)]  # paths below the top, and whether all in them is included
    while folders:
        below, all_included = folders.pop()
        folder = os.path.join(top, below) if below else top
        try:
            entries = source_of(folder).list_folder(folder)
        except OSError as exc:
            unreadable.append((folder, exc))
            continue
        entries = sorted((entry for entry in entries if entry.name[0] != "."), key=attrgetter("name"))
        subfolders: list[tuple[str, bool]] = []
        for entry in _without_vidsifts(folder, entries, passed, is_top=not below):
            path_below = f"{below}/{entry.name}" if below else entry.name
            path, is_included = os.path.join(folder, entry.name), all_included or choice.includes(path_below)
            if not entry.is_folder:
                if is_included and _may_be_wanted(path_below, choice):
                    yield _Candidate(path, _ending(entry.name) in VIDEO_SUFFIXES, entry.status)
                else:
                    passed.count(path)
            elif not entry.is_link and not choice.excludes(path_below):
                subfolders.append((path_below, is_included))
        folders.extend(reversed(subfolders))


def _may_be_wanted(path_below: str, choice: Choice) -> bool:
    """Whether a file in a folder that is included is one to take, or to look into."""
    ending = _ending(path_below)
    may_be = ending in VIDEO_SUFFIXES or ending in SHARED_SUFFIXES or bool(choice.include)
    return may_be and not choice.excludes(path_below)


def _walk_listed(
    top: str, listed: Iterator[Entry], choice: Choice, passed: PassedOver, unreadable: list[tuple[str, OSError]]
) -> Iterator[_Candidate]:
    """`_walk` of a source that lists every file below a folder, in the order of paths, so that a folder's come together."""
    folder, is_wanted, is_included = "", True, not choice.include
    try:
        for entry in listed:
            parent, _, name = entry.name.rpartition("/")
            if parent != folder:
                folder, parts = parent, parent.split("/")
                above = ["/".join(parts[: number + 1]) for number in range(len(parts))] if parent else []
                is_wanted = not any(part.startswith(".") for part in parts) and not any(map(choice.excludes, above))
                is_wanted = is_wanted and not _is_export_below(top, parent, name, passed)
                is_included = not choice.include or any(map(choice.includes, above))
            if not is_wanted or name.startswith("."):
                continue
            path = f"{top}/{entry.name}"
            if (is_included or choice.includes(entry.name)) and _may_be_wanted(entry.name, choice):
                yield _Candidate(path, _ending(name) in VIDEO_SUFFIXES, entry.status)
            else:
                passed.count(path)
    except OSError as exc:
        unreadable.append((top, exc))


def _is_export_below(top: str, parent: str, name: str, passed: PassedOver) -> bool:
    """Whether a folder below the source is an export's. Its first file's name begins with a number if it is."""
    folder = f"{top}/{parent}"
    if parent and name[:1].isdecimal() and _is_export(f"{folder}/moments.csv"):
        passed.folders[folder] = "exported by vidsift"
        return True
    return False


def _without_vidsifts(folder: str, entries: list[Entry], passed: PassedOver, *, is_top: bool) -> list[Entry]:
    """A folder's entries without those that vidsift wrote."""
    names = {entry.name for entry in entries if not entry.is_folder}
    if "library.json" in names and _is_library(os.path.join(folder, "library.json")):
        passed.folders[folder] = "a vidsift library"
        tables = {name for name in _LIBRARY_TABLES if is_folder(os.path.join(folder, name, "_delta_log"))}
        folders_left_out = tables | {"snapshots"}
        return [entry for entry in entries if entry.name not in (folders_left_out if entry.is_folder else _LIBRARY_FILES)]
    if not is_top and "moments.csv" in names and _is_export(os.path.join(folder, "moments.csv")):
        passed.folders[folder] = "exported by vidsift"
        return []
    return entries


def _is_library(path: str) -> bool:
    try:
        config = json.loads(_beginning(path, 1 << 20))
    except (ValueError, RecursionError):
        return False
    return isinstance(config, dict) and {"format_version", "classifier", "embedder"} <= config.keys()


def _is_export(path: str) -> bool:
    return _beginning(path, len(_EXPORT_COLUMNS)) == _EXPORT_COLUMNS


def _beginning(path: str, num_bytes: int) -> bytes:
    """A file's first bytes; none where it cannot be read."""
    try:
        return source_of(path).read_range(path, 0, num_bytes) if is_file(path) else b""
    except OSError:
        return b""


def _is_video(described: VideoFile | tuple[VideoFile, VideoError], is_known: Callable[[VideoFile], bool]) -> bool:
    """Whether a file's first bytes are a video's, or cannot be read."""
    if not isinstance(described, VideoFile):
        return described[1].reason != _EMPTY
    try:
        return is_known(described) or may_be_video(described.path)
    except OSError:
        return True


def _describe(path: str, status: Status | None) -> VideoFile | tuple[VideoFile, VideoError]:
    """The record of a file, with the reason if it cannot be read."""
    try:
        status = status or source_of(path).stat(path)
    except OSError as exc:
        return VideoFile(path, 0, 0), VideoError("find", f"cannot be looked at: {exc.strerror or exc}")
    file = VideoFile(path, status.size_bytes, status.modified_ns, status.version)
    if status.kind == "file" and not status.size_bytes:
        return file, VideoError("find", _EMPTY)
    if status.kind == "folder":
        return file, VideoError("find", "not a regular file but a folder")
    return file if status.problem is None else (file, VideoError("find", status.problem))
