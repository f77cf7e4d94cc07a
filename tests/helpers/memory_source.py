"""A source of videos that are on no disk."""

from __future__ import annotations

import io
from typing import BinaryIO

from pipeline.sources.base import Entry, Status


class Memory:
    """A `Source` of bytes by path; counts what is read of them."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.opened: list[str] = []

    def list_folder(self, folder: str, beginning: str = "") -> list[Entry]:
        start = f"{folder}/{beginning}"
        below = [path.removeprefix(f"{folder}/").split("/") for path in self.files if path.startswith(start)]
        if not below and not beginning:
            raise FileNotFoundError(2, "no such folder", folder)
        names = {parts[0]: len(parts) > 1 for parts in below}
        return [
            Entry(name, is_below, status=None if is_below else self.stat(f"{folder}/{name}"))
            for name, is_below in names.items()
        ]

    def list_below(self, folder: str) -> None:
        return None

    def stat(self, path: str) -> Status:
        if path in self.files:
            return Status("file", len(self.files[path]), 1_000)
        if any(other.startswith(f"{path}/") for other in self.files):
            return Status("folder")
        raise FileNotFoundError(2, "nothing is called so", path)

    def open(self, path: str) -> BinaryIO:
        self.opened.append(path)
        if path not in self.files:
            raise FileNotFoundError(2, "nothing is called so", path)
        return io.BytesIO(self.files[path])

    def read_range(self, path: str, start: int, size: int) -> bytes:
        with self.open(path) as file:
            file.seek(start)
            return file.read(size)

    def local_path(self, path: str) -> str | None:
        return None
