"""Output folders: results go into an empty folder, and overwrite nothing."""

from __future__ import annotations

from pathlib import Path

from schemas.errors import UsageError


def check_folder(folder: Path, option: str = "--output") -> None:
    """Make a folder for results, before they are computed.

    Args:
        folder: a new or empty folder.
        option: what the user gave it with, for messages.

    Raises:
        UsageError: the folder is not empty, or cannot be made.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        problem = "is not empty" if folder.is_dir() else "is a file"
        raise UsageError(f"{option} {folder}: {problem}, and nothing is overwritten; give another folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise UsageError(f"{option} {folder}: cannot be made: {exc.strerror}; give another folder") from exc
