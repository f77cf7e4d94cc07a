from __future__ import annotations

import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from index.snapshot.catalog_build import write_segment_catalog, write_videos
from index.sql.catalog import Catalog
from index.sql.catalog_files import CatalogFiles
from schemas.errors import LibraryError, QueryError
from schemas.models import Label
from schemas.records import ClipRow, Span, VideoFile, VideoInfo, VideoRow
from schemas.sql import FORMAT_1_TABLES
from schemas.tables import TAGS, clips_table, videos_table
from tests.helpers.format_1 import write_catalog
from tests.helpers.processes import Ended, in_forks

VECTOR = np.zeros(4, np.float32)
A = VideoInfo("a" * 16, VideoFile("/v/a.mp4", 10, 1_700_000_000_000_000_000), "h", "mp4", "h264", 64, 48, 0, 25.0, 8.0)
B = VideoInfo("b" * 16, VideoFile("/v/b.mp4", 20, 1_700_000_000_000_000_000))


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    """Two videos, one of which failed, and three clips, one of which has no video."""
    videos = [VideoRow(A, "indexed", 2), VideoRow(B, "failed", 0, "probe", "no video stream")]
    clips = [
        ClipRow(11, A.video_id, Span(4.0, 8.0), (Label("dancing", 0.5),), VECTOR),
        ClipRow(10, A.video_id, Span(0.0, 4.0), (Label("running", 0.75), Label("jumping", 0.125)), VECTOR),
        ClipRow(12, "c" * 16, Span(0.0, 4.0), (Label("unseen", 1.0),), VECTOR),
    ]
    pq.write_table(videos_table(videos, ingested_at=datetime(2026, 1, 2, tzinfo=UTC)), tmp_path / "videos.parquet")
    pq.write_table(clips_table(clips, classifier="m@1", embedder="e@2"), tmp_path / "clips.parquet")
    return str(tmp_path / "videos.parquet"), str(tmp_path / "clips.parquet")


@pytest.fixture(params=["one file", "segments"])
def catalog(request: pytest.FixtureRequest, tmp_path: Path, files: tuple[str, str]) -> Iterator[Catalog]:
    if request.param == "one file":
        counts = write_catalog(tmp_path / "c.duckdb", [files[0]], [files[1]])
        assert counts == {"videos": 2, "clips": 2, "labels": 3, "tags": 0}
        opened = Catalog(tmp_path / "c.duckdb")
    else:
        opened = Catalog(segment_files(tmp_path, files))
    yield opened
    opened.close()


def segment_files(tmp_path: Path, files: tuple[str, str]) -> CatalogFiles:
    """The same videos and clips in one segment, in which one video's rows are dead."""
    clips = pq.read_table(files[1]).sort_by([("video_id", "ascending"), ("start_s", "ascending")])
    numbers = pa.array([0, 0, 1], pa.int32())
    counts = write_segment_catalog(tmp_path / "0.duckdb", clips.append_column("video", numbers).to_batches())
    assert counts == {"videos": 2, "clips": 3, "labels": 4}
    places = pa.table({"video_id": [A.video_id], "segment": pa.array([0], pa.int32()), "video": pa.array([0], pa.int32())})
    assert write_videos(tmp_path / "v.duckdb", [files[0]], places) == 2
    return CatalogFiles(tmp_path / "v.duckdb", [tmp_path / "0.duckdb"], [None])


def test_what_sql_sees(catalog: Catalog) -> None:
    columns = {
        "videos": "video_id path size_bytes modified_at content_hash container codec width height rotation_deg fps "
        "duration_s track tracks clip_count status error_stage error annotation_error ingested_at",
        "clips": "clip_id video_id path start_s end_s label label_score",
        "labels": "clip_id video_id path start_s end_s rank label score model",
        "tags": "clip_id video_id path start_s end_s tag score prompt model",
        "shots": "shot_id video_id path start_s end_s transition confidence picture",
        "speech": "video_id path start_s end_s text language source confidence words",
        "screen_text": "video_id path start_s end_s text box confidence",
        "annotations": "video_id path annotator version status error num_rows wall_s annotated_at",
        "duplicates": "video_id path start_s end_s other_video_id other_path other_start_s other_end_s speed mirrored "
        "confidence group_id",
    }
    if catalog.segments is None:  # format 1
        columns = {table.name: columns[table.name].replace(" annotation_error", "") for table in FORMAT_1_TABLES}
    assert catalog.sql("show tables")["name"].to_pylist() == sorted(columns)
    for table, names in columns.items():
        assert catalog.sql(f"select * from {table}").column_names == names.split()


