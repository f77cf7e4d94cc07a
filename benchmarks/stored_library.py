"""What a library in an object store costs beside one on disk: seconds, requests and bytes of writers and readers.

    python -m benchmarks.stored_library
    python -m benchmarks.stored_library --clips 100000 --latency-ms 50

The store is kept in this process's memory; each request waits so long before its answer, and as long as its bytes take at
the given speed. The clips are made up. A user's own way is the last column: the library on disk, and its folder copied, by
whoever writes after each ingest (what has changed), by whoever reads before a search (all of it, once).
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from obstore.store import MemoryStore

from benchmarks.made_up_vectors import MadeUpVectors
from index.object_store.room import size_bytes
from index.object_store.store import Store
from index.object_store.working_copy import ObjectStoreCopy
from index.snapshot.publish import publish_tables
from index.snapshot.snapshot import Snapshot
from index.storage.config import LibraryConfig, read_library_config, write_library_config
from index.storage.lock import write_lock
from index.storage.paths import Library
from index.storage.tables import Tables
from index.storage.working_copies import register
from pipeline.write import write_clips
from schemas.models import Checkpoint, Label
from schemas.options import Sampling
from schemas.records import ClipRow, Span, VideoFile, VideoInfo, VideoRow, clip_id_of, video_id_of
from schemas.text import columns_text

_DIM = 512
_CLIPS_A_VIDEO = 100
_CONFIG = LibraryConfig(
    Checkpoint("made-up", "/classifier", None, "videomae", "1" * 64),
    Checkpoint("made-up", "/embedder", None, "xclip", "2" * 64, ("XCLIPModel",), _DIM),
    Sampling(window_s=4.0, stride_s=4.0),
)


class SlowStore(Store):
    """Objects in memory, as far away as a region's store; counts requests and bytes."""

    def __init__(self, latency_s: float, bytes_per_s: float) -> None:
        super().__init__("s3://made-up/library", MemoryStore())
        self._latency_s, self._bytes_per_s = latency_s, bytes_per_s
        self.requests = self.got = self.put_bytes = 0

    def _wait(self, num_bytes: int) -> None:
        self.requests += 1
        time.sleep(self._latency_s + num_bytes / self._bytes_per_s)

    def read(self, name: str) -> Any:
        """As `Store.read`."""
        found = super().read(name)
        self._wait(0 if found is None else len(found.content))
        self.got += 0 if found is None else len(found.content)
        return found

    def fetch(self, name: str, path: Path) -> tuple[str, str]:
        """As `Store.fetch`."""
        found = super().fetch(name, path)
        self._wait(path.stat().st_size)
        self.got += path.stat().st_size
        return found

    def _range(self, name: str, start: int, end: int) -> bytes:
        self._wait(end - start)
        self.got += end - start
        return super()._range(name, start, end)

    def put(self, name: str, content: bytes | Path) -> str:
        """As `Store.put`."""
        size = len(content) if isinstance(content, bytes) else content.stat().st_size
        self._wait(size)
        self.put_bytes += size
        return super().put(name, content)

    def _put_if(self, name: str, content: bytes, mode: Any) -> str:
        self._wait(len(content))
        self.put_bytes += len(content)
        return super()._put_if(name, content, mode)

    def listed(self, prefix: str = "") -> Any:
        """As `Store.listed`."""
        found = super().listed(prefix)
        for _ in range(0, len(found) + 1, 1000):
            self._wait(0)
        return found

    def delete(self, names: Sequence[str]) -> None:
        """As `Store.delete`."""
        if names:
            self._wait(0)
        super().delete(names)


class Cost(NamedTuple):
    """What something took."""

    seconds: float
    requests: int
    got_mb: float
    put_mb: float


def measured(store: SlowStore, do: Callable[[], object]) -> Cost:
    """Do something, and say what it cost."""
    store.requests = store.got = store.put_bytes = 0
    began = time.perf_counter()
    do()
    return Cost(time.perf_counter() - began, store.requests, store.got / 1e6, store.put_bytes / 1e6)


