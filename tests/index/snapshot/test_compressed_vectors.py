from __future__ import annotations

import json
import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from index.snapshot import compressed_vectors, flat_vectors
from index.snapshot.compressed_build import open_compressed, write_compressed
from index.snapshot.compressed_vectors import CompressedVectors
from index.snapshot.flat_vectors import FlatVectors, count_passing, faiss, passing_rows
from index.snapshot.recall_points import made_up_texts
from index.snapshot.segment_vectors import open_vectors, write_vectors
from schemas.errors import LibraryError

ROWS, DIM = 20_000, 32


class Written(NamedTuple):
    """A segment with its own clips and with queries that no one chose settings by."""

    folder: Path
    info: dict[str, Any]
    clips: NDArray[np.float32]
    queries: NDArray[np.float32]
    exact: NDArray[np.float32]
    """float32 [queries, ROWS], all scores, of the vectors as fp16."""

    def open(self) -> CompressedVectors:
        return open_compressed(self.folder, self.info)


def films(rng: np.random.Generator, count: int) -> NDArray[np.float32]:
    """Clips of 100 to a film, which lie together, around a common direction."""
    spread = np.arange(1, DIM + 1) ** -0.4
    around = np.repeat(rng.normal(size=(count // 100, DIM)) * spread, 100, axis=0)
    vectors = around + 0.7 * rng.normal(size=(count, DIM)) * spread + 2 * np.eye(DIM)[3]
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    yield
    faiss.omp_set_num_threads(before)


@pytest.fixture(scope="module", params=[1, 16])
def segment(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Written:
    folder = tmp_path_factory.mktemp("segment")
    rng = np.random.default_rng(0)
    clips = films(rng, ROWS)
    batches = (clips[at : at + 3_001] for at in range(0, ROWS, 3_001))
    info = write_compressed(folder, DIM, batches, lists=request.param, num_tuning=50)
    queries = np.concatenate([made_up_texts(clips, 40, seed=5), films(rng, 4_000)[::100]])
    kept = open_compressed(folder, info).vectors_at(np.arange(ROWS))
    assert (np.abs(kept - clips) <= 2**-11 * np.abs(clips) + 2**-25).all()  # FAISS rounds halves up, NumPy to even
    return Written(folder, info, clips, queries, queries @ kept.T)


def found_share(rows: NDArray[np.int64], exact: NDArray[np.float32], passes: NDArray[np.bool_] | None = None) -> float:
    """The share of the true best that is among the rows; scores within rounding of the last of them count as it."""
    allowed = exact if passes is None else np.where(passes, exact, -np.inf)
    count = min(rows.shape[1], int(np.isfinite(allowed[0]).sum()))
    last = np.sort(allowed, axis=1)[:, -count]
    taken = np.take_along_axis(allowed, rows[:, :count], axis=1)
    return float((taken >= last[:, None] - 1e-6).mean())


def test_the_recall_asked_for_is_met_by_queries_not_seen_before(segment: Written) -> None:
    vectors = segment.open()
    for recall in (0.95, 0.99):
        for kind in (slice(0, 40), slice(40, None)):
            rows, scores = vectors.search(segment.queries[kind], 10, recall=recall)
            assert found_share(rows, segment.exact[kind]) >= recall - 0.02  # 400 rows measure it no closer
            assert np.take_along_axis(segment.exact[kind], rows, axis=1) == pytest.approx(scores, abs=1e-6)
            assert (np.diff(scores, axis=1) <= 0).all()


def test_settings_and_measured_recalls_are_kept_with_the_segment(segment: Written) -> None:
    info = json.loads(json.dumps(segment.info))
    assert (info["kind"], info["rows"], info["dim"], info["texts"]) == ("compressed", ROWS, DIM, "made up")
    assert [point["recall"] for point in info["points"]] == [0.95, 0.99]
    for point in info["points"]:
        assert point["recall"] <= min(point["texts_at_10"], point["clips_at_10"]) <= 1
        assert 1 <= point["probes"] <= info["lists"]
    assert sorted(info["files"]) == sorted(path.name for path in segment.folder.iterdir())


@pytest.mark.parametrize("recall", [1.0, 0.999])
def test_a_recall_above_all_settings_is_exact(segment: Written, recall: float) -> None:
    rows, _ = segment.open().search(segment.queries, 20, recall=recall)
    assert found_share(rows, segment.exact) == 1.0


@pytest.mark.parametrize("share", [0, 5e-5, 1e-3, 1 / 400, 0.01, 0.1, 0.5, 0.99, 1])
@pytest.mark.parametrize(("recall", "budget_ns"), [(0.95, 30e6), (0.95, 0), (1.0, 0)])
def test_a_filter_gives_the_best_of_what_passes_and_nothing_else(
    segment: Written, share: float, recall: float, budget_ns: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compressed_vectors, "EXACT_BUDGET_NS", budget_ns)
    passes = np.random.default_rng(1).permutation(ROWS) < share * ROWS
    rows, scores = segment.open().search(segment.queries, 10, recall=recall, passing=np.packbits(passes, bitorder="little"))
    count = min(10, int(passes.sum()))
    assert passes[rows[:, :count]].all()
    assert (rows[:, count:] == -1).all()
    assert (scores[:, count:] == -np.inf).all()
    assert all(len(set(of_query.tolist())) == count for of_query in rows[:, :count])
    if count:
        assert found_share(rows, segment.exact, passes) >= (recall - 0.02 if recall < 1 and not budget_ns else 1.0)


@pytest.mark.parametrize("budget_ns", [30e6, 0])
def test_a_filter_that_keeps_what_is_far_from_the_query_gives_as_many_as_asked_for(
    segment: Written, budget_ns: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compressed_vectors, "EXACT_BUDGET_NS", budget_ns)
    passes = np.zeros(ROWS, np.bool_)
    passes[np.argsort(segment.exact[0])[: ROWS // 5]] = True
    rows, _ = segment.open().search(segment.queries[:1], 500, recall=0.95, passing=np.packbits(passes, bitorder="little"))
    assert passes[rows].all()
    assert found_share(rows, segment.exact[:1], passes) >= (1.0 if budget_ns else 0.4)


def test_vectors_and_scores_are_those_kept_as_fp16(segment: Written) -> None:
    vectors = segment.open()
    some = np.array([ROWS - 1, 0, 77])
    assert vectors.vectors_at(some) == pytest.approx(segment.clips[some], abs=1e-3)
    assert vectors.scores_at(some, segment.queries) == pytest.approx(segment.exact[:, some], abs=1e-6)
    assert vectors.scores(segment.queries[:3]) == pytest.approx(segment.exact[:3], abs=1e-6)


@pytest.mark.parametrize("count", [3, 40])
def test_the_number_of_threads_changes_nothing_that_is_found(segment: Written, count: int) -> None:
    """Neither for a few queries, which vidsift's threads share, nor for many, which FAISS's do."""
    vectors, found = segment.open(), []
    for threads in (1, 2, 4):
        faiss.omp_set_num_threads(threads)
        found.append(vectors.search(segment.queries[:count], 10, recall=0.95))
    faiss.omp_set_num_threads(1)
    for rows, scores in found[1:]:
        assert np.array_equal(rows, found[0][0])
        assert np.array_equal(scores, found[0][1])


def test_vectors_that_are_not_in_memory_are_asked_for_and_are_the_same(
    segment: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    some = np.concatenate([np.random.default_rng(2).permutation(ROWS)[:700], np.arange(ROWS - 300, ROWS)])
    from_memory = segment.open().vectors_at(some)
    monkeypatch.setattr(flat_vectors, "_FROM_MEMORY_S", 0.0)  # as if a few of them had taken long
    vectors = FlatVectors(segment.folder / "vectors.f16.faiss", dim=DIM, rows=ROWS)
    file: Any = vectors._file
    asked = set[int]()

    class Recorded:
        def __len__(self) -> int:
            return len(file)

        def madvise(self, advice: int, begin: int, length: int) -> None:
            assert advice == mmap.MADV_WILLNEED
            file.madvise(advice, begin, length)
            asked.update(range(begin // mmap.PAGESIZE, -(-(begin + length) // mmap.PAGESIZE)))

    monkeypatch.setattr(vectors, "_file", Recorded())
    assert np.array_equal(vectors.vectors_at(some), from_memory)
    first = len(file) - 2 * DIM * ROWS + 2 * DIM * some
    assert asked >= {*(first // mmap.PAGESIZE), *((first + 2 * DIM - 1) // mmap.PAGESIZE)}


def test_the_same_vectors_give_the_same_files(segment: Written, tmp_path: Path) -> None:
    info = write_compressed(tmp_path, DIM, [segment.clips], lists=segment.info["lists"], num_tuning=50)
    assert info == segment.info
    for name in info["files"]:
        assert (tmp_path / name).read_bytes() == (segment.folder / name).read_bytes()


def test_the_files_of_int8_and_fp16_are_those_that_faiss_would_write(segment: Written, tmp_path: Path) -> None:
    for name in ("vectors.i8.faiss", "vectors.f16.faiss"):
        faiss.write_index(faiss.read_index(str(segment.folder / name)), str(tmp_path / name))
        assert (tmp_path / name).read_bytes() == (segment.folder / name).read_bytes()


def test_given_queries_are_what_settings_are_chosen_by(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    clips = films(rng, 3_000)
    info = write_vectors(tmp_path, DIM, [clips], queries=made_up_texts(clips, 30, seed=6), max_flat=2_000)
    assert (info["kind"], info["texts"], info["rows"]) == ("compressed", "given", 3_000)
    (rows,), _ = open_vectors(tmp_path, info).search(clips[7:8], 1, recall=0.95)
    assert rows == 7


@pytest.mark.parametrize("name", ["codes.faiss", "vectors.i8.faiss", "vectors.f16.faiss"])
def test_damaged_files_are_errors(segment: Written, tmp_path: Path, name: str) -> None:
    for file in segment.info["files"]:
        (tmp_path / file).write_bytes((segment.folder / file).read_bytes())
    whole = (tmp_path / name).read_bytes()
    for content in (whole[:-1], whole[:100], b"no index", b""):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(LibraryError, match="cannot be read as an index; run the ingest again"):
            open_vectors(tmp_path, segment.info)
    (tmp_path / name).unlink()
    with pytest.raises(LibraryError, match="cannot be read as an index"):
        open_vectors(tmp_path, segment.info)
    (tmp_path / name).write_bytes(whole)
    with pytest.raises(LibraryError, match=r"holds 20000 vectors of 32 dimensions, expected 19999 of 32"):
        open_vectors(tmp_path, segment.info | {"rows": ROWS - 1})
    with pytest.raises(LibraryError, match=r"settings of the vectors in .* cannot be read"):
        open_vectors(tmp_path, segment.info | {"points": [{"recall": 0.9}]})


def test_rows_of_a_bitmap() -> None:
    passes = np.random.default_rng(0).random(1_003) < 0.02
    passes[[0, 1_002]] = True
    packed = np.packbits(passes, bitorder="little")
    assert count_passing(packed) == passes.sum()
    assert passing_rows(packed).tolist() == np.flatnonzero(passes).tolist()
    assert passing_rows(np.zeros(0, np.uint8)).tolist() == []