def test_rows_are_joined_by_id_and_videos_without_a_row_are_invisible(catalog: Catalog) -> None:
    assert catalog.sql("select clip_id, path, start_s, end_s, label, label_score from clips").to_pylist() == [
        {"clip_id": 10, "path": "/v/a.mp4", "start_s": 0.0, "end_s": 4.0, "label": "running", "label_score": 0.75},
        {"clip_id": 11, "path": "/v/a.mp4", "start_s": 4.0, "end_s": 8.0, "label": "dancing", "label_score": 0.5},
    ]
    assert catalog.sql("select clip_id, rank, label, score, model from labels order by clip_id, rank").to_pylist() == [
        {"clip_id": 10, "rank": 1, "label": "running", "score": 0.75, "model": "m@1"},
        {"clip_id": 10, "rank": 2, "label": "jumping", "score": 0.125, "model": "m@1"},
        {"clip_id": 11, "rank": 1, "label": "dancing", "score": 0.5, "model": "m@1"},
    ]
    failed = catalog.sql("select path, status, error_stage, error, duration_s from videos where status = 'failed'")
    assert failed.to_pylist() == [
        {"path": "/v/b.mp4", "status": "failed", "error_stage": "probe", "error": "no video stream", "duration_s": None}
    ]


def test_tags_are_joined_with_the_clips_that_are_there(tmp_path: Path, files: tuple[str, str]) -> None:
    rows = [
        {"clip_id": clip_id, "video_id": video_id, "tag": tag, "score": score, "prompt": None, "model": "e@2 + probe"}
        for clip_id, video_id, tag, score in (
            (11, A.video_id, "my action", 0.25),
            (10, A.video_id, "my action", 0.75),
            (12, "c" * 16, "my action", 1.0),  # its video has no row
            (10, "c" * 16, "my action", 1.0),  # another video's
            (10, A.video_id, "another", 0.5),
        )
    ]
    pq.write_table(pa.Table.from_pylist(rows, schema=TAGS), tmp_path / "tags.parquet")
    counts = write_catalog(tmp_path / "c.duckdb", [files[0]], [files[1]], [str(tmp_path / "tags.parquet")])
    assert counts["tags"] == 3
    catalog = Catalog(tmp_path / "c.duckdb")
    assert catalog.sql("select clip_id, path, start_s, end_s, tag, score, prompt, model from tags").to_pylist() == [
        {"clip_id": 10, "path": "/v/a.mp4", "start_s": 0.0, "end_s": 4.0, "tag": "another", "score": 0.5,
         "prompt": None, "model": "e@2 + probe"},
        {"clip_id": 10, "path": "/v/a.mp4", "start_s": 0.0, "end_s": 4.0, "tag": "my action", "score": 0.75,
         "prompt": None, "model": "e@2 + probe"},
        {"clip_id": 11, "path": "/v/a.mp4", "start_s": 4.0, "end_s": 8.0, "tag": "my action", "score": 0.25,
         "prompt": None, "model": "e@2 + probe"},
    ]  # fmt: skip
    catalog.close()


def test_a_library_without_clips_has_its_tables(tmp_path: Path) -> None:
    counts = write_catalog(tmp_path / "c.duckdb", [], [])
    assert counts == {"videos": 0, "clips": 0, "labels": 0, "tags": 0}
    assert Catalog(tmp_path / "c.duckdb").sql("select * from labels").num_rows == 0


