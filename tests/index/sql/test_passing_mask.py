"""Conditions are answered by rows of segments: the same clips as by ids in one file that holds the same rows."""

from __future__ import annotations

import gc
import re
import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from index.snapshot.catalog_build import write_segment_catalog
from index.sql import remembered
from index.sql.catalog import Catalog
from index.sql.filters import passing_clips, passing_mask
from schemas.errors import QueryError, UnknownNameError
from tests.helpers.segment_catalog import SEGMENT_ROWS, MadeClip, MadeVideo, Segments, write_one_file, write_segments

LABELS = ("waving", "running", "diving", "baking")


def random_segments(seed: int, sizes: tuple[int, ...] = (9, 4, 1, 3)) -> Segments:
    """Segments of some videos each, of which a third are dead."""
    rng = np.random.default_rng(seed)
    ids = iter(rng.choice(2**62, 1000, replace=False).tolist())
    segments = []
    for segment, count in enumerate(sizes):
        videos = []
        for number in range(count):
            clips = []
            for position in range(int(rng.integers(1, 6))):
                scores = -np.sort(-rng.random(int(rng.integers(0, 4))).astype(np.float32))
                names = rng.choice(LABELS, len(scores), replace=False)
                tags = {tag: float(np.float32(rng.random())) for tag in ("mine", "another") if rng.random() < 0.5}
                labels = tuple(zip(names.tolist(), scores.tolist(), strict=True))
                clips.append(MadeClip(next(ids), 4.0 * position, labels, tags))
            path = None if rng.random() < 1 / 3 else f"/v/{int(rng.integers(1000))}/{segment}-{number}.mp4"
            videos.append(MadeVideo(f"{segment}{number:03d}", path, tuple(clips), int(rng.integers(1, 5)) * 16))
        segments.append(tuple(videos))
    return segments


CONDITIONS = (
    "true",
    "false",
    "start_s >= 8",
    "label = 'waving'",
    "label is null",
    "clips.label_score > 0.5 -- and no more",
    "width = 32 and label <> 'running'",
    "path like '%/1-%'",
    "clips.path like '%/1-%' and videos.width > 16",
    "videos.path < clips.path || 'x' and status = 'indexed'",
    "video_id in (select video_id from videos where width < 40)",
    "clip_id in (select clip_id from labels where label = 'diving' and rank = 2)",
    "exists (select 1 from clips c2 where c2.video_id = clips.video_id and c2.start_s > clips.start_s)",
    "rank <= 2 and label = 'diving'",
    "label = 'diving' and score < 0.5 and width > 16",
    "score > 0.5",
    "rank = 2 and label_score > 0.75",
    "labels.label = 'waving' and clips.start_s > 0 and model = 'c@1'",
    "tag = 'mine'",
    "tags.score > 0.5 and tag = 'mine' and width > 16",
    "prompt = 'mine?' and clips.label = 'waving'",
    "tag = 'mine' and label_score > 0.25",
    "tag = 'mine' and rank = 1 and labels.score > 0.25 and videos.width < 64",
    "start_s in (select start_s from clips where label = 'waving' group by start_s having count(*) > 1)",
)


@pytest.fixture(scope="module", params=range(2))
def both(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Segments, Catalog, Catalog]]:
    segments, folder = random_segments(request.param), tmp_path_factory.mktemp("both")
    catalogs = Catalog(write_segments(folder / "segments", segments)), Catalog(write_one_file(folder / "one", segments))
    yield segments, *catalogs
    for catalog in catalogs:
        catalog.close()


def ids_of(segments: Segments, mask: NDArray[np.bool_]) -> list[int]:
    """The ids of the clips that pass, each of which is live."""
    clips = [(video, clip) for videos in segments for video in videos for clip in video.clips]
    assert (mask.dtype, len(mask)) == (np.dtype(bool), len(clips))
    passing = [clips[row] for row in np.flatnonzero(mask)]
    assert all(video.path for video, _ in passing)
    return [clip.clip_id for _, clip in passing]


