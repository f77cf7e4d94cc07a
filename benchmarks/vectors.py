"""Ways to search a segment's vectors, side by side: time, recall, room, and time to build, on made-up embeddings.

    python -m benchmarks.vectors --clips 1000000
    python -m benchmarks.vectors --clips 10000000 --only segment --folder /tmp/10m    # keeps it, and asks it again

One thread answers, one query at a time. Recall is of the rows that an exact search of the fp32 vectors finds, for text-like
queries and for clips of films that the library lacks. Memory is what an index holds itself, without mapped pages. Where
hnswlib or lancedb is installed, it stands beside. `segment` is what vidsift publishes; its settings were chosen by queries
that it made up itself, not by those asked here, and its recall with a filter is of what passes the filter.

The other indexes are held in memory whole: 1,000,000 clips take 6 GB, 10,000,000 `--only segment` 4 GB and 17 GB of disk.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.made_up_vectors import CHUNK, MadeUpVectors
from index.snapshot.flat_vectors import faiss
from index.snapshot.segment_vectors import SegmentVectors, open_vectors, write_vectors

Rows = NDArray[np.int64]
Search = Callable[[NDArray[np.float32], int], Rows]
"""Gives int64 [queries, count], the best rows."""

_AT = 100
_SHARES = 0.5, 1 / 400, 1e-5


class Asked(NamedTuple):
    """Queries of one kind, and the best rows for each."""

    kind: str
    queries: NDArray[np.float32]
    best: Rows


class Candidate(NamedTuple):
    """A way to search, ready to be asked."""

    search: Search
    disk_bytes: int
    memory_bytes: int


def exact(world: MadeUpVectors, clips: int, queries: NDArray[np.float32]) -> Rows:
    """int64 [queries, 100], the best rows, as the library passes by."""
    scores, rows = np.empty((len(queries), 0), np.float32), np.empty((len(queries), 0), np.int64)
    for number, vectors in enumerate(world.library(clips)):
        found = faiss.knn(queries, vectors, _AT, metric=faiss.METRIC_INNER_PRODUCT)
        scores, rows = np.hstack([scores, found[0]]), np.hstack([rows, found[1] + number * CHUNK])
        best = np.argsort(-scores, axis=1)[:, :_AT]
        scores, rows = np.take_along_axis(scores, best, 1), np.take_along_axis(rows, best, 1)
    return rows


def by_factory(world: MadeUpVectors, clips: int, factory: str, probes: int = 1, refine: float = 1) -> Candidate:
    """A FAISS index of its factory's string, held in memory; ``refine`` times as many candidates go to a refinement."""
    index = faiss.index_factory(world.dim, factory, faiss.METRIC_INNER_PRODUCT)
    if not index.is_trained:
        index.train(world.clips(0))
    for vectors in world.library(clips):
        index.add(vectors)
    inner = faiss.SearchParametersIVF(nprobe=probes) if "IVF" in factory else None
    params = inner
    if "Refine" in factory:
        params = faiss.IndexRefineSearchParameters(k_factor=refine, base_index_params=inner)
    size = len(faiss.serialize_index(index))
    return Candidate(lambda queries, count: np.asarray(index.search(queries, count, params=params)[1]), size, size)


def by_hnswlib(world: MadeUpVectors, clips: int) -> Candidate:
    """An index of hnswlib, with its usual settings."""
    hnswlib: Any = importlib.import_module("hnswlib")
    index = hnswlib.Index("ip", world.dim)
    index.init_index(clips, ef_construction=200, M=16)
    index.set_num_threads(1)
    for number, vectors in enumerate(world.library(clips)):
        index.add_items(vectors, np.arange(len(vectors)) + number * CHUNK, num_threads=2)
    index.set_ef(400)
    size = index.index_file_size()
    return Candidate(lambda queries, count: np.asarray(index.knn_query(queries, count)[0], np.int64), size, size)


