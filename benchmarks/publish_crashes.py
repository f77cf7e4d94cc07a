"""Checks that kills lose nothing while segments are published, merged and compacted.

    python -m benchmarks.publish_crashes --kills 100

Each round starts a process that adds videos to a library with tags, removes some, publishes with merges, rolls back, and
compacts, and kills it (SIGKILL) after a random time. Then a reader opens the library, SQL and search must answer alike, and
every check of ``vidsift verify`` must hold, but that something may be committed and not yet published. Then the next publish
completes it, and the library must hold what its tables say. Prints how often the kill came in the middle of what.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from index.search.searcher import Searcher
from index.snapshot.merging import MERGED_BY_COMPACT
from index.snapshot.publish import publish_tables
from index.snapshot.snapshot import Snapshot
from index.storage.config import LibraryConfig, write_library_config
from index.storage.paths import Library
from index.storage.tables import Tables
from index.storage.tags_file import write_definitions
from jobs.maintain.rollback import rollback
from jobs.maintain.verify import verify
from pipeline.write import write_clips
from schemas.errors import VidsiftError
from schemas.models import Checkpoint, Label
from schemas.options import Sampling
from schemas.records import ClipRow, Span, VideoFile, VideoInfo, VideoRow, clip_id_of
from schemas.rerank_features import ClipFeatures, FeatureLayout
from schemas.search import SearchOptions
from schemas.tags import TagDefinition, TagDefinitions

_DIM, _CLIPS = 16, 40
_LAYOUT = FeatureLayout("int8", 2, _DIM)
_CONFIG = LibraryConfig(
    Checkpoint("made-up", "made-up", None, "videomae", "0" * 64),
    Checkpoint("made-up", "made-up", None, "xclip", "1" * 64, (), _DIM),
    Sampling(),
    "int8",
)
_TAGS = tuple(
    TagDefinition(name=f"t{n}", weights=tuple(np.eye(_DIM)[n].tolist()), bias=0.0, embedder=_CONFIG.embedder.stamp)
    for n in range(2)
)
# What may be so until something is published: clips are scored then.
_UNPUBLISHED = "something was committed and not published", "every clip has each tag once"


class OneText:
    """Every text is the first axis."""

    dim, logit_scale = _DIM, 10.0

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """float32 [texts, dim]."""
        return np.tile(np.eye(1, _DIM, dtype=np.float32), (len(texts), 1))


def add_video(tables: Tables, library: Library, number: int) -> None:
    """Commit a video of 40 clips, drawn from its number."""
    rng, video_id = np.random.default_rng(number), f"{number:08x}"
    vectors = rng.normal(size=(_CLIPS, _DIM)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    records = _LAYOUT.encode(vectors, rng.normal(size=(_CLIPS, 2, _DIM)).astype(np.float32))
    rows = []
    for n, (vector, record) in enumerate(zip(vectors, records, strict=True)):
        span = Span(4.0 * n, 4.0 * n + 4.0)
        features = ClipFeatures(_LAYOUT, record.tobytes())
        rows.append(ClipRow(clip_id_of(video_id, span), video_id, span, (Label(f"l{n % 7}", 0.5),), vector, features))
    written = write_clips(rows, library.clips, classifier="c", embedder="e", features_folder=library.features)
    tables.commit_clips([written])
    info = VideoInfo(video_id, VideoFile(f"/v/{video_id}.mp4", 1, 0), duration_s=4.0 * _CLIPS)
    tables.commit_videos([VideoRow(info, "indexed", _CLIPS)], replace_paths=False)


def work(folder: Path, seed: int) -> None:
    """Change the library for ever, saying what is being done."""
    library, rng = Library(folder), np.random.default_rng(seed)
    while True:
        tables = Tables(library, features=True)
        print("add", flush=True)
        for number in rng.integers(1 << 31, size=rng.integers(1, 4)):
            add_video(tables, library, int(number))
        ids = tables.video_keys()["video_id"].to_pylist()
        if len(ids) > 20:
            print("remove", flush=True)
            tables.remove_videos(rng.choice(ids, 3, replace=False).tolist())
            tables.drop_orphans()
        print("publish", flush=True)
        publish_tables(library, tables, _CONFIG, most_merged=int(rng.choice([0, 200, 65_536])))
        if rng.random() < 0.3:
            print("compact", flush=True)
            tables.compact()
            print("publish compacted", flush=True)
            publish_tables(library, tables, _CONFIG, most_merged=MERGED_BY_COMPACT)
        elif rng.random() < 0.3:
            print("roll back", flush=True)
            with suppress(VidsiftError):  # what is needed may have been compacted
                rollback(folder, Snapshot(library).number - int(rng.integers(1, 4)))


def check(folder: Path) -> None:
    """See that readers can open the library, that what they see agrees, and that the next publish completes it."""
    library = Library(folder)
    load: Any = OneText
    for complete in (False, True):
        if complete:
            tables = Tables(library, features=True)
            tables.drop_orphans()
            publish_tables(library, tables, _CONFIG, most_merged=0)
        searcher = Searcher(folder, load=load)
        options = SearchOptions(texts=("a",), by="clip", k=2**20, rerank=0, show_all=True)
        found = sorted(moment.clip_id for moment in searcher.search(options).moments)
        shown = searcher.snapshot.catalog.sql("select clip_id from clips order by 1")["clip_id"].to_pylist()
        searcher.snapshot.catalog.close()
        assert found == shown, "search and SQL see the same clips"
        breaches = [str(held) for held in verify(folder) if held.breach is not None]
        unpublished = [breach for breach in breaches if any(text in breach for text in _UNPUBLISHED)]
        assert breaches == ([] if complete else unpublished), breaches
        if complete:
            videos = Tables(library).video_keys()["video_id"].to_pylist()
            assert len(shown) == _CLIPS * len(videos), "every video has its clips"


def main() -> None:
    """Kill, check, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work is not None:
        work(arguments.work, arguments.seed)
        return
    rng, during = np.random.default_rng(arguments.seed), Counter[str]()
    with tempfile.TemporaryDirectory() as scratch:
        library = Library(Path(scratch) / "library")
        library.folder.mkdir()
        write_library_config(library, _CONFIG)
        write_definitions(library, TagDefinitions().changed(add=_TAGS))
        publish_tables(library, Tables(library, features=True), _CONFIG)
        for number in range(arguments.kills):
            command = [sys.executable, "-m", "benchmarks.publish_crashes", "--work", str(library.folder)]
            worker = subprocess.Popen([*command, "--seed", str(number)], stdout=subprocess.PIPE, text=True)
            assert worker.stdout is not None
            said = [worker.stdout.readline()]  # it has begun
            time.sleep(rng.uniform(0, 2.5))
            worker.kill()
            said += worker.communicate()[0].splitlines()
            during[[line.strip() for line in said if line.strip()][-1]] += 1
            check(library.folder)
    for step, count in during.most_common():
        print(f"{count:5} kills during: {step}")
    print(f"{arguments.kills} kills, and every check held")


if __name__ == "__main__":
    main()
