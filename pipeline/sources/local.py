"""Find the videos below what the user named."""

from __future__ import annotations

import json
import os
import stat
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path

from pipeline.container.signature import may_be_video
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

_KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a character device",
    stat.S_IFBLK: "a block device",
}


_EMPTY = "the file is empty (0 bytes)"

# What a library keeps in its folder, and what the list of an export begins with.
_LIBRARY_TABLES = frozenset(("videos", "clips", "features", "tags"))
_LIBRARY_FILES = frozenset(("library.json", "CURRENT", "tags.json", "ingest.lock"))
_EXPORT_COLUMNS = b"file,path,start_s,end_s,"


@dataclass(frozen=True, slots=True)
class Choice:
    """Which of the files below a source are wanted.

    A GLOB is held against the name and the path below its source of a file, and of each folder that it lies in: ``proxies``
    and ``2024/*.mov`` both work. ``*`` stands for slashes too. Upper and lower case are one, and so are the two ways in
    which Unicode writes an umlaut.

    Attributes:
        include: only files that match one of these are wanted; of endings that are no video's, those that begin like one.
        exclude: and of them none that match one of these.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what can match nothing.

        Raises:
            UsageError: an empty GLOB, or one that begins at the root.
        """
        for option, globs in (("--include", self.include), ("--exclude", self.exclude)):
            for glob in globs:
                if not glob or glob.startswith("/"):
                    raise UsageError(
                        f"{option}: got {path_text(glob)!r}, expected a name or a path below a source, with * and ? and "
                        "[abc], such as '*.mov' or 'proxies'"
                    )

    def includes(self, path: str) -> bool:
        """Whether what has this path below its source is named by ``include``; so is all below a folder that is."""
        return _matches(path, self.include)

    def excludes(self, path: str) -> bool:
        """Likewise for ``exclude``."""
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
    """What a search left alone. What is hidden, or in a folder that is excluded or vidsift's own, is not counted.

    Attributes:
        endings: how many files, by ending in lower case; "" for those without.
        folders: folders that are vidsift's own, and what each is.
        no_videos: of the files, those whose ending a video may have and whose first bytes no video has.
    """

    endings: Counter[str] = field(default_factory=Counter)
    folders: dict[str, str] = field(default_factory=dict)
    no_videos: set[str] = field(default_factory=set)
    _walked: list[str] = field(default_factory=list)

    def count(self, path: str) -> None:
        """Enter a file, unless it is below a source that has been walked."""
        if not any(path.startswith(source) for source in self._walked):
            self.endings[path_text(_ending(path))] += 1

    def end_source(self, source: str) -> None:
        """All below it has been counted."""
        if os.path.isdir(source):
            self._walked.append(source.rstrip("/") + "/")


def _ending(path: str) -> str:
    return os.path.splitext(path)[1].lower()


def check_sources(sources: Sequence[str | Path]) -> None:
    """See that there is something at each of ``sources``.

    Raises:
        UsageError: there is nothing at one.
    """
    for source in sources:
        if not os.path.lexists(source):
            raise UsageError(
                f"SOURCE: no such file or folder: {str(source)!r}; give folders or video files that exist "
                f"(the current folder is {os.getcwd()!r})"
            )


def find_videos(
    sources: Sequence[str | Path],
    *,
    choice: Choice = Choice(),
    is_known: Callable[[VideoFile], bool] = lambda file: False,
    passed: PassedOver | None = None,
) -> Iterator[VideoFile | tuple[VideoFile, VideoError]]:
    """Yield every video below ``sources`` once, in the order of names within a folder.

    Hidden files and folders are passed over, and links to folders are not followed. So is what is no video by its ending, or
    by its first bytes where its ending says too little; and what vidsift itself wrote: a library's tables, and folders of
    exports unless they are the source. Something with a video's name that is no regular readable file comes with the
    error that says so, since opening it could hang; so does a folder that cannot be read, since nothing is known of the
    videos in it.

    Args:
        sources: folders, and files, which are taken whatever they are called.
        choice: which of the files are wanted.
        is_known: says of a file that it is a video, so that its first bytes need no look.
        passed: where to enter what is passed over.

    Raises:
        UsageError: a source does not exist.
    """
    check_sources(sources)
    passed = PassedOver() if passed is None else passed
    seen: set[str] = set()
    for source in sources:
        unreadable: list[OSError] = []
        for path, is_certain in _walk(os.path.abspath(source), choice, passed, unreadable):
            if path in seen:
                continue
            found = _describe(path)
            if not is_certain and not _is_video(found, is_known):
                passed.no_videos.add(path)
                passed.count(path)
                continue
            seen.add(path)
            yield found
        passed.end_source(os.path.abspath(source))
        for exc in unreadable:
            if exc.filename not in seen:
                seen.add(exc.filename)
                yield VideoFile(exc.filename, 0, 0), VideoError("find", f"the folder cannot be read: {exc.strerror}")


