"""Lists the sources' video files, and starts Ray at the first one that is new."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from jobs.ingest.listing import Listing
from pipeline.sources.find import Choice, PassedOver, find_videos
from schemas.errors import VideoError
from schemas.records import VideoFile, path_text


def list_files(
    sources: Sequence[str | Path],
    choice: Choice,
    known_videos: pa.Table,
    *,
    rehash: bool,
    passed_over: PassedOver,
    on_new: Callable[[], None],
    is_finished: Callable[[VideoFile], bool] | None = None,
    unfinished: Counter[int] | None = None,
) -> Listing:
    """List the video files of ``sources``; one that cannot be opened comes with its error.

    Args:
        sources: folders and files, by absolute paths.
        choice: which files are wanted.
        known_videos: as `index.storage.tables.Tables.known_videos` gives them.
        rehash: look into files of known size and time too.
        passed_over: takes what is not listed.
        on_new: called for each file that is new beyond doubt: its size is that of no known video.
        is_finished: asked of files that were not indexed with the size and time that they have; those of which it says no
            are not listed.
        unfinished: takes the sizes of these.
    """
    is_known_size = _membership(known_videos["size_bytes"].to_numpy())
    recognised = _recogniser(known_videos)
    is_known = recognised if not rehash else lambda file: False

    def found() -> Iterator[VideoFile | tuple[VideoFile, VideoError]]:
        for item in find_videos(sources, choice=choice, is_known=is_known, passed=passed_over):
            file = item if isinstance(item, VideoFile) else item[0]
            if is_finished is not None and not recognised(file) and not is_finished(file):
                if unfinished is not None:
                    unfinished[file.size_bytes] += 1
                continue
            yield item
            if isinstance(item, VideoFile) and not is_known_size(item.size_bytes):  # neither known nor moved
                on_new()

    return Listing(found())


def _recogniser(known_videos: pa.Table) -> Callable[[VideoFile], bool]:
    """A function that says of a file whether it was indexed, at least in part, and has the same size and time."""

    @cache  # few listings ask
    def is_stamp() -> Callable[[int], bool]:
        indexed = known_videos.filter(pc.not_equal(known_videos["status"], "failed"))
        columns = [indexed[name].to_pylist() for name in ("path", "size_bytes", "modified_ns")]
        return _membership(np.fromiter(map(hash, zip(*columns, strict=True)), np.int64, len(indexed)))

    return lambda file: is_stamp()(hash((path_text(file.path), file.size_bytes, file.modified_ns)))


def _membership(numbers: NDArray[np.int64]) -> Callable[[int], bool]:
    """A function that says whether a number is among ``numbers``; it holds eight bytes for each."""
    ascending = array("q", np.unique(numbers).tobytes())

    def is_member(number: int) -> bool:
        place = bisect_left(ascending, number)
        return place < len(ascending) and ascending[place] == number

    return is_member
