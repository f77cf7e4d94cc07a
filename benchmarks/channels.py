"""Search in speech at scale: a library of made-up subtitles, how long it takes to publish, and how long questions take.

    python -m benchmarks.channels [--hours 1000] [--per-hour 900]

Words are drawn by Zipf's law from a vocabulary of 30,000, in subtitles of three to twelve words. A scan by SQL
(``where text ilike``) is what somebody would do without an index. Prints milliseconds: the median and the 95th percentile.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa

from benchmarks.search import config_of
from index.search.searcher import Searcher
from index.snapshot.publish import publish_tables
from index.storage.config import write_library_config
from index.storage.paths import Library
from index.storage.tables import Tables
from pipeline.write import write_clips
from schemas.channels import ANNOTATIONS, SPEECH
from schemas.models import Label
from schemas.records import ClipRow, Span, VideoFile, VideoInfo, VideoRow, clip_id_of
from schemas.search import SearchOptions
from schemas.text import columns_text

_DIM = 16
_VOCABULARY = 30_000
_QUESTIONS = 60


def main() -> None:
    """Make the library, and print what it costs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=int, default=1000, help="videos of an hour each")
    parser.add_argument("--per-hour", type=int, default=900, help="subtitles of each")
    given = parser.parse_args()
    random = np.random.default_rng(0)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    words = ["".join(random.choice(letters, random.integers(3, 10))) for _ in range(_VOCABULARY)]
    with tempfile.TemporaryDirectory() as folder:
        library = Library(Path(folder))
        tables = make_library(library, given.hours)
        began = time.perf_counter()
        add_speech(tables, range(given.hours), given.per_hour, words, random)
        committed_s = time.perf_counter() - began
        began = time.perf_counter()
        publish_tables(library, tables, config_of(_DIM))
        published_s = time.perf_counter() - began
        began = time.perf_counter()
        add_speech(tables, range(1), given.per_hour, words, random)
        publish_tables(library, tables, config_of(_DIM))
        again_s = time.perf_counter() - began
        size_mb = sum(path.stat().st_size for path in library.channel_parts.rglob("*.sqlite")) / 1e6
        print(f"{given.hours * given.per_hour:,} subtitles of {given.hours:,} videos")
        print(f"committed in {committed_s:.1f} s, published in {published_s:.1f} s, one video more in {again_s:.1f} s")
        print(f"full-text index {size_mb:.0f} MB")
        print_questions(library, words, random)


def make_library(library: Library, num_videos: int) -> Tables:
    """A published library of videos of one clip each."""
    write_library_config(library, config_of(_DIM))
    tables = Tables(library)
    span, vector = Span(0.0, 3600.0), np.eye(1, _DIM, dtype=np.float32)[0]
    rows = [ClipRow(clip_id_of(f"v{n}", span), f"v{n}", span, (Label("talking", 1.0),), vector) for n in range(num_videos)]
    tables.commit_clips([write_clips(rows, library.clips, classifier="made up", embedder="made up")])
    videos = [VideoInfo(f"v{n}", VideoFile(f"/v/{n}.mp4", 1, 1), duration_s=3600.0) for n in range(num_videos)]
    tables.commit_videos([VideoRow(video, "indexed", 1) for video in videos], replace_paths=False)
    tables.channels.create(["speech"])
    publish_tables(library, tables, config_of(_DIM))
    return tables


def add_speech(
    tables: Tables, videos: Sequence[int], per_hour: int, words: Sequence[str], random: np.random.Generator
) -> None:
    """Commit made-up subtitles of some videos; those that they had are replaced."""
    annotations, speech = [], []
    for number in videos:
        annotation_id = uuid.uuid4().hex[:16]
        starts_s = np.arange(per_hour) * 3600.0 / per_hour
        texts = [
            " ".join(words[int(word)] for word in (random.zipf(1.2, random.integers(3, 13)) - 1) % len(words))
            for _ in range(per_hour)
        ]
        columns = {
            "annotation_id": [annotation_id] * per_hour,
            "video_id": [f"v{number}"] * per_hour,
            "start_s": starts_s,
            "end_s": starts_s + 2.5,
            "text": texts,
            "language": ["en"] * per_hour,
            "source": ["sidecar"] * per_hour,
            "confidence": pa.nulls(per_hour, pa.float32()),
            "words": pa.nulls(per_hour, SPEECH.field("words").type),
        }
        speech.append(pa.table(columns, schema=SPEECH))
        annotations.append(
            {
                "annotation_id": annotation_id, "video_id": f"v{number}", "annotator": "subtitles", "version": "1",
                "state": "", "status": "done", "num_rows": per_hour, "wall_s": 0.1, "annotated_at": datetime.now(UTC),
            }
        )  # fmt: skip
    tables.channels.commit({"speech": speech}, pa.Table.from_pylist(annotations, schema=ANNOTATIONS))


def print_questions(library: Library, words: Sequence[str], random: np.random.Generator) -> None:
    """Ask questions of several kinds."""
    searcher = Searcher(library.folder)

    def ask(text: str) -> None:
        searcher.search(SearchOptions(texts=(text,), channels=("speech",)))

    def scan(text: str) -> None:
        searcher.snapshot.catalog.sql("select * from speech where text ilike $text limit 10", {"text": f"%{text}%"})

    def drawn(first: int, last: int, count: int) -> str:
        return " ".join(words[int(word)] for word in random.integers(first, last, count))

    began = time.perf_counter()
    ask(words[5000])
    print(f"first question {1000 * (time.perf_counter() - began):.0f} ms")
    kinds: list[tuple[str, Callable[[str], None], Callable[[], str]]] = [
        ("a rare word", ask, lambda: drawn(2_000, 20_000, 1)),
        ("a common word", ask, lambda: drawn(5, 50, 1)),
        ("four words, of which two are common", ask, lambda: f"{drawn(5, 50, 2)} {drawn(500, 5_000, 2)}"),
        ("a phrase of common words", ask, lambda: f'"{drawn(5, 50, 2)}"'),
        ("the beginning of a word", ask, lambda: drawn(500, 5_000, 1)[:3] + "*"),
        ("a rare word by SQL's ilike", scan, lambda: drawn(2_000, 20_000, 1)),
    ]
    rows = []
    for name, run, question in kinds:
        times_ms = []
        for _ in range(_QUESTIONS):
            text = question()
            began = time.perf_counter()
            run(text)
            times_ms.append(1000 * (time.perf_counter() - began))
        rows.append([name, f"{np.median(times_ms):.0f}", f"{np.percentile(times_ms, 95):.0f}"])
    print(columns_text(("question", "median ms", "95 % ms"), rows))


if __name__ == "__main__":
    main()