@pytest.mark.parametrize("condition", CONDITIONS)
def test_rows_that_pass_are_the_clips_that_one_file_gives(both: tuple[Segments, Catalog, Catalog], condition: str) -> None:
    segments, catalog, one_file = both
    expected = sorted(passing_clips(one_file, condition).tolist())
    assert sorted(passing_clips(catalog, condition).tolist()) == expected
    mask = passing_mask(catalog, condition)
    assert sorted(ids_of(segments, mask)) == expected
    assert passing_mask(catalog, condition).tolist() == mask.tolist()
    of_file = passing_mask(one_file, condition)
    assert of_file.dtype == np.bool_
    in_order = one_file.sql("select clip_id from clips order by video_id, start_s, end_s")["clip_id"].to_numpy()
    assert sorted(in_order[of_file].tolist()) == expected


@pytest.mark.parametrize(
    "condition", ["nope = 1", "rank = 1 and tag = 'a' and nope", "label =", "1; select 1", "sum(1) > 0"]
)
def test_a_wrong_condition_is_told_as_for_one_file(both: tuple[Segments, Catalog, Catalog], condition: str) -> None:
    _, catalog, one_file = both
    messages = []
    for ask in (lambda: passing_clips(one_file, condition), lambda: passing_mask(catalog, condition)):
        with pytest.raises(QueryError) as error:
            ask()
        columns_aside = re.sub("Candidate bindings: [^;]*", "", str(error.value))  # the one file has fewer
        messages.append((type(error.value), columns_aside))
        assert str(error.value).startswith("--where: ")
    assert messages[0] == messages[1]


def test_a_name_that_is_not_there_is_an_unknown_name(both: tuple[Segments, Catalog, Catalog]) -> None:
    with pytest.raises(UnknownNameError, match='Referenced column "nope" not found'):
        passing_mask(both[1], "nope = 1")


@pytest.mark.parametrize(
    "condition",
    [
        "true) union all select 'x' from clips where (true",
        "true) union all select null::bigint from clips where (true",
        "true) union all select 1::bigint << 40 from clips where (true",
        "true) union all select 1000000 from clips where (true",
        "true) union all select -1 from clips where (true",
    ],
)
def test_what_is_more_than_a_condition_names_no_rows(both: tuple[Segments, Catalog, Catalog], condition: str) -> None:
    with pytest.raises(QueryError, match=r"^--where: got more than a condition|^--where: Conversion Error"):
        passing_mask(both[1], condition)


def test_no_segments_have_no_rows(tmp_path: Path) -> None:
    catalog = Catalog(write_segments(tmp_path / "segments", ()))
    assert passing_mask(catalog, "label = 'waving'").tolist() == []
    with pytest.raises(QueryError):
        passing_mask(catalog, "nope")
    catalog.close()


def test_of_a_large_segment_each_row_is_asked_for(tmp_path: Path) -> None:
    """Several threads read a segment."""
    numbers = np.arange(300_000)
    labels = pa.StructArray.from_arrays(
        [pa.array(["waving", "running"] * len(numbers)), pa.array([0.5, 0.25] * len(numbers), pa.float32())],
        ["label", "score"],
    )
    columns = {
        "clip_id": numbers,
        "video": (numbers >= 200_000).astype(np.int32),
        "start_s": numbers.astype(float),
        "end_s": numbers + 1.0,
        "labels": pa.ListArray.from_arrays(pa.array(np.arange(0, 600_001, 2), pa.int32()), labels),
        "classifier": pa.array(["c@1"] * len(numbers)),
    }
    files = write_segments(tmp_path / "segments", ((MadeVideo("a", "/v/a.mp4", ()), MadeVideo("b", None, ())),))
    files.segments[0].unlink()
    write_segment_catalog(files.segments[0], pa.table(columns, schema=SEGMENT_ROWS).to_batches(max_chunksize=10_000))
    catalog = Catalog(files)
    for condition, wanted in (
        ("start_s % 2 = 0", np.arange(0, 200_000, 2)),
        ("start_s % 3 = 0 and width = 64", np.arange(0, 200_000, 3)),
        ("score < 1 and model = 'c@1'", np.arange(200_000)),
        ("start_s = 123456", np.array([123_456])),
    ):
        assert np.array_equal(np.flatnonzero(passing_mask(catalog, condition)), wanted), condition
    catalog.close()


