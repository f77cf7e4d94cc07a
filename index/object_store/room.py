"""Room for working copies: those that were not used for the longest time make place for those in use."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from schemas.errors import LibraryError, UsageError

LIMIT = "VIDSIFT_LIBRARY_CACHE_GB"
"""The environment variable with the most that all working copies may take, in GB (10^9 bytes)."""

DEFAULT_LIMIT_GB = 50.0

# Files beside a working copy: locked by the one who fetches or writes; locked by all who read; there while something has not
# been brought to the store.
LOCK, READERS, UNPUSHED = "lock", "readers", "unpushed"


def make_room(place: Path, num_bytes: int) -> None:
    """Delete working copies that nobody uses until so many bytes fit below the limit.

    Args:
        place: the folder that holds the working copy which needs the room; those of other libraries lie beside it.
        num_bytes: what it needs beside what it has.

    Raises:
        LibraryError: there is not room enough.
        UsageError: the limit is not a number.
    """
    if not num_bytes:
        return
    limit = _limit_bytes()
    sizes = (
        {folder: size_bytes(folder) for folder in place.parent.iterdir() if folder.is_dir()} if place.parent.exists() else {}
    )
    others = sorted((folder for folder in sizes if folder != place), key=_used_at)
    total = sum(sizes.values()) + num_bytes
    for folder in others:
        if total <= limit:
            return
        with unused(folder) as is_unused:
            if is_unused:
                shutil.rmtree(folder, ignore_errors=True)
                total -= sizes[folder]
    if total > limit:
        needed, given = (number / 10**9 for number in (sizes.get(place, 0) + num_bytes, limit))
        raise LibraryError(
            f"the library needs {needed:.3g} GB in {str(place.parent)!r}, and libraries from object stores may take "
            f"{given:.3g} GB there: set {LIMIT} to more, or XDG_CACHE_HOME to a larger disk"
        )


def size_bytes(folder: Path) -> int:
    """The size of all files below a folder; files that go meanwhile are left out."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(parent, name)).st_size
            except OSError:
                continue
    return total


@contextmanager
def unused(folder: Path) -> Iterator[bool]:
    """Whether no process has a working copy open, nor may open it in the block, and all of it is in its store."""
    private = folder / ".store"
    with ExitStack() as stack:
        try:
            for name in (LOCK, READERS):
                stream = stack.enter_context((private / name).open("a+", encoding="utf-8"))
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_unused = not (private / UNPUSHED).exists()
        except FileNotFoundError:
            is_unused = True
        except OSError:
            is_unused = False
        yield is_unused


def _used_at(folder: Path) -> float:
    try:
        return (folder / ".store" / "state.json").stat().st_mtime
    except OSError:
        return 0.0


def _limit_bytes() -> float:
    text = os.environ.get(LIMIT, "")
    try:
        limit = float(text) if text else DEFAULT_LIMIT_GB
        if not limit > 0:
            raise ValueError
        return limit * 10**9
    except ValueError:
        raise UsageError(f"the environment variable {LIMIT} is {text!r}, expected a number of GB above 0") from None
