"""A search over candidates that FAISS finds, in segments of both kinds, against one that scores every clip."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.made_up_vectors import CLIPS_PER_FILM, MadeUpVectors
from index.search import searcher as searcher_module
from index.search.candidates import AllClips, NearestClips, stage_for
from index.search.confidence import GENERIC_TEXTS
from index.search.searcher import Searcher
from index.snapshot.compressed_vectors import CompressedVectors
from index.snapshot.flat_vectors import FlatVectors
from index.snapshot.publish import publish_tables
from index.snapshot.segment_vectors import write_vectors
from index.sql.filters import passing_mask
from index.storage.config import LibraryConfig
from index.storage.paths import Library
from index.storage.tables import Tables
from schemas.models import Checkpoint, Label
from schemas.options import Sampling
from schemas.records import ClipRow, Span, VideoFile, VideoInfo
from schemas.search import Answer, SearchOptions
from tests.helpers.library_builder import build_library, commit_rows

DIM, CLIPS = 32, 6_000
WORLD = MadeUpVectors(DIM)
IDENTITY = LibraryConfig(
    Checkpoint("c", "/m/c", None, "videomae", "1" * 64),
    Checkpoint("e", "/m/e", None, "xclip", "2" * 64, (), DIM),
    Sampling(window_s=4.0, stride_s=4.0),
)


class NumberedTexts:
    """Texts ``0``, ``1``, ... of the world; generic ones are its last."""

    dim = DIM
    logit_scale = 10.0

    def __init__(self) -> None:
        self._texts = WORLD.texts(60)

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return np.stack([self._texts[-1 - GENERIC_TEXTS.index(t) if t in GENERIC_TEXTS else int(t)] for t in texts])


def clips_of(begin: int, end: int) -> tuple[list[ClipRow], list[VideoInfo]]:
    """Clips of the world by number, a film each hundred; one in a thousand is labelled as rare."""
    rows = []
    for number, vector in enumerate(WORLD.clips(0)[begin:end], begin):
        start_s = 4.0 * (number % CLIPS_PER_FILM)
        label = "rare" if number % 1000 == 7 else "common" if number % 2 else "other"
        rows.append(
            ClipRow(number, f"{number // CLIPS_PER_FILM:04x}", Span(start_s, start_s + 4.0), (Label(label, 0.9),), vector)
        )
    ids = dict.fromkeys(row.video_id for row in rows)
    return rows, [VideoInfo(i, VideoFile(f"/v/{i}.mp4", 1, 0), duration_s=400.0) for i in ids]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """5,000 clips in one compressed segment, of which a film is dead, and 1,000 in a flat one."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("index.snapshot.segment_build.write_vectors", partial(write_vectors, max_flat=2_000))
        folder = build_library(tmp_path_factory.mktemp("nearest") / "library", IDENTITY, *clips_of(0, 5_000))
        tables = Tables(Library(folder))
        tables.remove_videos(["0003"])
        tables.drop_orphans()
        commit_rows(tables, IDENTITY, *clips_of(5_000, CLIPS))
        publish_tables(Library(folder), tables, IDENTITY, most_merged=0)
    return folder


@cache
def searcher_of(folder: Path, recall: float | None) -> Searcher:
    """With candidates of this recall; None scores every clip."""
    load: Any = NumberedTexts
    clips = Searcher(folder, load=load).scorer.clips
    assert [type(segment.vectors) for segment in clips.segments] == [CompressedVectors, FlatVectors]
    stage = AllClips() if recall is None else NearestClips(clips, recall)
    return Searcher(folder, load=load, candidates=stage)


