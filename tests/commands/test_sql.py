"""SQL that sees a search, and statements that come through a pipe: in this process, through the command."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from click.testing import CliRunner, Result

from cli import main
from index.search.hits import hits_options, hits_table, open_catalog
from index.search.searcher import search
from index.sql.catalog import Catalog
from schemas.errors import QueryError
from schemas.models import Checkpoint
from schemas.sql import HITS, TABLES
from tests.helpers.format_1 import write_catalog
from tests.helpers.processes import Ended, in_forks
from tests.helpers.searchable import write_searchable

CAKE = "people baking a cake"


@pytest.fixture(scope="module")
def library(
    tmp_path_factory: pytest.TempPathFactory, classifier_checkpoint: Checkpoint, embedder_checkpoint: Checkpoint
) -> Path:
    return write_searchable(tmp_path_factory.mktemp("sql") / "library", classifier_checkpoint, embedder_checkpoint)


def run(library: Path, *arguments: str, stdin: str | bytes = "") -> Result:
    return CliRunner().invoke(main, ["sql", "--library", str(library), *arguments], input=stdin)


def rows(result: Result) -> list[dict[str, Any]]:
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_hits_are_what_a_search_finds_clip_by_clip(library: Path) -> None:
    found = search(library, hits_options([CAKE], ["a dog"], k=7, rerank=0)).moments
    assert [hit.rank for hit in found] == [1, 2, 3, 4, 5, 6, 7]
    expected = [{name: getattr(hit, name) for name in HITS.column_names} for hit in found]
    arguments = ("--search", CAKE, "--search-not", "a dog", "--search-k", "7", "--search-rerank", "0", "--format", "json")
    assert rows(run(library, "from hits order by rank", *arguments)) == expected
    assert all(0 <= row["confidence"] <= 1 and row["end_s"] - row["start_s"] == 4 for row in expected)


def test_hits_join_the_other_tables(library: Path) -> None:
    query = (
        "select h.path, h.start_s, h.score, l.label from hits h join labels l using (clip_id) where l.rank = 1 "
        "order by h.rank limit 3"
    )
    found = rows(run(library, query, "--search", CAKE, "--format", "json"))
    hits = search(library, hits_options([CAKE])).moments[:3]
    assert found == [{"path": h.path, "start_s": h.start_s, "score": h.score, "label": h.label} for h in hits]
    assert rows(run(library, "select count(*) as n from hits", "--search", CAKE, "--format", "json")) == [{"n": 40}]


def test_without_a_search_the_way_to_hits_is_told(library: Path) -> None:
    done = run(library, "select * from Hits")
    assert done.exit_code == 2
    assert done.stderr.endswith("; hits is what a search found, and none was asked for: add --search TEXT\n")
    assert rows(run(library, "with hits as (select 1 as one) from hits", "--format", "json")) == [{"one": 1}]
    done = run(library, "from hits", "--search-not", "a dog")
    assert (done.exit_code, done.stderr) == (
        2,
        "vidsift: --search-not: got no --search that it narrows; add --search TEXT\n",
    )


@pytest.mark.parametrize(
    "query",
    [
        "insert into hits select * from hits",
        "delete from hits",
        "drop table hits",
        "create or replace temp table hits as select 1 as one",
        "copy hits to 'out.csv'",
        "set threads = 1",
        "select * from hits; drop table hits",
    ],
)
def test_hits_can_only_be_read(library: Path, query: str) -> None:
    catalog = open_catalog(library, hits_options([CAKE]))
    with pytest.raises(QueryError, match=r"^QUERY: got .* expected (one|reading)"):
        catalog.sql(query)
    assert catalog.sql("select count(*) as n from hits").to_pylist() == [{"n": 40}]


@pytest.mark.parametrize(
    "query",
    [
        "from arriving_hits",
        "from table_of_arrow",
        "from read_csv('/etc/passwd')",
        "select h.path, t.* from hits h, read_text(h.path) t",
        "from read_parquet('{library}/clips.parquet')",
        "from arrow_scan(1, 2, 3)",
        "from python_arrow_scan()",
        "select getenv('HOME') from hits",
    ],
)
def test_hits_open_no_way_out_of_the_catalog(library: Path, query: str) -> None:
    table_of_arrow = pa.table({"a": [1]})  # DuckDB would find a variable of this name, were it let to
    assert table_of_arrow.num_rows == 1
    catalog = open_catalog(library, hits_options([CAKE]))
    views = catalog.sql("select view_name from duckdb_views() where not internal order by 1")
    assert views["view_name"].to_pylist() == sorted(table.name for table in TABLES)
    with pytest.raises(QueryError, match=r"^QUERY: .*(disabled|does not exist|Error)"):
        catalog.sql(query.format(library=library))


def test_hits_leave_the_published_catalog_as_it_is(library: Path) -> None:
    before = {path: path.read_bytes() for path in library.glob("s*/*/*")}
    assert {path.name for path in before} >= {"videos.duckdb", "clips.duckdb", "snapshot.json", "segment.json"}
    open_catalog(library, hits_options([CAKE])).close()
    assert {path: path.read_bytes() for path in library.glob("s*/*/*")} == before


def test_the_next_search_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    write_catalog(tmp_path / "c.duckdb", [], [])
    catalog = Catalog(tmp_path / "c.duckdb")
    for count in (2, 1):
        hits = hits_table([])
        catalog.show_hits(
            pa.concat_tables([hits, pa.table({"rank": pa.array(range(count), pa.int32())})], promote_options="default")
        )
        assert catalog.sql("select count(*) as n from hits").to_pylist() == [{"n": count}]
    catalog.show_hits(None)
    catalog.show_hits(None)
    with pytest.raises(QueryError, match=r"add --search TEXT$"):
        catalog.sql("from hits")


def test_statements_come_through_a_pipe(library: Path) -> None:
    script = "select 1 as a; -- first\nselect ';' as b;\n\nselect count(*) as n from clips\n"
    assert rows(run(library, "--format", "json", stdin=script)) == [{"a": 1}, {"b": ";"}, {"n": 40}]
    assert run(library, stdin="select 1 as a; select 2 as b").stdout == "a\n-\n1\n(1 row)\nb\n-\n2\n(1 row)\n"
    assert rows(run(library, "--format", "json", "--search", CAKE, stdin="select max(rank) as n from hits")) == [{"n": 40}]


def test_the_first_error_ends_a_pipe(library: Path) -> None:
    done = run(library, "--format", "json", stdin="select 1 as a; select nope from clips; select 3 as c;")
    assert (done.exit_code, done.stdout) == (2, '{"a": 1}\n')
    assert done.stderr.startswith('vidsift: statement 2: Binder Error: Referenced column "nope" not found')
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("stdin", "arguments", "message"),
    [
        ("", [], "QUERY: got none, and none on standard input; give one, such as: select"),
        (" ; -- nothing\n;", [], "QUERY: got none, and none on standard input; give one"),
        (b"select '\xff'", [], "standard input: got bytes that are no UTF-8, expected SQL in UTF-8\n"),
        ("select 1; select 2", ["--output", "new"], "--output: got 2 statements, expected one, since a file holds one"),
        ("select 1; select 2", ["--format", "parquet"], "--format parquet: got 2 statements, expected one, since"),
    ],
)
def test_what_no_pipe_can_give(library: Path, stdin: str | bytes, arguments: list[str], message: str) -> None:
    done = run(library, *arguments, stdin=stdin)
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith(f"vidsift: {message}")


def test_one_piped_statement_can_be_written_to_a_file(library: Path, tmp_path: Path) -> None:
    done = run(library, "--format", "csv", "--output", str(tmp_path / "out.csv"), stdin="select 1 as a;")
    assert (done.exit_code, done.stdout) == (0, "")
    assert (tmp_path / "out.csv").read_text() == "a\n1\n"


@pytest.mark.parametrize(("option", "value"), [("--search-k", "0"), ("--search-rerank", "-1")])
def test_numbers_that_are_off_exit_with_2(library: Path, option: str, value: str) -> None:
    assert run(library, "from hits", "--search", CAKE, option, value).exit_code == 2


def test_ctrl_c_ends_a_query_at_once(library: Path) -> None:
    program = (
        "import os, signal, threading, cli\n"
        "threading.Timer(1.5, os.kill, (os.getpid(), signal.SIGINT)).start()\n"
        f"cli.main(['sql', '--library', {str(library)!r}, "
        "'select sum(a.range * b.range) from range(10000000) a, range(10000000) b'])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=20, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "vidsift: interrupted\n")


READERS = {
    "sql": (["sql", "select count(*) as n from clips", "--format", "json"], '{"n": 40}\n'),
    "status": (["status"], "library     "),
    "schema": (["schema"], "videos (10 rows): "),
    "history": (["history"], "snapshot  published "),
}


@pytest.fixture(scope="module")
def read(library: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Ended]:
    """What each of `READERS` prints, and which of the large modules it has imported by then."""
    program = (
        "try: cli.main([*{arguments!r}, '--library', {library!r}])\n"
        "except SystemExit: pass\n"
        "print(sorted({{'ray', 'torch', 'transformers', 'av'}} & set(sys.modules)))"
    )
    runs = {name: program.format(arguments=given, library=str(library)) for name, (given, _) in READERS.items()}
    return in_forks(tmp_path_factory.mktemp("readers"), "import sys, cli", runs)


@pytest.mark.parametrize("name", READERS)
def test_commands_that_only_read_tables_load_no_models(read: dict[str, Ended], name: str) -> None:
    done = read[name]
    assert done.code == 0, done.stderr
    assert done.stdout.startswith(READERS[name][1])
    assert done.stdout.splitlines()[-1] == "[]"
