"""Files of records: what is written once, what is fetched, when they are written anew, and what becomes of damage."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from index.snapshot.feature_records import (
    SegmentFeatures,
    features_info,
    is_worth_rewriting,
    join_places,
    rewrite_records,
    write_records,
)
from schemas.errors import LibraryError
from schemas.rerank_features import FeatureLayout, digests_of
from schemas.tables import FEATURES

LAYOUT = FeatureLayout("fp16", 3, 8)


def record_of(content: int, layout: FeatureLayout = LAYOUT) -> bytes:
    """Embedding and features that are all ``content``."""
    embedding = np.full((1, layout.dim), content, np.float32)
    features = np.full((1, layout.tokens, layout.dim), content, np.float32)
    return bytes(layout.encode(embedding, features)[0].tobytes())


def write_file(path: Path, clips: dict[int, int], layout: FeatureLayout = LAYOUT) -> str:
    """A Parquet file of clips (clip id -> content)."""
    records = [record_of(content, layout) for content in clips.values()]
    n = len(clips)
    columns = [
        list(clips),
        ["v"] * n,
        digests_of(records),
        [layout.kind] * n,
        [layout.tokens] * n,
        [layout.dim] * n,
        records,
    ]
    pq.write_table(pa.table(columns, schema=FEATURES), path)
    return str(path)


def ids(*clip_ids: int) -> NDArray[np.int64]:
    return np.array(clip_ids, np.int64)


def contents(folder: Path, places: NDArray[np.int64], files: list[str], *rows: int) -> list[float]:
    """The content of the records of some rows."""
    features = SegmentFeatures(places, folder, features_info(LAYOUT, files))
    values: list[float] = LAYOUT.decode_features(features.records_at(ids(*rows)))[:, 2, 7].tolist()
    return values


def test_records_are_fetched_by_row_in_the_order_asked_for(tmp_path: Path) -> None:
    files = [write_file(tmp_path / "a.parquet", {2**62: 1, 7: 2, 9: 3}), write_file(tmp_path / "b.parquet", {1: 4})]
    places, names, layout = write_records(tmp_path / "records", files, ids(7, 1, 2**62, 1000), [])
    assert layout == LAYOUT
    assert (places >= 0).tolist() == [True, True, True, False], "no file has clip 1000"
    assert contents(tmp_path / "records", places, names, 2, 0, 1, 2) == [1, 2, 4, 1]
    (name,) = names
    assert (tmp_path / "records" / name).stat().st_size == 3 * LAYOUT.record_bytes


def test_files_behind_the_last_record_are_not_read(tmp_path: Path) -> None:
    first, broken = write_file(tmp_path / "a.parquet", {1: 5, 2: 6}), str(tmp_path / "broken.parquet")
    places, names, _ = write_records(tmp_path / "records", [first, broken], ids(1, 2), [])
    assert contents(tmp_path / "records", places, names, 0, 1) == [5, 6]
    with pytest.raises(LibraryError, match="a table's file cannot be read"):
        write_records(tmp_path / "records", [first, broken], ids(1, 2, 3), [])


def test_a_record_is_written_once_whatever_clips_have_it(tmp_path: Path) -> None:
    folder = tmp_path / "records"
    first = write_file(tmp_path / "a.parquet", {1: 5, 2: 5, 3: 6})
    places, names, _ = write_records(folder, [first], ids(1, 2, 3), [])
    assert len(set(places.tolist())) == 2
    copies = write_file(tmp_path / "b.parquet", {11: 5, 12: 7})
    more, both, _ = write_records(folder, [copies], ids(11, 12), names)
    assert both[0] == names[0]
    assert sum(path.stat().st_size for path in folder.glob("*.bin")) == 3 * LAYOUT.record_bytes
    assert contents(folder, more, both, 0, 1) == [5, 7]
    again, same, _ = write_records(folder, [copies], ids(11), names)
    assert same == names, "nothing new, so no new file"
    assert contents(folder, again, same, 0) == [5]
    (folder / names[0]).with_suffix(".npy").write_bytes(b"")
    anew, files, _ = write_records(folder, [copies], ids(11), names)
    assert names[0] not in files, "where its digests are lost, records are written once more"
    assert contents(folder, anew, files, 0) == [5]


def test_places_of_several_segments_are_joined_to_one_list_of_the_files_in_use(tmp_path: Path) -> None:
    folder = tmp_path / "records"
    files = [write_file(tmp_path / f"{n}.parquet", {n: n}) for n in range(3)]
    parts = [write_records(folder, [file], ids(n), [])[:2] for n, file in enumerate(files)]
    unused = np.full(1, -1), parts[2][1]
    places, names = join_places([parts[1], unused, parts[0]])
    assert names == [*parts[1][1], *parts[0][1]]
    assert contents(folder, places, names, 0, 2) == [1, 0]
    assert places[1] == -1


def test_records_are_written_anew_where_few_are_in_use(tmp_path: Path) -> None:
    folder = tmp_path / "records"
    file = write_file(tmp_path / "a.parquet", dict(zip(range(8), range(8), strict=True)))
    places, names, _ = write_records(folder, [file], np.arange(8), [])
    assert not is_worth_rewriting(folder, places[:6], names, LAYOUT.record_bytes)
    few = np.concatenate([places[[5, 2, 5]], [-1]])
    assert is_worth_rewriting(folder, few, names, LAYOUT.record_bytes)
    moved, new = rewrite_records(folder, few, names, LAYOUT)
    assert contents(folder, moved, new, 0, 1, 2) == [5, 2, 5]
    assert moved[3] == -1
    assert (folder / new[0]).stat().st_size == 2 * LAYOUT.record_bytes


def test_records_of_two_layouts_are_refused(tmp_path: Path) -> None:
    other = FeatureLayout("fp16", 2, 8)
    files = [write_file(tmp_path / "a.parquet", {1: 1}), write_file(tmp_path / "b.parquet", {2: 2}, other)]
    with pytest.raises(LibraryError, match="laid out in several ways, expected one; ingest into a new folder"):
        write_records(tmp_path / "records", files, ids(1, 2), [])


def test_a_file_that_was_cut_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "records"
    places, names, _ = write_records(folder, [write_file(tmp_path / "a.parquet", {1: 1, 2: 2})], ids(1, 2), [])
    path = folder / names[0]
    path.write_bytes(path.read_bytes()[: LAYOUT.record_bytes])
    with pytest.raises(LibraryError, match=r"cannot be read \(its files of records are shorter than they were\); run the"):
        SegmentFeatures(places, folder, features_info(LAYOUT, names))
