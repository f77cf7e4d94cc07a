"""The files of the sources, kept in columns: a million of them take a hundred bytes each, and one pass to compare."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from itertools import islice

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from schemas.errors import VideoError
from schemas.records import VideoFile, path_text

_CHUNK = 65_536


class Listing:
    """Files in the order in which they were found.

    Attributes:
        paths: string [n], as `path_text` spells them.
        sizes: int64 [n], in bytes.
        modified_ns: int64 [n].
        versions: string [n], `VideoFile.version`; null for files on a disk.
        errors: why a file cannot be opened, by its position.
    """

    def __init__(self, found: Iterable[VideoFile | tuple[VideoFile, VideoError]]) -> None:
        """Take the files as `pipeline.sources.find.find_videos` gives them."""
        self.errors: dict[int, VideoError] = {}
        self._unusual: dict[int, str] = {}  # paths that their text does not give back
        chunks, versions, sizes, times, items = [], [], array("q"), array("q"), iter(found)
        while chunk := [self._columns(len(sizes), item, sizes, times) for item in islice(items, _CHUNK)]:
            paths, of_chunk = zip(*chunk, strict=True)
            chunks.append(pa.array(paths, pa.string()))
            versions.append(pa.array(of_chunk, pa.string()))
        self.paths = pa.chunked_array(chunks, pa.string())
        self.versions = pa.chunked_array(versions, pa.string())
        self.sizes: NDArray[np.int64] = np.array(sizes, np.int64)
        self.modified_ns: NDArray[np.int64] = np.array(times, np.int64)

    def _columns(
        self, number: int, item: VideoFile | tuple[VideoFile, VideoError], sizes: array[int], times: array[int]
    ) -> tuple[str, str | None]:
        """The text of a file's path, and its version, once the rest is entered."""
        if isinstance(item, tuple):
            item, self.errors[number] = item
        sizes.append(item.size_bytes)
        times.append(item.modified_ns)
        text = path_text(item.path)
        if text != item.path:
            self._unusual[number] = item.path
        return text, item.version or None

    def __len__(self) -> int:
        return len(self.sizes)

    def file(self, number: int) -> VideoFile:
        """The file at a position."""
        path = self._unusual.get(number) or self.paths[number].as_py()
        version = self.versions[number].as_py() or ""
        return VideoFile(path, int(self.sizes[number]), int(self.modified_ns[number]), version)