def asked(catalog: Catalog, monkeypatch: pytest.MonkeyPatch, condition: str) -> int:
    """How often the catalog answers what meets ``condition`` when it is wanted twice more."""
    count = 0
    ask = catalog.sql

    def counted(query: str, *arguments: object, **options: object) -> pa.Table:
        nonlocal count
        answer = ask(query, *arguments, **options)  # type: ignore[arg-type]
        count += condition in query
        return answer

    with monkeypatch.context() as patch:
        patch.setattr(catalog, "sql", counted)
        for _ in range(2):
            passing_mask(catalog, condition)
    return count


@pytest.mark.parametrize(
    "condition", ["label = 'waving'", "contains(path, '/1-')", "round(start_s) > 3 and lower(label) in ('diving')", "true"]
)
def test_the_last_answers_are_remembered(
    both: tuple[Segments, Catalog, Catalog], monkeypatch: pytest.MonkeyPatch, condition: str
) -> None:
    for catalog in both[1:]:
        passing_mask(catalog, condition)
        assert asked(catalog, monkeypatch, condition) == 0


@pytest.mark.parametrize(
    "condition",
    [
        "random() < 0.5",
        '"random"() < 0.5',
        "RANDOM() < 0.5",
        "modified_at < now()",
        "modified_at < current_timestamp",
        "modified_at::date < current_date",
        "modified_at::date < today()",
        "uuid()::varchar < '8'",
        "clip_id in (select clip_id from clips using sample 2)",
        "clip_id in (select clip_id from clips tablesample 50%)",
        "start_s < (select * from query('select ' || 'ran' || 'dom()')) * 100",
        "ago(interval 1 day) > modified_at",
        "start_s < coalesce(getvariable('a'), 3)",
    ],
)
def test_what_may_be_another_answer_is_asked_anew(
    both: tuple[Segments, Catalog, Catalog], monkeypatch: pytest.MonkeyPatch, condition: str
) -> None:
    passing_mask(both[1], condition)
    assert asked(both[1], monkeypatch, condition) == 2


def test_hits_of_another_search_are_another_condition(both: tuple[Segments, Catalog, Catalog]) -> None:
    segments, catalog, _ = both
    ids = passing_clips(catalog, "true")
    for some in (ids[:2], ids[2:5]):
        catalog.show_hits(pa.table({"clip_id": some}))
        found = passing_mask(catalog, "clip_id in (select clip_id from hits)")
        assert sorted(ids_of(segments, found)) == sorted(some.tolist())
    catalog.show_hits(None)


def test_random_rows_differ(tmp_path: Path) -> None:
    clips = tuple(MadeClip(n, float(n)) for n in range(1_000))
    catalog = Catalog(write_segments(tmp_path / "segments", ((MadeVideo("a", "/v/a.mp4", clips),),)))
    found = [passing_mask(catalog, "random() < 0.5").tolist() for _ in range(3)]
    assert found[0] != found[1] != found[2]
    catalog.close()


def test_what_is_remembered_is_bounded_and_goes_with_the_catalog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    catalog = Catalog(write_segments(tmp_path / "segments", random_segments(0)))
    first = passing_mask(catalog, "start_s >= 0")
    assert first.any()
    first[:] = False  # the caller's own copy
    for number in range(8):
        assert asked(catalog, monkeypatch, "start_s >= 0") == 0
        passing_mask(catalog, f"start_s > {number}")
    assert asked(catalog, monkeypatch, "start_s > 0") == 1  # nine conditions are one too many; the oldest is gone
    assert passing_mask(catalog, "start_s >= 0").any()
    monkeypatch.setattr(remembered, "_MOST_BYTES", 0)
    passing_mask(catalog, "start_s > 100")
    assert asked(catalog, monkeypatch, "start_s >= 0") == 2
    catalog.close()
    gone = weakref.ref(catalog)
    del catalog
    gc.collect()
    assert gone() is None
