"""Features in a snapshot: what is fetched, what the next snapshot shares, and what becomes of damage."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from index.snapshot.rerank_features import FeatureStore, write_features
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


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    made = [tmp_path / str(number) for number in range(4)]
    for folder in made:
        folder.mkdir()
    return made


def test_clips_are_fetched_by_id_in_the_order_asked_for(folders: list[Path]) -> None:
    files = [
        write_file(folders[0] / "a.parquet", {2**62: 1, 7: 2, 9: 3}),
        write_file(folders[0] / "b.parquet", {1: 4}),
    ]
    assert write_features(folders[1], files, ids(7, 1, 2**62, 1000)) == (3, [])
    store = FeatureStore(folders[1])
    assert (len(store), store.ids().tolist(), store.layout) == (3, [1, 7, 2**62], LAYOUT)
    found = store.get([2**62, 1, 7, 1])
    assert found.dtype == np.float32
    assert found.shape == (4, 3, 8)
    assert found[:, 0, 0].tolist() == [1, 4, 2, 4]
    embeddings, features = store.described([7, 1])
    assert (embeddings[:, 0].tolist(), features[:, 2, 7].tolist()) == ([2, 4], [2, 4])
    assert store.get([]).shape == (0, 3, 8)
    for unknown in (9, 0, 2**63 - 1):  # not visible, before the first, behind the last
        with pytest.raises(LibraryError, match=rf"clip {unknown} has no features .* vidsift verify"):
            store.get([1, unknown])


def test_no_clips_are_no_features(folders: list[Path]) -> None:
    assert write_features(folders[1], [], ids(1)) == (0, [])
    assert write_features(folders[1], [write_file(folders[0] / "a.parquet", {1: 1})], ids(2)) == (0, [])
    assert list(folders[1].iterdir()) == []


def test_the_next_snapshot_links_to_what_is_there_and_adds_what_is_new(folders: list[Path]) -> None:
    first = write_file(folders[0] / "a.parquet", {1: 1, 2: 2, 3: 3, 4: 4})
    write_features(folders[1], [first], ids(1, 2, 3, 4))
    # 4 is gone, 5 is new, 6 is a copy of 1, and 3 was computed anew
    second = write_file(folders[0] / "b.parquet", {5: 5, 6: 1, 3: 30})
    first = write_file(folders[0] / "a.parquet", {1: 1, 2: 2})
    count, linked = write_features(folders[2], [first, second], ids(1, 2, 3, 5, 6), folders[1])
    assert count == 5
    assert linked == [], "half of it is dead, so it starts afresh"

    first = write_file(folders[0] / "a.parquet", {1: 1, 2: 2, 4: 4})
    count, linked = write_features(folders[3], [first, second], ids(1, 2, 3, 4, 5, 6), folders[1])
    (name,) = linked
    assert os.stat(folders[1] / name).st_nlink == 2
    store = FeatureStore(folders[3])
    assert store.get([1, 2, 3, 4, 5, 6])[:, 0, 0].tolist() == [1, 2, 30, 4, 5, 1]
    assert [len((folders[3] / of).read_bytes()) // LAYOUT.record_bytes for of in store.segments] == [4, 2]


def test_nothing_new_adds_nothing(folders: list[Path]) -> None:
    files = [write_file(folders[0] / "a.parquet", {1: 1, 2: 2})]
    write_features(folders[1], files, ids(1, 2))
    write_features(folders[2], files, ids(1, 2), folders[1])
    assert FeatureStore(folders[2]).segments == FeatureStore(folders[1]).segments
    for path in folders[1].iterdir():
        path.unlink()
    assert FeatureStore(folders[2]).get([2])[0, 0, 0] == 2, "the older snapshot can go"


def test_many_segments_become_one(folders: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("index.snapshot.rerank_features._MAX_SEGMENTS", 2)
    files = [write_file(folders[0] / "a.parquet", {1: 1, 2: 2, 3: 3})]
    for number in (1, 2, 3):
        write_features(folders[number], files, np.arange(1, number + 1), folders[number - 1] if number > 1 else None)
    assert [len(FeatureStore(folder).segments) for folder in folders[1:]] == [1, 2, 1]


def test_a_file_system_without_links_gets_copies(folders: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    files = [write_file(folders[0] / "a.parquet", {1: 1})]
    write_features(folders[1], files, ids(1))

    def no_links(*_: object) -> None:
        raise OSError("no links here")

    monkeypatch.setattr(os, "link", no_links)
    _, (name,) = write_features(folders[2], files, ids(1), folders[1])
    assert os.stat(folders[2] / name).st_nlink == 1
    assert FeatureStore(folders[2]).get([1])[0, 0, 0] == 1


def test_a_damaged_older_snapshot_is_not_linked_to(folders: list[Path]) -> None:
    files = [write_file(folders[0] / "a.parquet", {1: 1, 2: 2})]
    write_features(folders[1], files, ids(1, 2))
    (segment,) = folders[1].glob("*.bin")
    segment.write_bytes(segment.read_bytes()[: LAYOUT.record_bytes])
    with pytest.raises(LibraryError, match=r"cannot be read \(its segments are shorter than its index says\); run the"):
        FeatureStore(folders[1])
    assert write_features(folders[2], files, ids(1, 2), folders[1]) == (2, [])
    for name, damage in (("features.json", b"{"), ("features.npy", b"no array"), ("features.json", None)):
        path = folders[2] / name
        before = path.read_bytes()
        path.unlink() if damage is None else path.write_bytes(damage)
        with pytest.raises(LibraryError, match=r"the features in .* cannot be read"):
            FeatureStore(folders[2])
        path.write_bytes(before)


def test_records_of_two_layouts_are_refused(folders: list[Path]) -> None:
    other = FeatureLayout("int8", 3, 8)
    files = [write_file(folders[0] / "a.parquet", {1: 1}), write_file(folders[0] / "b.parquet", {2: 2}, other)]
    with pytest.raises(LibraryError, match="its features are laid out in 2 ways, expected one"):
        write_features(folders[1], files, ids(1, 2))
    with pytest.raises(LibraryError, match="a table's file cannot be read"):
        write_features(folders[1], [str(folders[0] / "gone.parquet")], ids(1))