def _walk(source: str, choice: Choice, passed: PassedOver, unreadable: list[OSError]) -> Iterator[tuple[str, bool]]:
    """Files that may be videos, and whether they are by their ending alone."""
    if not os.path.isdir(source):
        name = os.path.basename(source)
        if choice.excludes(name) or (choice.include and not choice.includes(name)):
            passed.count(source)
        else:
            yield source, True
        return
    included = {source} if not choice.include else set()
    for folder, subfolders, names in os.walk(source, onerror=unreadable.append):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        names = sorted(name for name in names if not name.startswith("."))
        names = _without_own(folder, folder == source, subfolders, names, passed)
        below = "" if folder == source else os.path.relpath(folder, source) + "/"
        subfolders[:] = [name for name in subfolders if not choice.excludes(below + name)]
        included.update(
            os.path.join(folder, name) for name in subfolders if folder in included or choice.includes(below + name)
        )
        for name in names:
            path, ending = os.path.join(folder, name), _ending(name)
            is_wanted = folder in included or choice.includes(below + name)
            may_be = ending in VIDEO_SUFFIXES or ending in SHARED_SUFFIXES or bool(choice.include)
            if is_wanted and may_be and not choice.excludes(below + name):
                yield path, ending in VIDEO_SUFFIXES
            else:
                passed.count(path)


def _without_own(folder: str, is_source: bool, subfolders: list[str], names: list[str], passed: PassedOver) -> list[str]:
    """The names of a folder's files without vidsift's own, whose folders are taken out of ``subfolders``."""
    if "library.json" in names and _is_library(os.path.join(folder, "library.json")):
        passed.folders[folder] = "a vidsift library"
        own = {name for name in _LIBRARY_TABLES if os.path.isdir(os.path.join(folder, name, "_delta_log"))} | {"snapshots"}
        subfolders[:] = [name for name in subfolders if name not in own]
        return [name for name in names if name not in _LIBRARY_FILES]
    if not is_source and "moments.csv" in names and _is_export(os.path.join(folder, "moments.csv")):
        passed.folders[folder] = "exported by vidsift"
        subfolders.clear()
        return []
    return names


def _is_library(path: str) -> bool:
    try:
        found = json.loads(_beginning(path, 1 << 20))
    except (ValueError, RecursionError):
        return False
    return isinstance(found, dict) and {"format_version", "classifier", "embedder"} <= found.keys()


def _is_export(path: str) -> bool:
    return _beginning(path, len(_EXPORT_COLUMNS)) == _EXPORT_COLUMNS


def _beginning(path: str, num_bytes: int) -> bytes:
    """A file's first bytes; none where it cannot be read."""
    try:
        if not os.path.isfile(path):
            return b""
        with open(path, "rb") as file:
            return file.read(num_bytes)
    except OSError:
        return b""


def _is_video(found: VideoFile | tuple[VideoFile, VideoError], is_known: Callable[[VideoFile], bool]) -> bool:
    """Whether a file is a video by what it holds. What cannot be looked at may be one."""
    if not isinstance(found, VideoFile):
        return found[1].reason != _EMPTY
    try:
        return is_known(found) or may_be_video(found.path)
    except OSError:
        return True


def _describe(path: str) -> VideoFile | tuple[VideoFile, VideoError]:
    try:
        status = os.stat(path)
    except OSError as exc:
        return VideoFile(path, 0, 0), VideoError("find", f"cannot be looked at: {exc.strerror}")
    # File systems hold times that no 64-bit count of nanoseconds can (after 2262).
    file = VideoFile(path, status.st_size, max(-(2**63), min(status.st_mtime_ns, 2**63 - 1)))
    kind = stat.S_IFMT(status.st_mode)
    if kind != stat.S_IFREG:
        return file, VideoError("find", f"not a regular file but {_KINDS.get(kind, 'something else')}")
    if status.st_size == 0:
        return file, VideoError("find", _EMPTY)
    if not os.access(path, os.R_OK):
        return file, VideoError("find", "cannot be read: Permission denied")
    return file