@pytest.mark.parametrize(
    "query",
    [
        "create table t as select 1",
        "insert into clips select * from clips",
        "delete from clips",
        "drop table clips",
        "update videos set path = ''",
        "copy clips to 'out.csv'",
        "attach 'other.duckdb'",
        "set threads = 1",
        "pragma database_list",
        "install httpfs",
        "load httpfs",
        "call pragma_version()",
        "export database 'out'",
        "begin",
        "select 1; drop table clips",
        "import database 'out'",
        "copy (select 1) to '/dev/stdout'",
        "copy clips from '/etc/passwd'",
        "force install httpfs",
        "detach c",
        "use memory",
        "set variable a = 1",
        "reset memory_limit",
        "create secret (type s3)",
        "create temp table t as select 1",
        "create macro f(a) as a",
        "comment on table clips is 'x'",
        "merge into clips using clips c2 on false when not matched then insert values (1)",
        "prepare p as select 1",
        "vacuum",
        "checkpoint",
    ],
)
def test_nothing_but_reading(catalog: Catalog, query: str) -> None:
    with pytest.raises(QueryError, match=r"^QUERY: got .* expected (one|reading)"):
        catalog.sql(query)


@pytest.mark.parametrize(
    "query",
    [
        "select * from '{file}'",
        "select * from read_parquet('{file}')",
        "select * from read_csv('/etc/passwd')",
        "select * from read_text('/etc/hostname')",
        "select * from glob('/*')",
        "select * from 'https://example.com/a.parquet'",
        "select * from sniff_csv('/etc/passwd')",
        "select * from python_variable",
        "select getenv('HOME')",
        "explain analyze select * from read_csv('/etc/passwd')",
        "from read_blob('/etc/hostname')",
        "from read_json('/etc/hostname')",
        "from parquet_metadata('{file}')",
        "from parquet_kv_metadata('{file}')",
        "from read_duckdb('{other}')",
        "from '{other}'",
        "from 'file:{file}'",
        "from '/dev/stdin'",
        "from 's3://bucket/a.parquet'",
        "from query('from read_csv(''/etc/passwd'')')",
        "from json_execute_serialized_sql(json_serialize_sql('from read_text(''/etc/hostname'')'))",
        "from sqlite_scan('/etc/passwd', 't')",
        "from duckdb_secrets()",
        "from duckdb_extensions()",
        "from arrow_scan(1, 2, 3)",
        "from pandas_scan(1)",
        "from python_map_function((select 1))",
        "from enable_logging()",
        "from force_checkpoint()",
        "with t as (insert into clips select * from clips returning *) from t",
    ],
)
def test_nothing_outside_the_catalog_can_be_reached(catalog: Catalog, files: tuple[str, str], query: str) -> None:
    python_variable = catalog.sql("select 1")  # DuckDB would find a variable of this name, were it let to
    assert python_variable.num_rows == 1
    other = Path(files[0]).with_name("other.duckdb")
    with duckdb.connect(str(other)) as made:
        made.execute("create table secret as select 42 as a")
    before = sorted(other.parent.iterdir())
    with pytest.raises(QueryError, match=r"^QUERY: .*(disabled|does not exist|Error)"):
        catalog.sql(query.format(file=files[0], other=other))
    assert sorted(other.parent.iterdir()) == before


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("selct 1", 'QUERY: Parser Error: syntax error at or near "selct"; the tables are videos, clips, labels, tags, '),
        ("select nope from clips", 'Referenced column "nope" not found'),
        ("select * from movies", "Table with name movies does not exist"),
        ("select 1/'x'", "Conversion Error"),
    ],
)
def test_a_malformed_query_is_one_line(catalog: Catalog, query: str, message: str) -> None:
    with pytest.raises(QueryError) as error:
        catalog.sql(query)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "query", ["from clips", "with c as (from clips) select count(*) from c", "describe clips", "show tables"]
)
def test_ways_of_reading(catalog: Catalog, query: str) -> None:
    assert catalog.sql(query).num_rows > 0


def test_no_query_says_what_one_looks_like(catalog: Catalog) -> None:
    with pytest.raises(QueryError, match=r"^QUERY: got no statement; give one, such as: select"):
        catalog.sql("  -- nothing")


def test_a_file_that_is_no_catalog_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "c.duckdb").write_bytes(b"no database" * 1000)
    with pytest.raises(LibraryError, match="cannot be read as a catalog; run the ingest again"):
        Catalog(tmp_path / "c.duckdb")


def test_a_query_that_takes_too_long_or_too_much_is_ended(tmp_path: Path) -> None:
    write_catalog(tmp_path / "c.duckdb", [], [])
    catalog = Catalog(tmp_path / "c.duckdb", memory_mb=64)
    with pytest.raises(QueryError, match=r"^QUERY: ran longer than 0.2 s and was ended; narrow it, or raise --timeout$"):
        catalog.sql("select sum(a.range * b.range) from range(1000000) a, range(1000000) b", timeout_s=0.2)
    with pytest.raises(QueryError, match=r"^QUERY: takes more memory than allowed; narrow it, or raise --memory"):
        catalog.sql("select list(range) from range(100000000)", timeout_s=60.0)
    assert catalog.sql("select 1 as one").to_pylist() == [{"one": 1}]