def by_lancedb(world: MadeUpVectors, clips: int, folder: Path) -> Candidate:
    """LanceDB's IVF_PQ, refined by the vectors themselves."""
    lancedb: Any = importlib.import_module("lancedb")
    pa: Any = importlib.import_module("pyarrow")

    def batches() -> Iterator[Any]:
        for number, vectors in enumerate(world.library(clips)):
            values = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), world.dim)
            yield pa.RecordBatch.from_arrays([pa.array(np.arange(len(vectors)) + number * CHUNK), values], ["row", "vector"])

    schema = pa.schema([("row", pa.int64()), ("vector", pa.list_(pa.float32(), world.dim))])
    table = lancedb.connect(str(folder / "lance")).create_table("clips", batches(), schema=schema)
    table.create_index(
        "dot", vector_column_name="vector", num_partitions=max(1, clips // 4096), num_sub_vectors=world.dim // 8
    )

    def search(queries: NDArray[np.float32], count: int) -> Rows:
        found = []
        for query in queries:
            asked = table.search(query).distance_type("dot").nprobes(64).refine_factor(10).limit(count)
            rows = asked.select(["row", "_distance"]).to_arrow()["row"].to_numpy()
            found.append(np.pad(rows, (0, count - len(rows)), constant_values=-1))
        return np.array(found)

    return Candidate(search, size_of(folder / "lance"), 0)


def size_of(folder: Path) -> int:
    """Bytes of the files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def resident_gb() -> float:
    """What this process holds in memory, mapped files aside."""
    (line,) = [line for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines() if "RssAnon" in line]
    return int(line.split()[1]) / 2**20


def peak_gb() -> float:
    """The most that this process ever held in memory, mapped files included."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def segment_at(vectors: SegmentVectors, folder: Path, recall: float) -> Candidate:
    """What vidsift publishes, asked for a recall."""
    codes = folder / "codes.faiss"
    memory = codes.stat().st_size if codes.exists() else 0
    return Candidate(lambda queries, count: vectors.search(queries, count, recall=recall)[0], size_of(folder), memory)


def milliseconds(ask: Callable[[NDArray[np.float32]], object], queries: NDArray[np.float32]) -> tuple[float, float, float]:
    """Wall time of one query at the median and the 95th percentile, and CPU time at the median; warm."""
    wall, cpu = [], []
    for query in [*queries[:5], *queries]:
        began, cpu_began = time.perf_counter(), time.process_time()
        ask(query[None])
        wall.append(1000 * (time.perf_counter() - began))
        cpu.append(1000 * (time.process_time() - cpu_began))
    return float(np.median(wall[5:])), float(np.percentile(wall[5:], 95)), float(np.median(cpu[5:]))


def recall(found: Rows, best: Rows) -> float:
    """The share of the best that was found."""
    return float(np.mean([np.isin(wanted, rows).mean() for rows, wanted in zip(found, best, strict=True)]))


def report(name: str, candidate: Candidate, asked: list[Asked], clips: int, built_s: float) -> None:
    """Measure a candidate and print its row."""
    p50, p95, cpu = milliseconds(lambda query: candidate.search(query, 10), asked[0].queries)
    recalls = []
    for at in (10, _AT):
        recalls += [recall(candidate.search(kind.queries, at), kind.best[:, :at]) for kind in asked]
    shares = "".join(f" {share:6.3f}" for share in recalls)
    bytes_a_clip = f"{candidate.disk_bytes / clips:7.0f} {candidate.memory_bytes / clips:7.0f}"
    print(f"{name:<34}{p50:7.1f}{p95:7.1f}{cpu:7.1f} {shares} {bytes_a_clip} {built_s:7.0f}", flush=True)


def report_filters(vectors: SegmentVectors, queries: NDArray[np.float32]) -> None:
    """Measure a segment's searches with filters that random rows pass, and print a row for each."""
    rng = np.random.default_rng(0)
    for share in _SHARES:
        passes = rng.random(len(vectors)) < share
        passing = np.packbits(passes, bitorder="little")

        def ask(query: NDArray[np.float32], passing: NDArray[np.uint8] = passing) -> Rows:
            return vectors.search(query, 10, recall=0.95, passing=passing)[0]

        best, _ = vectors.search(queries[:20], 10, recall=1.0, passing=passing)
        p50, p95, cpu = milliseconds(ask, queries[:50])
        shares = f" {recall(ask(queries[:20]), best):6.3f}"
        print(f"{f'segment .95, 1 in {1 / share:,.0f} pass':<34}{p50:7.1f}{p95:7.1f}{cpu:7.1f} {shares}", flush=True)


def measure_segment(world: MadeUpVectors, clips: int, folder: Path, asked: list[Asked]) -> None:
    """Write what vidsift publishes, or open it if it is there; and measure it."""
    file, folder = folder / f"{clips}.json", folder / str(clips)
    if not file.exists():
        folder.mkdir(parents=True)
        began = time.perf_counter()
        info = write_vectors(folder, world.dim, world.library(clips))
        file.write_text(json.dumps(info | {"built_s": time.perf_counter() - began}), encoding="utf-8")
    info = json.loads(file.read_text(encoding="utf-8"))
    print(json.dumps(info))
    began = time.perf_counter()
    before = resident_gb()
    vectors = open_vectors(folder, info)
    print(f"opened in {time.perf_counter() - began:.2f} s; at most {peak_gb():.2f} GB held until now, 1 to make the clips")
    for wanted in (0.95, 0.99) if info["kind"] == "compressed" else (1.0,):
        report(f"segment, recall {wanted}", segment_at(vectors, folder, wanted), asked, clips, info["built_s"])
    report_filters(vectors, asked[0].queries)
    print(f"a warm reader holds {resident_gb() - before:.2f} GB, mapped files aside")


def measure(world: MadeUpVectors, clips: int, folder: Path, asked: list[Asked], only: list[str]) -> None:
    """Build and measure one candidate after the other."""
    lists = max(64, min(4096, clips // 1000))
    candidates: dict[str, Callable[[], Candidate]] = {
        "fp32 flat": lambda: by_factory(world, clips, "Flat"),
        "int8 flat": lambda: by_factory(world, clips, "SQ8"),
        "ivf sq8": lambda: by_factory(world, clips, f"IVF{lists},SQ8", lists // 8),
        "pq fast-scan": lambda: by_factory(world, clips, "PCAR256,PQ128x4fs,Refine(SQ8)", refine=100),
        "ivf pq fast-scan": lambda: by_factory(
            world, clips, f"PCAR256,IVF{lists},PQ128x4fsr,Refine(SQ8)", lists // 8, refine=100
        ),
        "rabitq fast-scan": lambda: by_factory(world, clips, "RaBitQfs,Refine(SQ8)", refine=100),
        "ivf rabitq": lambda: by_factory(world, clips, f"IVF{lists},RaBitQfs,Refine(SQ8)", lists // 8, refine=100),
    }
    if importlib.util.find_spec("hnswlib"):
        candidates["hnswlib"] = lambda: by_hnswlib(world, clips)
    if importlib.util.find_spec("lancedb"):
        candidates["lancedb"] = lambda: by_lancedb(world, clips, folder)
    for name, build in candidates.items():
        if not only or name in only:
            began = time.perf_counter()
            candidate = build()
            report(name, candidate, asked, clips, time.perf_counter() - began)
            del candidate
    if not only or "segment" in only:
        measure_segment(world, clips, folder, asked)


def main() -> None:
    """Find the true best, then measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=100_000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--queries", type=int, default=200, help="of each kind")
    parser.add_argument("--only", action="append", default=[], help="a candidate's name; may be given several times")
    parser.add_argument("--folder", type=Path, help="keep the segment in this folder, or use the one that is there")
    arguments = parser.parse_args()
    world = MadeUpVectors(arguments.dim)
    texts = world.texts(arguments.queries, max(1, arguments.clips // CHUNK))
    clips = world.held_out_clips(arguments.queries)
    best = exact(world, arguments.clips, np.concatenate([texts, clips]))
    asked = [Asked("text", texts, best[: len(texts)]), Asked("held out", clips, best[len(texts) :])]
    print(f"{'':34}{'milliseconds':>21}  {'recall@10':>13} {'recall@100':>13} {'bytes a clip':>15} {'built':>7}")
    print(f"{arguments.clips:<34,}{'p50':>7}{'p95':>7}{'CPU':>7}  {'text':>6} {'clip':>6} {'text':>6} {'clip':>6} "
          f"{'disk':>7} {'memory':>7} {'s':>7}")  # fmt: skip
    with tempfile.TemporaryDirectory() as scratch:
        measure(world, arguments.clips, arguments.folder or Path(scratch), asked, arguments.only)


if __name__ == "__main__":
    main()
