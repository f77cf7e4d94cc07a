"""The command line as its users run it: exit codes, what is printed where, one line per error."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import subprocess
import sys
from contextlib import chdir
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from cli import main
from tests.helpers.videos import write_video

pytestmark = pytest.mark.slow

VIDSIFT = [sys.executable, "-m", "cli"]

# What an ingest prints every 30 seconds where it is no terminal: a slow machine may take as long.
PROGRESS = re.compile(r"\d+/\d+ videos · .* s of video per second( · about [\d:]+ left)?")


class Said(NamedTuple):
    """What a command printed."""

    stdout: str
    stderr: str


def run(*arguments: str | Path, expect: int = 0, cwd: Path | None = None) -> Said:
    """What the command says, run in this process."""
    with chdir(cwd or Path.cwd()):
        done = CliRunner().invoke(main, [*map(str, arguments)])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    assert done.exit_code == expect, done.stderr
    return Said(done.stdout, done.stderr)


def run_process(*arguments: str | Path, expect: int = 0, cwd: Path | None = None) -> Said:
    """What the command says in a process of its own."""
    environment = os.environ | {"HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [*VIDSIFT, *map(str, arguments)], capture_output=True, text=True, env=environment, cwd=cwd, check=False
    )
    assert done.returncode == expect, done.stderr
    return Said(done.stdout, done.stderr)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory, classifier_folder: Path, embedder_folder: Path) -> Path:
    """A library of two videos and a broken one, made by the command itself."""
    folder = tmp_path_factory.mktemp("cli")
    (folder / "videos").mkdir()
    write_video(folder / "videos" / "a.mp4", 250)
    write_video(folder / "videos" / "b.avi", 30, codec="mpeg4")
    (folder / "videos" / "text.mp4").write_text("this is no video\n")
    done = run_process("ingest", folder / "videos", "--library", folder / "library", "--json",
               "--classifier", classifier_folder, "--embedder", embedder_folder)  # fmt: skip
    assert not [line for line in done.stderr.splitlines() if not PROGRESS.fullmatch(line)]
    (line,) = done.stdout.splitlines()
    report = json.loads(line)
    assert report.pop("wall_seconds") > 0
    assert report.pop("bottleneck") in ("decode", "annotate")
    bill = report.pop("run")
    assert [(one["stage"], one["count"]) for one in bill["stages"] if one["stage"] != "commit"] == [
        ("find", 3), ("start", 0), ("load models", 0), ("plan", 3), ("decode", 4), ("annotate", 4), ("write", 4),
        ("publish", 4),
    ]  # fmt: skip
    assert bill["shape"]["decoders"] >= 1
    assert bill["first_clip_s"] > bill["first_frame_s"] > 0
    assert bill["bound_by"] in ("start", "decode", "annotate")
    assert report == {
        "found": 3, "indexed": 2, "partial": 0, "failed": 1, "unchanged": 0, "moved": 0, "removed": 0, "clips": 4,
        "video_seconds": 11.2, "passed_over": {}, "left_out": [], "several_tracks": 0,
    }  # fmt: skip
    return folder / "library"


def test_a_second_ingest_says_in_a_moment_that_nothing_changed(library: Path) -> None:
    report = json.loads(run("ingest", library.parent / "videos", "--library", library, "--json").stdout)
    assert (report["found"], report["unchanged"], report["clips"]) == (3, 3, 0)
    assert report["wall_seconds"] < 3
    text = run("ingest", library.parent / "videos", "--library", library).stdout
    assert text == "3 videos found: 0 indexed, 0 partial, 0 failed, 3 unchanged, 0 moved, 0 removed\n"


def test_search_prints_hits_for_people_and_for_programs(library: Path) -> None:
    done = run("search", "people baking a cake", "--library", library, "--by", "clip", "-k", "3", "--json")
    hits = [json.loads(line) for line in done.stdout.splitlines()]
    assert [hit["rank"] for hit in hits] == [1, 2, 3]
    assert list(hits[0]) == [
        "rank", "score", "path", "video_id", "clip_id", "start_s", "end_s", "label", "label_score", "confidence",
        "best_start_s", "best_end_s", "windows", "labels", "moments", "parts", "track", "reasons",
    ]  # fmt: skip
    durations = {"a.mp4": 10.0, "b.avi": 1.2}
    for hit in hits:
        assert 0 <= hit["start_s"] < hit["end_s"] <= durations[Path(hit["path"]).name]
        assert -1 <= hit["score"] <= 1
        assert 0 <= hit["confidence"] <= 1
    assert [hit["score"] for hit in hits] == sorted((hit["score"] for hit in hits), reverse=True)
    command = ("search", "people baking a cake", "--library", library, "--by", "clip", "-k", "3")
    lines = run_process(*command, cwd=library.parent).stdout.splitlines()
    assert lines[0].split() == ["rank", "score", "confidence", "time", "labels", "windows", "path"]
    assert len(lines) == 5
    first = lines[2].split()
    assert first[:3] == ["1", f"{hits[0]['score']:.3f}", f"{hits[0]['confidence']:.2f}"]
    assert first[-1] == f"videos/{Path(hits[0]['path']).name}"


def test_a_search_with_everything(library: Path) -> None:
    """Texts, what is not wanted, what follows, a condition and examples, each through the command line."""
    moment = library.parent / "videos" / "a.mp4"
    for options in (
        ["cake", "kitchen", "--not", "a dog", "--by", "video"],
        ["cake", "--then", "applause", "--within", "10"],
        ["--like", f"{moment}@1-3", "--rerank", "0"],
        ["cake", "--where", "duration_s > 5", "--all"],
    ):
        done = run("search", *options, "--library", library, "--json")
        best = json.loads(done.stdout.splitlines()[0])
        assert (best["rank"], len(best["parts"])) == (1, 2 * ("--then" in options))
    assert best["path"] == str(moment)  # the other video is shorter than 5 s
    like = run("search", "--like", str(best["clip_id"]), "--library", library, "--json", "-k", "1").stdout
    assert json.loads(like)["score"] == pytest.approx(1.0, abs=1e-6)
    nothing = run("search", "cake", "--where", "duration_s > 1e6", "--library", library).stdout
    assert nothing == "no clip meets --where, of 4\n"


QUERY = "select path, count(*) as n, min(start_s) as first_s from clips group by path order by path"


def test_sql_in_every_format(library: Path, tmp_path: Path) -> None:
    videos = library.parent / "videos"
    expected: list[dict[str, Any]] = [
        {"path": str(videos / "a.mp4"), "n": 3, "first_s": 0.0},
        {"path": str(videos / "b.avi"), "n": 1, "first_s": 0.0},
    ]
    lines = run("sql", QUERY, "--library", library, "--format", "json").stdout.splitlines()
    assert [json.loads(line) for line in lines] == expected
    rows = list(csv.DictReader(io.StringIO(run("sql", QUERY, "--library", library, "--format", "csv").stdout)))
    assert rows == [{key: str(value) for key, value in row.items()} for row in expected]
    run("sql", QUERY, "--library", library, "--format", "parquet", "--output", tmp_path / "out.parquet")
    assert pq.read_table(tmp_path / "out.parquet").to_pylist() == expected
    width = len(str(videos / "a.mp4"))
    assert run("sql", QUERY, "--library", library).stdout.splitlines() == [
        f"{'path':<{width}}  n  first_s",
        f"{'-' * width}  -  -------",
        f"{videos / 'a.mp4'}  3  0",
        f"{videos / 'b.avi'}  1  0",
        "(2 rows)",
    ]


def test_parquet_goes_through_a_pipe(library: Path) -> None:
    done = subprocess.run(
        [*VIDSIFT, "sql", QUERY, "--library", str(library), "--format", "parquet"], capture_output=True, check=True
    )
    assert pq.read_table(io.BytesIO(done.stdout)).num_rows == 2


@pytest.mark.parametrize(
    ("query", "form", "printed"),
    [
        ("select 1 as a, 2 as a", "json", '{"a": 1, "a_1": 2}\n'),
        ("select 1 as a, 2 as a", "csv", "a,a_1\n1,2\n"),
        ("select date '20000-01-01' as d", "csv", "d\n20000-01-01\n"),
        ("select 'nan'::double as a, 'infinity'::float as b, null as c", "json", '{"a": null, "b": null, "c": null}\n'),
        ("select '\\xAA\\x01'::blob as b", "json", '{"b": "aa01"}\n'),
        ("select interval 90 second as i", "json", '{"i": "0 months 0 days 90 s"}\n'),
        ("select {'a': [1, 2], 'b': date '2026-01-02'} as s", "json", '{"s": {"a": [1, 2], "b": "2026-01-02"}}\n'),
        ("select 'ü\n🎂' as t", "table", "t\n----\nü\\n🎂\n(1 row)\n"),
        ("select 1 as a where false", "table", "a\n-\n(0 rows)\n"),
    ],
)
def test_any_type_prints(library: Path, query: str, form: str, printed: str) -> None:
    assert run("sql", query, "--library", library, "--format", form).stdout == printed


def test_a_reader_that_has_seen_enough_ends_it_quietly(library: Path) -> None:
    command = f"{sys.executable} -m cli sql 'from range(200000)' --library {library} --format csv | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("range\n", "")


def test_sql_joins_labels_with_videos(library: Path) -> None:
    query = (
        "select v.codec, l.rank, count(*) as n from labels l join videos v using (video_id) "
        "group by all order by codec, rank limit 2"
    )
    lines = run("sql", query, "--library", library, "--format", "json").stdout.splitlines()
    assert [json.loads(line) for line in lines] == [
        {"codec": "h264", "rank": 1, "n": 3},
        {"codec": "h264", "rank": 2, "n": 3},
    ]


def test_status_tells_what_is_there_and_what_is_not(library: Path, classifier_folder: Path) -> None:
    status = json.loads(run("status", "--library", library, "--json").stdout)
    assert status["videos"] == {"indexed": 2, "partial": 0, "failed": 1}
    assert (status["clips"], status["window_s"], status["snapshot"]) == (4, 4.0, 1)
    assert status["hours"] == pytest.approx(11.2 / 3600)
    assert status["classifier"] == str(classifier_folder)
    text = run("status", "--library", library).stdout
    assert "videos      3: 2 indexed, 0 partial, 1 failed\n" in text
    reason = "no video container that FFmpeg can read: Invalid data found when processing input"
    assert text.endswith(f"  failed (probe): {library.parent / 'videos' / 'text.mp4'}: {reason}\n")


def test_reading_does_not_wait_for_an_ingest_that_is_running(library: Path) -> None:
    import fcntl

    with (library / "ingest.lock").open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert run("sql", "select 1 as one", "--library", library, "--format", "csv").stdout == "one\n1\n"
        done = run_process("ingest", library.parent / "videos", "--library", library, expect=1)
    assert done.stderr.startswith(f"vidsift: --library: {str(library)!r} is being written by another ingest")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["search", "cake", "--library", "nowhere"], 1, "vidsift: --library: 'nowhere' is not a vidsift library"),
        (["sql", "select 1", "--library", "nowhere"], 1, "vidsift: --library: 'nowhere' is not a vidsift library"),
        (["status", "--library", "nowhere"], 1, "vidsift: --library: 'nowhere' is not a vidsift library"),
        (["search", "  ", "--library", "LIBRARY"], 2, "vidsift: TEXT: got nothing but blanks"),
        (["search", "cake", "--library", "LIBRARY", "-k", "0"], 2, "vidsift: -k: got 0, expected 1 or more"),
        (["search", "--library", "LIBRARY"], 2, "vidsift: TEXT: got none; say what to look for"),
        (["search", "cake", "--library", "LIBRARY", "--within", "3"], 2, "vidsift: --within: got 3 s without --then"),
        (["search", "cake", "--library", "LIBRARY", "--where", "x = 1"], 2, "vidsift: --where: Binder Error: "),
        (["search", "--like", "no.mp4", "--library", "LIBRARY"], 2, "vidsift: --like: no such file: 'no.mp4'"),
        (["search", "cake", "--library", "LIBRARY", "--rerank", "-1"], 2, "vidsift: --rerank: got -1, expected 0 or more"),
        (["sql", "selct 1", "--library", "LIBRARY"], 2, 'vidsift: QUERY: Parser Error: syntax error at or near "selct"'),
        (["sql", "select \udce9", "--library", "LIBRARY"], 2, "vidsift: QUERY: got bytes that are no UTF-8"),
        (["search", "caf\udce9", "--library", "LIBRARY"], 2, "vidsift: TEXT: got bytes that are no UTF-8"),
        (["status", "--library", "x" * 300], 1, "vidsift: --library: "),
        (["sql", "select interval 1 day", "--library", "LIBRARY", "--format", "parquet"], 2, "vidsift: --format parquet: "),
        (
            ["sql", "select 1", "--library", "LIBRARY", "--output", "no/such/folder"],
            2,
            "vidsift: --output: 'no/such/folder' cannot",
        ),
        (["ingest", ".", "--library", "new", "--classifier", "a--b/c..d"], 1, "vidsift: --classifier a--b/c..d: "),
        (
            ["ingest", ".", "--library", "new", "--video-timeout", "nan"],
            2,
            "vidsift: --video-timeout: got nan, expected 1",
        ),
        (["sql", "drop table clips", "--library", "LIBRARY"], 2, "vidsift: QUERY: got a statement of type DROP"),
        (["ingest", "nowhere", "--library", "LIBRARY"], 2, "vidsift: SOURCE: no such file or folder: 'nowhere'"),
        (
            ["ingest", ".", "--library", "new"],
            1,
            "vidsift: --classifier MCG-NJU/videomae-base-finetuned-kinetics: the model hub",
        ),
        (["ingest", ".", "--library", "new", "--decoder", "vlc"], 2, "vidsift: --decoder: got 'vlc', expected"),
        (["ingest", ".", "--library", "new", "--window", "-1"], 2, "vidsift: --window: got -1 s, expected 0.1 to 3600 s"),
        (["ingest", ".", "--library", "LIBRARY", "--window", "2"], 1, "vidsift: --library: --window is 2 here and 4 in the"),
    ],
)
def test_errors_are_one_line_with_their_exit_code(
    library: Path, tmp_path: Path, arguments: list[str], code: int, message: str
) -> None:
    done = run(*(str(library) if argument == "LIBRARY" else argument for argument in arguments), expect=code, cwd=tmp_path)
    assert done.stdout == ""
    assert done.stderr.startswith(message)
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    "arguments", [["ingest"], ["search"], ["sql"], ["frobnicate"], ["search", "cake"], ["ingest", "--no"]]
)
def test_calls_that_are_off_exit_with_2(arguments: list[str]) -> None:
    assert "Error: " in run(*arguments, expect=2).stderr


def test_evaluate_prints_and_keeps_what_it_measures(library: Path, tmp_path: Path) -> None:
    label = json.loads(run("sql", "select label from clips limit 1", "--library", library, "--format", "json").stdout)[
        "label"
    ]
    truth = tmp_path / "truth.csv"
    rows = ("a.mp4,0,4,people baking a cake", "a.mp4,4,8,a dog", "b.avi,,,a cat", "gone.mp4,0,1,a bird")
    lines = [f"{library.parent / 'videos'}/{row},{label}" for row in rows]
    truth.write_text("\n".join(["path,start_s,end_s,caption,action", *lines]) + "\n")
    done = run_process("evaluate", truth, "--library", library, "--output", tmp_path / "out", "--json")
    found = json.loads(done.stdout)
    assert (found["rows"], found["judged"], found["clips"]) == (4, 3, 4)
    assert found["unjudged"] == [
        {"path": f"{library.parent / 'videos'}/gone.mp4", "rows": 1, "reason": "not in the library"}
    ]
    assert (found["index_recall_at_10"], found["index_queries"]) == (1.0, 4)
    assert [row["score"] for row in found["retrieval"]] == ["plain", "rerank"][: 1 + bool(found["rerank"])]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["confusion.png", "results.json", "results.md"]
    assert f"evaluate {truth}" in json.loads((tmp_path / "out" / "results.json").read_text())["command"]
    done = run("evaluate", truth, "--library", library, "--output", tmp_path / "out", expect=2)
    assert "is not empty, and nothing is overwritten" in done.stderr


def test_evaluate_measures_on_a_published_benchmark(library: Path, tmp_path: Path) -> None:
    windows = {"qid": 7, "query": "people baking a cake", "duration": 10, "relevant_windows": [[0, 10]]}
    source = tmp_path / "val.jsonl"
    source.write_text("".join(json.dumps(windows | {"qid": n, "vid": vid}) + "\n" for n, vid in ((7, "a"), (8, "text"))))
    arguments: list[str | Path] = ["evaluate", "--library", library, "--benchmark", "qvhighlights", "--annotations", source]
    arguments += ["--videos", library.parent / "videos"]
    found = json.loads(run(*arguments, "--output", tmp_path / "out", "--json").stdout)
    assert (found["queries"], found["asked"], found["missing"]) == (2, 1, 1)
    (left_out,) = found["left_out"]
    assert (left_out["path"], left_out["rows"]) == ("text", 1)
    assert left_out["reason"].startswith("in the library, but without clips: no video container that FFmpeg can read")
    assert [row["score"] for row in found["rows"]] == ["plain", "rerank"][: 1 + bool(found["rerank"])]
    assert "mAP 0.75" in found["rows"][0]["metrics"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["predictions.jsonl", "results.json", "results.md"]
    (line,) = (tmp_path / "out" / "predictions.jsonl").read_text().splitlines()
    assert json.loads(line)["qid"] == 7
    assert "on qvhighlights" in run(*arguments, "--rerank", "0").stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "got neither TRUTH.csv nor --benchmark, expected one of them"),
        (("truth.csv", "--benchmark", "tvr"), "--benchmark: got both TRUTH.csv and --benchmark, expected one of them"),
        (("truth.csv", "--videos", "v"), "--videos: got it without --benchmark; add --benchmark, or leave it out"),
        (("truth.csv", "--split", "val"), "--split: got it without --benchmark; add --benchmark, or leave it out"),
        (("--benchmark", "tvr", "--videos", "v"), "--annotations: got none with --benchmark tvr, expected one"),
        (("--benchmark", "tvr", "--annotations", "a"), "--videos: got none with --benchmark tvr, expected one"),
    ],
)
def test_evaluate_takes_a_truth_or_a_benchmark(arguments: tuple[str, ...], message: str, tmp_path: Path) -> None:
    done = run("evaluate", "--library", tmp_path, *arguments, "--output", tmp_path / "out", expect=2)
    assert done.stderr == f"vidsift: {message}\n"
    assert not (tmp_path / "out").exists()


def test_what_search_finds_is_exported(library: Path, tmp_path: Path) -> None:
    done = run("search", "people baking a cake", "--library", library, "--all", "--by", "clip", "-k", "2", "--json")
    (tmp_path / "hits.jsonl").write_text(done.stdout)
    done = run("export", tmp_path / "hits.jsonl", "--to", tmp_path / "out", "--format", "files", "--format", "webvtt")
    assert done.stdout.startswith("2 moments: ")
    assert len(list((tmp_path / "out").glob("00?-*.mp4"))) == 2
    assert len(list((tmp_path / "out").glob("*.vtt"))) in (1, 2)


def test_the_process_ends_by_its_exit_functions_without_unloading_modules() -> None:
    """While modules are unloaded, a thread of Arrow that lets go of an object of Python aborts the process."""
    code = """
import atexit, sys
import cli
class Loaded:
    def __del__(self): print("unloaded", flush=True)
sys.modules["loaded"] = Loaded()
atexit.register(print, "exit functions ran")
sys.argv = ["vidsift", "--version"]
cli.run()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[1:] == ["exit functions ran"]
