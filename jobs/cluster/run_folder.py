"""A private folder that lasts as long as a run. If the run is killed, a later one removes it."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from schemas.errors import JobError

_PREFIX = "vidsift."

# Bytes that Linux allows in the path of a Unix socket; and how many Ray adds to the folder for temporary files.
_SOCKET_PATH = 107
_ADDED = len(f"/{_PREFIX}12345678/ray/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store")


def temporary_files() -> str:
    """The user's folder for temporary files."""
    return os.path.abspath(os.environ.get("RAY_TMPDIR") or tempfile.gettempdir())


def place_for_sockets() -> str:
    """A folder for temporary files whose path is short enough for Unix sockets, and ASCII, which Ray needs.

    Raises:
        JobError: there is none.
    """
    preferred = temporary_files()
    for place in (preferred, "/tmp", "/var/tmp", os.environ.get("XDG_RUNTIME_DIR", "")):
        if place.isascii() and os.path.isabs(place) and len(place) + _ADDED <= _SOCKET_PATH and os.access(place, os.W_OK):
            return place
    raise JobError(
        f"TMPDIR: got {preferred!r}, expected a folder of at most {_SOCKET_PATH - _ADDED} letters of ASCII, since Ray keeps "
        "sockets there, and neither /tmp nor /var/tmp can be written to; set TMPDIR to another folder"
    )


@contextmanager
def run_folder(place: str) -> Iterator[Path]:
    """Make a private folder in ``place`` for the block; also remove those that killed runs of this user left there.

    A run holds a lock on its folder, which the system releases however the process ends.
    """
    for other in Path(place).glob(f"{_PREFIX}*"):
        _remove_if_dead(other)
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=place))
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.exists():
            break
        os.close(lock)  # another run removed it before it was locked
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _remove_if_dead(folder: Path) -> None:
    with suppress(OSError):  # it is another user's, not a folder, a link, or just removed
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            if os.fstat(lock).st_uid == os.getuid():
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(lock)