def add(folder: Path, vectors: Any, first: int) -> None:
    """Add clips with these vectors to a library, as an ingest does; ``first`` numbers their first video."""
    library = Library(folder)
    with write_lock(library):
        if read_library_config(library) is None:
            write_library_config(library, _CONFIG)
        tables = Tables(library)
        for begin in range(0, len(vectors), _CLIPS_A_VIDEO * 100):
            videos = []
            rows = []
            for at in range(begin, min(begin + _CLIPS_A_VIDEO * 100, len(vectors)), _CLIPS_A_VIDEO):
                path = f"/films/{first + at // _CLIPS_A_VIDEO}.mp4"
                video_id = video_id_of(path, path)
                of_video = vectors[at : at + _CLIPS_A_VIDEO]
                spans = [Span(4.0 * number, 4.0 * number + 4.0) for number in range(len(of_video))]
                rows += [
                    ClipRow(clip_id_of(video_id, span), video_id, span, (Label("running", 0.5),), vector)
                    for span, vector in zip(spans, of_video, strict=True)
                ]
                info = VideoInfo(video_id, VideoFile(path, 1, 1), path, duration_s=4.0 * len(of_video))
                videos.append(VideoRow(info, "indexed", len(of_video)))
            tables.commit_clips([write_clips(rows, library.clips, classifier="made-up", embedder="made-up")])
            tables.commit_videos(videos, replace_paths=False)
            tables.push()
        tables.drop_orphans()
        publish_tables(library, tables, _CONFIG)


def read(folder: Path) -> None:
    """Open a library as a search does."""
    library = Library(folder)
    assert read_library_config(library) is not None
    snapshot = Snapshot(library)
    for segment in snapshot.clips().segments:
        segment.open_files()
    snapshot.catalog.close()


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--clips", type=int, default=100_000, help="clips of the first ingest")
    parser.add_argument("--more", type=int, default=1000, help="clips of each later one")
    parser.add_argument("--latency-ms", type=float, default=20.0)
    parser.add_argument("--mb-per-s", type=float, default=200.0, help="of each request")
    arguments = parser.parse_args()
    vectors = np.concatenate(list(MadeUpVectors(_DIM, seed=7).library(arguments.clips + 3 * arguments.more)))
    store = SlowStore(arguments.latency_ms / 1000, arguments.mb_per_s * 1e6)
    nothing = SlowStore(0, 1e12)
    with tempfile.TemporaryDirectory() as place:

        def machine(name: str) -> Path:
            folder = Path(place) / name / "library"
            register(folder, ObjectStoreCopy("s3://made-up/library", folder, store))
            return folder

        here, there, reader, on_disk = machine("here"), machine("there"), machine("reader"), Path(place) / "disk"
        first, parts = vectors[: arguments.clips], np.split(vectors[arguments.clips :], 3)
        number = arguments.clips // _CLIPS_A_VIDEO

        def both(name: str, in_store: Callable[[], object], local: Callable[[], object] | None) -> list[str]:
            before = size_bytes(on_disk) if on_disk.exists() else 0
            alone = None if local is None else measured(nothing, local)
            cost = measured(store, in_store)
            copied = size_bytes(on_disk) - (0 if local is None or name.startswith("search") else before)
            return [
                name,
                "" if alone is None else f"{alone.seconds:.2f}",
                f"{cost.seconds:.2f}",
                str(cost.requests),
                f"{cost.got_mb:.1f}",
                f"{cost.put_mb:.1f}",
                f"{copied / 1e6:.1f}",
            ]

        def again(folder: Path) -> None:
            """As another process of that machine would."""
            register(folder, ObjectStoreCopy("s3://made-up/library", folder, store))
            read(folder)

        rows = [
            both(f"ingest {arguments.clips:,} clips", lambda: add(here, first, 0), lambda: add(on_disk, first, 0)),
            both(
                f"{arguments.more:,} more, same machine",
                lambda: add(here, parts[0], number),
                lambda: add(on_disk, parts[0], number),
            ),
            both("search, a machine that has nothing", lambda: read(reader), lambda: read(on_disk)),
            both(
                f"{arguments.more:,} more, another machine",
                lambda: add(there, parts[1], 2 * number),
                lambda: add(on_disk, parts[1], 2 * number),
            ),
            both("search, after these", lambda: again(reader), lambda: read(on_disk)),
            both("search, nothing new", lambda: again(reader), lambda: read(on_disk)),
        ]
    head = ("what", "disk s", "store s", "requests", "MB got", "MB put", "MB of copies")
    print(columns_text(head, rows))


if __name__ == "__main__":
    main()
