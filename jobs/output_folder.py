"""Output folders: results go into an empty folder, and overwrite nothing."""

from __future__ import annotations

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