def ask(folder: Path, recall: float | None, **options: Any) -> Answer:
    return searcher_of(folder, recall).search(SearchOptions(**{"rerank": 0, "show_all": True, **options}))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"by": "clip", "k": 50},
        {"by": "video", "k": 20},
        {"k": 1},
        {"k": 200},
        {"where": "label = 'rare'"},
        {"where": "label = 'rare'", "by": "clip"},
        {"where": "label = 'common'"},
        {"where": "video_id = '0031'", "k": 3},
        {"where": "video_id = '0003'"},
        {"without": ("3",)},
        {"like": ("77",), "texts": ()},
    ],
)
def test_exact_candidates_give_what_a_scan_of_all_gives(folder: Path, options: dict[str, Any]) -> None:
    for text in ("0", "1", "2"):
        given = {"texts": (text,), **options}
        nearest, dense = ask(folder, 1.0, **given), ask(folder, None, **given)
        assert [(m.clip_id, m.start_s, m.end_s, m.windows, m.moments) for m in nearest.moments] == [
            (m.clip_id, m.start_s, m.end_s, m.windows, m.moments) for m in dense.moments
        ]
        assert [m.score for m in nearest.moments] == pytest.approx([m.score for m in dense.moments], abs=1e-6)
        assert [m.confidence for m in nearest.moments] == pytest.approx([m.confidence for m in dense.moments], abs=1e-4)
        assert (nearest.clips, nearest.passed) == (dense.clips, dense.passed)


def test_the_clips_that_meet_a_condition_are_marked_once_while_it_stays_the_same(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marked: list[int] = []

    def counted(*arguments: Any) -> NDArray[np.bool_]:
        mask = passing_mask(*arguments)
        marked.append(int(mask.sum()))
        return mask

    monkeypatch.setattr(searcher_module, "passing_mask", counted)
    load: Any = NumberedTexts
    searcher = Searcher(folder, load=load)
    for where in (
        "label = 'rare'",
        "label = 'rare'",
        "label = 'common'",
        "label = 'common'",
        "random() < 2",
        "random() < 2",
    ):
        searcher.search(SearchOptions(texts=("0",), rerank=0, where=where))
    searcher.snapshot.catalog.close()
    assert marked == [6, 2944, 5900, 5900]


@pytest.mark.parametrize("options", [{"texts": ("0", "1")}, {"then_text": "1", "within_s": 40.0}])
def test_candidates_of_two_texts_hold_most_of_the_best(folder: Path, options: dict[str, Any]) -> None:
    """The best clip of all is found, and eight of the ten best."""
    for text in ("4", "5", "6"):
        given = {"texts": (text,), "by": "clip", **options}
        nearest, dense = ask(folder, 1.0, **given), ask(folder, None, **given)
        assert nearest.moments[0].clip_id == dense.moments[0].clip_id
        both = {m.clip_id for m in nearest.moments} & {m.clip_id for m in dense.moments}
        assert len(both) >= 8


def test_approximate_candidates_find_nine_of_ten_and_nothing_that_does_not_pass(folder: Path) -> None:
    for where in (None, "label = 'common'", "label = 'rare'"):
        right = 0
        for text in range(20):
            given = {"texts": (str(text),), "by": "clip", "where": where}
            nearest, dense = ask(folder, 0.95, **given), ask(folder, None, **given)
            right += len({m.clip_id for m in nearest.moments} & {m.clip_id for m in dense.moments})
            assert where is None or all(m.label == where.split("'")[1] for m in nearest.moments)
            assert "0003" not in {m.video_id for m in nearest.moments}
        total = 20 * min(10, 6 if where == "label = 'rare'" else 10)
        assert right >= 0.9 * total


@pytest.mark.parametrize(
    ("num_clips", "options", "stage"),
    [
        (200_000, {}, AllClips),
        (200_001, {}, NearestClips),
        (200_001, {"k": 16_384}, NearestClips),
        (200_001, {"k": 16_385}, AllClips),
        (200_001, {"rerank": 20_000}, AllClips),
    ],
)
def test_small_libraries_and_long_lists_are_scanned(num_clips: int, options: dict[str, Any], stage: type) -> None:
    clips: Any = range(num_clips)
    found: Any
    found = stage_for(clips, SearchOptions(texts=("a",), recall=0.99, **options))
    assert type(found) is stage
    assert getattr(found, "recall", 0.99) == 0.99