# Too deep for a parser, or for what follows it: Python that makes the query.
DEEP = (
    "'select ' + '(' * 100_000 + '1' + ')' * 100_000",
    "'select ' + '(' * 400 + '1' + ')' * 400 + '+1' * 100_000",
    "'select ' + 'not ' * 70_000 + 'true'",
    "'select 1' + '::int' * 50_000",
    "'from ' + '(' * 140_000 + 'clips' + ')' * 140_000",
    "'from ' + '(' * 501 + 'clips' + ')' * 501",
    "'select 1 from ' + ' cross join '.join(['(select 1)'] * 13_000)",
    "'with t as (select 1) from ' + 't,' * 140_000 + 't'",
    "'select * from clips where ' + 'clip_id in (select clip_id from clips where ' * 499 + 'true' + ')' * 499",
    "'select null::' + 'struct(a ' * 25_000 + 'int' + ')' * 25_000",
    "'with t as (' * 20_000",
)


@pytest.fixture(scope="module")
def asked_deeply(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Ended]:
    """What becomes of a process that asks each of `DEEP`."""
    folder = tmp_path_factory.mktemp("deep")
    write_catalog(folder / "c.duckdb", [], [])
    setup = "import pathlib; from index.sql.catalog import Catalog; from schemas.errors import QueryError\n"
    program = (
        "try:\n"
        f"    Catalog(pathlib.Path({str(folder / 'c.duckdb')!r})).sql({{}})\n"
        "except QueryError as exc:\n"
        "    print(str(exc)[:80])\n"
    )
    return in_forks(folder, setup, {query: program.format(query) for query in DEEP})


@pytest.mark.parametrize("query", DEEP)
def test_deep_queries_are_errors_and_crash_nothing(asked_deeply: dict[str, Ended], query: str) -> None:
    done = asked_deeply[query]
    assert (done.code, done.stderr) == (0, "")
    wanted = r"QUERY: (got \d+ (brackets within|characters, allowed)|(Parser|Binder) Error: Max expression d)"
    assert re.match(wanted, done.stdout)


def test_a_query_without_end_is_ended(catalog: Catalog) -> None:
    for query in (
        "with recursive t as (select 1 as x union all select x + 1 from t) select count(*) from t",
        "with recursive t as (select 1 as x union all select x + 1 from t) from t",
        "select range, sleep_ms(10) from range(1000000)",
    ):
        with pytest.raises(QueryError, match=r"^QUERY: ran longer than 0.3 s and was ended"):
            catalog.sql(query, timeout_s=0.3)


def test_a_function_that_cannot_be_ended_costs_no_later_query(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("index.sql.interruptible._GRACE_S", 0.2)
    catalog.show_hits(pa.table({"rank": [1, 2]}))
    began_s = time.monotonic()
    with pytest.raises(QueryError, match=r"^QUERY: ran longer than 0.1 s, and could not be ended; narrow it"):
        catalog.sql("select levenshtein(repeat('a', 30000), repeat('b', 30000))", timeout_s=0.1)
    assert time.monotonic() - began_s < 2
    assert catalog.sql("select count(*) as n from hits").to_pylist() == [{"n": 2}]


def test_a_result_is_held_to_the_limit_of_memory(tmp_path: Path) -> None:
    write_catalog(tmp_path / "c.duckdb", [], [])
    catalog = Catalog(tmp_path / "c.duckdb", memory_mb=64)
    with pytest.raises(QueryError, match=r"^QUERY: its result takes more memory than allowed; narrow it, or raise"):
        catalog.sql("from range(3000000000)")
    with pytest.raises(QueryError, match=r"^QUERY: Conversion Error: Could not convert string 'x' to INT32; the tables"):
        catalog.sql("select cast(case when range = 500000 then 'x' else '1' end as int) from range(1000000)")
    assert catalog.sql("from range(1000000)")["range"].to_pylist() == list(range(1000000))
