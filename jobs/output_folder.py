"""Output folders: results go into an empty folder, and overwrite nothing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from schemas.errors import UsageError


def check_folder(folder: Path, argument: str = "output") -> None:
    """Make a folder for results, before they are computed.

    Args:
        folder: a new or empty folder.
        argument: the argument that named it, for messages.

    Raises:
        UsageError: the folder is not empty, or cannot be made.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        problem = "is not empty" if folder.is_dir() else "is a file"
        message = f"{problem}, and nothing is overwritten; give another folder"
        raise UsageError(message, argument=argument, value=folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        message = f"cannot be made: {exc.strerror}; give another folder"
        raise UsageError(message, argument=argument, value=folder) from exc


@contextmanager
def written_aside(folder: Path, argument: str = "output") -> Iterator[Path]:
    """Gives an empty folder beside ``folder``, and moves it there at the end; after an error neither is there.

    Raises:
        UsageError: as for `check_folder`.
    """
    was_there = folder.exists()
    check_folder(folder, argument)
    folder = folder.resolve()
    aside = folder.with_name(f".{folder.name[:100]}.{os.getpid()}.part")
    try:
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir()
        yield aside
        aside.rename(folder)  # which replaces an empty folder
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        if not was_there:
            folder.rmdir()
        raise
