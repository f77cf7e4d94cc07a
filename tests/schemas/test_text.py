"""What comes from files and models is shown on a terminal and not obeyed by it, whichever command prints it."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

import pyarrow as pa
import pytest
from click.testing import CliRunner, Result

from cli import main
from index.sql.formats import write_table
from jobs.ingest.report import IngestReport, ingest_text
from schemas.models import Label
from schemas.records import VideoFile, VideoInfo, VideoRow
from schemas.text import columns_text, json_text, lines_text, printable
from tests.helpers.made_library import Made, WordEmbedder, background, embedder, make_library, word_tag
from tests.helpers.videos import write_video

__all__ = ["embedder"]

# Sets the window's title, turns the writing around, and goes on in a line of its own.
NASTY = "a\x1b]0;owned\x07\u202eb\nvidsift: c\x9b31m\x7f\u2028d"
SHOWN = r"a\x1b]0;owned\x07\u202eb\nvidsift: c\x9b31m\x7f\u2028d"
OBEYED = [chr(code) for code in (*range(0x20), *range(0x7F, 0xA0), *range(0x2028, 0x202F), *range(0x2066, 0x206A))]


def clean(text: str) -> bool:
    return not any(sign in text for sign in OBEYED if sign != "\n")


def test_what_a_terminal_obeys_is_spelled_out() -> None:
    assert printable(NASTY) == SHOWN
    assert printable(os.fsdecode(b"caf\xe9")) == r"caf\xe9"
    assert printable("\ud83c") == r"\ud83c"
    assert printable("tab\t, return\r") == r"tab\t, return\r"
    assert all(len(printable(sign)) > 1 for sign in OBEYED)
    for harmless in ("naïve café 🎂", "日本語", "עברית\u200f", "a\u00a0b", r"a\x1b"):
        assert printable(harmless) == harmless
    assert lines_text(["a", "b\nc"]) == "a\nb\\nc"


@pytest.mark.parametrize("ensure_ascii", [True, False])
def test_json_stays_the_same_value(ensure_ascii: bool) -> None:
    text = json_text({NASTY: [NASTY, "é\ud800"]}, ensure_ascii=ensure_ascii)
    assert clean(text)
    assert "\n" not in text
    assert json.loads(text) == {NASTY: [NASTY, "é\ud800"]}
    text.encode()


def test_a_row_is_a_line_as_wide_as_it_is_shown() -> None:
    assert columns_text(("path", "n"), [(NASTY, "1"), ("b", "2")]).splitlines() == [
        f"{'path':<{len(SHOWN)}}  n",
        f"{'-' * len(SHOWN)}  -",
        f"{SHOWN}  1",
        f"{'b':<{len(SHOWN)}}  2",
    ]


class _Terminal(io.TextIOWrapper):
    def isatty(self) -> bool:
        return True


def test_csv_is_the_data_itself_but_on_a_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    table = pa.table({"path\x1b": [NASTY, None], "n": [1.5, 2.0]})
    write_table(table, "csv", tmp_path / "out.csv")
    data = f'path\x1b,n\n"{NASTY}",1.5\n,2.0\n'.encode()
    assert (tmp_path / "out.csv").read_bytes() == data
    shown = io.BytesIO()
    monkeypatch.setattr("sys.stdout", _Terminal(shown))
    write_table(table, "csv", None)
    assert shown.getvalue().decode() == f"path\\x1b,n\n{SHOWN},1.5\n,2.0\n"
    write_table(table, "csv", tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_bytes() == data


def run(*arguments: str | Path) -> Result:
    done = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    assert clean(done.output)
    return done


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """A library in which a video, a label and a tag have such a name."""
    made = [Made(1, NASTY, 0.0, 4.0, {"red": 0.9}, (Label(NASTY, 0.5),)), *background(60)]
    return make_library(tmp_path / "library", made, tags=[word_tag(NASTY, {"red": 40.0}, -20.0)])


def test_no_command_that_asks_prints_it_raw(library: Path, embedder: WordEmbedder) -> None:
    row = f"/v/{SHOWN}.mp4"
    found = run("search", "red", "--library", library, "-k", "1")
    assert row in found.stdout
    assert SHOWN in found.stdout
    assert len(found.stdout.splitlines()) == 3
    assert json.loads(run("search", "red", "--library", library, "-k", "1", "--json").stdout)["path"] == f"/v/{NASTY}.mp4"
    query = 'select c.path, c.label, t.tag, 1 as "x\x1b" from clips c join tags t using (clip_id) where t.score > 0.5'
    assert run("sql", query, "--library", library).stdout.splitlines() == [
        f"{'path':<{len(row)}}  {'label':<{len(SHOWN)}}  {'tag':<{len(SHOWN)}}  x\\x1b",
        f"{'-' * len(row)}  {'-' * len(SHOWN)}  {'-' * len(SHOWN)}  -----",
        f"{row}  {SHOWN}  {SHOWN}  1",
        "(1 row)",
    ]
    line = json.loads(run("sql", query, "--library", library, "--format", "json").stdout)
    assert (line["path"], line["tag"], line["x\x1b"]) == (f"/v/{NASTY}.mp4", NASTY, 1)
    status = run("status", "--library", library)
    assert f"tags        1: {SHOWN} (1 clip, taught)" in status.stdout.splitlines()
    failing = run("sql", f"select error('{NASTY}')", "--library", library)
    assert failing.exit_code == 2
    assert failing.stderr.startswith(r"vidsift: QUERY: Invalid Input Error: a\x1b]0;owned\x07\u202eb")
    assert failing.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["search", "x", "--library", NASTY],
        ["search", "x", "--library", "LIBRARY", "--like", NASTY],
        ["search", "x", "--library", "LIBRARY", "--where", NASTY],
        ["sql", NASTY, "--library", "LIBRARY"],
        ["sql", "from clips", "--library", "LIBRARY", "--output", f"no/{NASTY}"],
        ["status", "--library", NASTY],
        ["verify", "--library", NASTY],
        ["history", "--library", NASTY],
        ["untag", f"other {NASTY}", "--library", "LIBRARY"],
        ["tag", NASTY, "--library", "LIBRARY"],
        ["teach", "--examples", NASTY, "--library", "LIBRARY"],
        ["evaluate", NASTY, "--library", "LIBRARY"],
        ["export", NASTY, "--to", "out"],
        ["ingest", NASTY, "--library", "new"],
        ["preview", NASTY, "--gif", "seen.gif", "--model", "pocket"],
        ["dataset", NASTY],
        ["evaluate-model", NASTY, NASTY],
        ["finetune", NASTY, "--base", NASTY, "--output", "new"],
        ["search", f"--{NASTY}"],
        [NASTY],
        ["status", NASTY],
        ["sql", "--format", NASTY],
        ["search", "-k", NASTY],
    ],
)
def test_no_error_prints_it_raw(
    library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    done = run(*(str(library) if argument == "LIBRARY" else argument for argument in arguments))
    assert done.exit_code in (1, 2)
    assert done.stderr.startswith("vidsift: ") or "\nError: " in done.stderr
    assert done.stderr.count("\n") == (1 if done.stderr.startswith("vidsift: ") else 4)


def test_no_command_about_files_prints_their_names_raw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "data" / NASTY
    folder.mkdir(parents=True)
    video = write_video(folder / f"{NASTY}.mp4", 30)
    (folder / "b.mp4").write_bytes(video.read_bytes()[:2000])
    looked = run("dataset", "data")
    assert looked.exit_code == 0
    assert f"damaged: data/{SHOWN}/b.mp4: " in looked.stdout.replace(f"{tmp_path}/", "")
    assert any(line.startswith(f"{SHOWN}  ") for line in looked.stdout.splitlines())
    assert run("preview", video, "--gif", f"{NASTY}.gif", "--model", "pocket").exit_code == 0
    hits = [{"path": str(video), "start_s": 0.0, "end_s": 1.0, "label": NASTY}, {"path": NASTY, "start_s": 0, "end_s": 1}]
    (tmp_path / "hits.jsonl").write_text("".join(json.dumps(hit) + "\n" for hit in hits))
    exported = run("export", "hits.jsonl", "--to", f"out{NASTY}")
    assert exported.exit_code == 1
    assert [line[:9] for line in exported.stdout.splitlines()] == ["2 moments", "  failed:", "outa\\x1b]"]


def test_an_ingest_names_what_failed_on_a_line_each() -> None:
    failed = VideoRow(VideoInfo("v", VideoFile(f"/v/{NASTY}", 1, 1)), "failed", 0, "probe", f"no codec {NASTY}")
    report = IngestReport(found=1)
    report.count([failed])
    assert ingest_text(report).splitlines()[1:] == [f"  failed: /v/{SHOWN}: no codec {SHOWN}"]
