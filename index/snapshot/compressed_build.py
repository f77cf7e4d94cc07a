"""Building the vectors of a large segment: three files, and settings of the search chosen by measured recall."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from index.snapshot.compressed_vectors import CODES_FILE, FP16_FILE, INT8_FILE, CompressedVectors, Point
from index.snapshot.flat_vectors import FlatVectors, FlatWriter, faiss
from index.snapshot.recall_points import Truth, choose_points, made_up_texts, tuning_truth
from schemas.errors import LibraryError

# Vectors up to which all codes are scanned: 6 ms a million on one core.
_MAX_UNLISTED = 2_000_000

# Vectors to a list where there are lists; and the most lists, since each new vector is compared with all of them.
_PER_LIST, _MAX_LISTS = 2_500, 4_096

# Dimensions that the codes are of, and how many of them share four bits.
_CODED_DIMS, _DIMS_PER_PIECE = 256, 2

# Vectors that principal components, pieces and lists are learned from.
_SAMPLE, _ITERATIONS = 131_072, 10

# Vectors read at a time: 64 MB of 512 dimensions.
_BLOCK = 32_768

_SEED = 0


def write_compressed(
    folder: Path,
    dim: int,
    batches: Iterable[NDArray[np.float32]],
    *,
    queries: NDArray[np.float32] | None = None,
    lists: int | None = None,
    num_tuning: int = 400,
) -> dict[str, Any]:
    """Write the vectors of a large segment. The same vectors give the same files on the same kind of machine.

    Writes fp16 as the batches come, and reads that file again for the rest, once for the sample and once in order. Holds
    the codes (72 bytes a vector), a sample (512 MB of 512 dimensions at most), and some blocks: about 2 GB for 10 million.

    Args:
        folder: the segment's; it exists.
        dim: dimension of the vectors.
        batches: float32 [n, dim], in row order; read once.
        queries: float32 [n, dim], queries as users put them; the first ``num_tuning`` are used. None: `made_up_texts`.
        lists: inverted lists; None: by the number of vectors.
        num_tuning: queries of each kind that recall is measured with.

    Returns:
        What `open_compressed` needs, fit for JSON.

    Raises:
        LibraryError: a file cannot be written.
    """
    rows, lowest, highest = _write_fp16(folder / FP16_FILE, dim, batches)
    vectors = FlatVectors(folder / FP16_FILE, dim=dim, rows=rows)
    rng = np.random.default_rng(_SEED)
    sample = vectors.vectors_at(np.sort(rng.choice(rows, min(rows, _SAMPLE), replace=False)))
    lists = lists or _lists_for(rows)
    codes = _trained(sample, lists)
    texts = made_up_texts(sample, num_tuning, _SEED) if queries is None else queries[:num_tuning]
    truth = tuning_truth(vectors, texts, num_tuning, _SEED)
    _add_all(folder / INT8_FILE, vectors, np.stack([lowest, highest]), codes, truth)
    _write_codes(folder / CODES_FILE, codes)
    written = CompressedVectors(folder, dim=dim, rows=rows, points=[])
    points = choose_points(written, truth)
    return {
        "kind": "compressed",
        "rows": rows,
        "dim": dim,
        "files": [CODES_FILE, INT8_FILE, FP16_FILE],
        "lists": lists,
        "coded_dims": codes.index.d,
        "texts": "made up" if queries is None else "given",
        "points": [point._asdict() for point in points],
    }


def open_compressed(folder: Path, info: dict[str, Any]) -> CompressedVectors:
    """Open what `write_compressed` wrote in ``folder``; ``info`` is what it returned.

    Raises:
        LibraryError: a file is missing or damaged, or is not what ``info`` says.
    """
    try:
        points = [Point(**point) for point in info["points"]]
    except (TypeError, KeyError) as exc:
        raise LibraryError(
            f"the settings of the vectors in {str(folder)!r} cannot be read ({exc}); run the ingest again"
        ) from exc
    return CompressedVectors(folder, dim=info["dim"], rows=info["rows"], points=points)


def _write_fp16(
    path: Path, dim: int, batches: Iterable[NDArray[np.float32]]
) -> tuple[int, NDArray[np.float32], NDArray[np.float32]]:
    """Write all vectors as fp16; how many there are, and the lowest and the highest value in each dimension."""
    lowest, highest = np.full(dim, np.inf, np.float32), np.full(dim, -np.inf, np.float32)
    with FlatWriter(
        path, faiss.IndexScalarQuantizer(dim, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)
    ) as writer:
        for batch in batches:
            if len(batch):
                writer.add(batch)
                lowest, highest = np.minimum(lowest, batch.min(axis=0)), np.maximum(highest, batch.max(axis=0))
    return writer.total, lowest, highest


def _lists_for(rows: int) -> int:
    """Inverted lists for this many vectors; a single one where scanning all is fast."""
    return 1 if rows <= _MAX_UNLISTED else min(_MAX_LISTS, rows // _PER_LIST)


def _trained(sample: NDArray[np.float32], lists: int) -> Any:
    """The index of codes, trained on a sample and without vectors: a FAISS IndexPreTransform."""
    dim = sample.shape[1]
    coded = min(_CODED_DIMS, dim - dim % _DIMS_PER_PIECE)
    transform = faiss.LinearTransform(dim, coded, False)
    faiss.copy_array_to_vector(_rotated_components(sample, coded).ravel(), transform.A)
    transform.is_trained = True
    reduced = transform.apply(sample)
    quantizer = faiss.IndexFlatL2(coded)
    quantizer.add(_centroids(reduced, lists))
    pieces = coded // _DIMS_PER_PIECE
    by_codes = faiss.IndexIVFPQFastScan(quantizer, coded, lists, pieces, 4, faiss.METRIC_INNER_PRODUCT)
    by_codes.by_residual = lists > 1
    by_codes.train(reduced)
    return faiss.IndexPreTransform(transform, by_codes)


def _rotated_components(sample: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """float32 [count, dim], the first principal directions, rotated at random so that all pieces say as much."""
    _, directions = np.linalg.eigh(np.cov(sample.T))
    rotation, _ = np.linalg.qr(np.random.default_rng(_SEED).standard_normal((count, count)))
    return np.ascontiguousarray(rotation @ directions[:, ::-1][:, :count].T, np.float32)


def _centroids(vectors: NDArray[np.float32], lists: int) -> NDArray[np.float32]:
    """float32 [lists, dim], centres of inverted lists by k-means."""
    if lists == 1:
        return np.zeros((1, vectors.shape[1]), np.float32)
    clusters = faiss.Kmeans(vectors.shape[1], lists, niter=_ITERATIONS, seed=_SEED, min_points_per_centroid=1)
    clusters.train(vectors)
    return np.asarray(clusters.centroids, np.float32)


def _add_all(path: Path, vectors: FlatVectors, extremes: NDArray[np.float32], codes: Any, truth: Truth) -> None:
    """Pass over all vectors once: write them as int8 to ``path``, add them to ``codes`` and to ``truth``."""
    int8 = faiss.IndexScalarQuantizer(vectors.dim, faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT)
    int8.train(extremes)
    with FlatWriter(path, int8) as writer:
        for begin in range(0, len(vectors), _BLOCK):
            block = vectors.index.reconstruct_n(begin, min(_BLOCK, len(vectors) - begin))
            writer.add(block)
            codes.add(block)
            truth.add(begin, block)


def _write_codes(path: Path, codes: Any) -> None:
    """Write the index of codes, whose lists were filled by distance and are from now on chosen by dot product."""
    by_codes = faiss.downcast_index(codes.index)
    centroids = faiss.downcast_index(by_codes.quantizer).reconstruct_n(0, by_codes.nlist)
    chosen_by = faiss.IndexFlatIP(by_codes.d)
    chosen_by.add(centroids)
    by_codes.quantizer = chosen_by
    try:
        faiss.write_index(codes, str(path))
    except RuntimeError as exc:
        raise LibraryError(f"the index {str(path)!r} cannot be written: {str(exc).splitlines()[-1]}") from exc
