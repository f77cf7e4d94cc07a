"""A folder for results, which must be empty."""

from __future__ import annotations

from pathlib import Path

from schemas.errors import UsageError


def check_folder(folder: Path, option: str = "--output") -> None:
    """Refuse a folder for results before any are made.

    Raises:
        UsageError: something is there already, or it cannot be made.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        what = "is not empty" if folder.is_dir() else "is a file"
        raise UsageError(f"{option} {folder}: {what}, and nothing is overwritten; give another folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise UsageError(f"{option} {folder}: cannot be made: {exc.strerror}; give another folder") from exc
