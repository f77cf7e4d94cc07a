"""Moments on disk: what is written, what is left alone, and what happens to a source that is gone or damaged."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from jobs.export.export import ExportFormat, export
from jobs.export.moments import ExportTask, TaskResult, within, work_on
from jobs.export.moments_table import COLUMNS
from pipeline.probe import probe
from schemas.errors import UsageError
from schemas.records import Span
from tests.helpers.videos import decode_all, number_in, write_video, write_with_sound


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("films")
    write_video(folder / "long gop.mp4", 250, options={"g": "250"})
    write_with_sound(folder / "sound.mp4", 4, options={"g": "25"})
    (folder / "text.mp4").write_text("this is no video\n")
    os.mkfifo(folder / "pipe.mp4")
    return folder


def hits(folder: Path, *lines: dict[str, Any]) -> str:
    path = folder / "hits.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(path)


def table(folder: Path) -> list[dict[str, str]]:
    with (folder / "moments.csv").open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        assert tuple(reader.fieldnames or ()) == COLUMNS
        return list(reader)


def test_moments_are_cut_with_what_is_around_them(films: Path, tmp_path: Path) -> None:
    before = {path: sha256(path.read_bytes()).hexdigest() for path in films.glob("[ls]*.mp4")}
    lines = [
        {"path": str(films / "long gop.mp4"), "start_s": 4.0, "end_s": 5.0, "rank": 1, "score": 0.5, "label": "wave, twice"},
        {"path": str(films / "sound.mp4"), "start_s": 0.5, "end_s": 1.5, "rank": 2},
        {"path": str(films / "long gop.mp4"), "start_s": 9.5, "end_s": 12.0},
    ]
    done: list[tuple[int, int]] = []
    report = export(hits(tmp_path, *lines), tmp_path / "out", on_moment=lambda *at: done.append(at))
    assert done == [(1, 3), (2, 3), (3, 3)]
    names = ["001-long-gop", "002-sound", "003-long-gop"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(
        ["moments.csv", *(f"{name}{ending}" for name in names for ending in (".mp4", ".png"))]
    )
    rows = table(tmp_path / "out")
    assert [tuple(row.values()) for row in rows] == [
        ("001-long-gop.mp4", str(films / "long gop.mp4"), "4.0", "5.0", "3.000000", "6.000000", "re-encoded",
         "1", "0.5", "wave, twice", "", "1.0"),
        ("002-sound.mp4", str(films / "sound.mp4"), "0.5", "1.5", "0.000000", rows[1]["cut_end_s"], "copied",
         "2", "", "", "", "1.0"),
        ("003-long-gop.mp4", str(films / "long gop.mp4"), "9.5", "12.0", "8.500000", "10.000000", "re-encoded",
         "", "", "", "", "1.0"),
    ]  # fmt: skip
    assert 2.5 <= float(rows[1]["cut_end_s"]) <= 3.0
    shown = [[number_in(picture) for picture in decode_all(tmp_path / "out" / f"{name}.mp4")[1]] for name in names]
    assert shown[0] == list(range(75, 150))
    assert shown[1] == list(range(round(float(rows[1]["cut_end_s"]) * 25)))
    assert shown[2] == [n % 256 for n in range(212, 250)]
    with Image.open(tmp_path / "out" / "001-long-gop.png") as strip:
        assert strip.width >= 6 * 160
    assert str(report).splitlines() == ["3 moments: 1 copied, 2 re-encoded", f"{tmp_path / 'out'}: moments.csv"]
    assert before == {path: sha256(path.read_bytes()).hexdigest() for path in before}


def test_what_cannot_be_read_stops_nothing(films: Path, tmp_path: Path) -> None:
    names = ("gone.mp4", "text.mp4", "pipe.mp4", ".", "sound.mp4", "sound.mp4")
    lines = [{"path": str(films / name), "start_s": 1.0, "end_s": 2.0} for name in names]
    lines[-1] |= {"start_s": 4.5, "end_s": 5.0}
    report = export(hits(tmp_path, *lines), tmp_path / "out", pad_s=0)
    rows = table(tmp_path / "out")
    assert [row["how"] for row in rows] == ["failed", "failed", "failed", "failed", "copied", "failed"]
    assert [row["file"] for row in rows] == ["", "", "", "", "005-sound.mp4", ""]
    assert [row["reason"] for row in rows] == [
        f"no such file: {str(films / 'gone.mp4')!r}; name a video",
        "no video container that FFmpeg can read: Invalid data found when processing input",
        "not a regular file but a named pipe",
        f"no such file: {str(films)!r}; name a video",
        "",
        f"the moment is at 4.5-5 s, and the video shows 0.000-{rows[5]['reason'].split('-')[-1]}",
    ]
    assert len(report.failed) == 5
    assert f"  failed: {films / 'pipe.mp4'} 1-2 s: not a regular file but a named pipe" in str(report).splitlines()


def test_lists_alone_decode_nothing(films: Path, tmp_path: Path) -> None:
    lines = [{"path": str(films / "sound.mp4"), "start_s": s, "end_s": s + 0.4, "label": "a\n--> b"} for s in (2.0, 1.0)]
    report = export(hits(tmp_path, *lines), tmp_path / "out", pad_s=0.2, forms=("webvtt", "edl"))
    assert report.lists == ("sound.vtt", "moments.edl")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["moments.csv", "moments.edl", "sound.vtt"]
    cues = (tmp_path / "out" / "sound.vtt").read_text().split("\n\n")
    assert cues[1] == f"NOTE Moments of {films / 'sound.mp4'}"
    assert cues[2:] == ["1\n00:00:01.000 --> 00:00:01.400\na --&gt; b", "2\n00:00:02.000 --> 00:00:02.400\na --&gt; b\n"]
    events = [line for line in (tmp_path / "out" / "moments.edl").read_text().splitlines() if line[:3].isdigit()]
    assert events == [
        "001  SOUND    AA/V  C        00:00:01:20 00:00:02:15 01:00:00:00 01:00:00:20",
        "002  SOUND    AA/V  C        00:00:00:20 00:00:01:15 01:00:00:20 01:00:01:15",
    ]
    assert [row["how"] for row in table(tmp_path / "out")] == ["listed", "listed"]


def test_videos_of_one_name_have_their_own_chapters(films: Path, tmp_path: Path) -> None:
    (tmp_path / "SOUND.mp4").symlink_to(films / "sound.mp4")
    lines = [{"path": str(folder), "start_s": 1, "end_s": 2} for folder in (films / "sound.mp4", tmp_path / "SOUND.mp4")]
    assert export(hits(tmp_path, *lines), tmp_path / "out", forms=("webvtt",)).lists == ("sound.vtt", "SOUND-2.vtt")


def test_what_is_said_becomes_subtitles(films: Path, tmp_path: Path) -> None:
    path = str(films / "sound.mp4")
    reasons = [{"channel": "speech", "text": "The budget\nis gone."}, {"channel": "pictures", "text": None}]
    lines: list[dict[str, object]] = [
        {"path": path, "start_s": 2.5, "end_s": 3661.5, "text": "Good night."},
        {"path": path, "start_s": 1, "end_s": 2.25, "label": "waving", "reasons": reasons},
        {"path": path, "start_s": 0, "end_s": 0.5, "label": "waving", "score": 0.5, "reasons": []},
    ]
    assert export(hits(tmp_path, *lines), tmp_path / "out", pad_s=0, forms=("srt",)).lists == ("sound.srt",)
    assert (tmp_path / "out" / "sound.srt").read_bytes().decode() == (
        "1\r\n00:00:00,000 --> 00:00:00,500\r\nwaving (0.500)\r\n\r\n"
        "2\r\n00:00:01,000 --> 00:00:02,250\r\nThe budget is gone.\r\n\r\n"
        "3\r\n00:00:02,500 --> 00:00:04,000\r\nGood night.\r\n"
    )


def test_names_of_every_script_stay(films: Path, tmp_path: Path) -> None:
    names = ("Встреча", "会议记录", "מפגש", "ประชุม")
    for name in names:
        (tmp_path / f"{name}.mp4").symlink_to(films / "sound.mp4")
    lines = [{"path": str(tmp_path / f"{name}.mp4"), "start_s": 1, "end_s": 2} for name in names]
    report = export(hits(tmp_path, *lines), tmp_path / "out", forms=("files", "webvtt"))
    assert report.lists == tuple(f"{name}.vtt" for name in names)
    assert [moment.file for moment in report.moments] == [f"{n:03d}-{name}.mp4" for n, name in enumerate(names, start=1)]
    assert all((tmp_path / "out" / str(moment.file)).is_file() for moment in report.moments)


def test_moments_after_a_day_are_in_no_edit_list(tmp_path: Path) -> None:
    write_video(tmp_path / "long.mkv", 3, pts=[0, 25 * 3600 * 23, 25 * 3600 * 25])
    lines = [{"path": str(tmp_path / "long.mkv"), "start_s": hour * 3600, "end_s": hour * 3600 + 5} for hour in (1, 24.5)]
    reason = "not in the edit decision list, whose timecodes end at 24 hours; cut it as a file"
    expected: tuple[tuple[tuple[ExportFormat, ...], str], ...] = ((("edl",), "failed"), (("edl", "webvtt"), "listed"))
    for forms, how in expected:
        out = tmp_path / "-".join(forms)
        report = export(hits(tmp_path, *lines), out, forms=forms)
        assert [(row["how"], row["reason"]) for row in table(out)] == [("listed", ""), (how, reason)]
        assert (out / "moments.edl").read_text().count("* FROM CLIP NAME: long.mkv") == 1
        assert reason in str(report)
        assert export(hits(tmp_path, *lines), out, forms=forms).moments[1].reason == reason
    assert "24:30:00.000 --> 24:30:05.000" in (out / "long.vtt").read_text()


def crashes_at_long(task: ExportTask) -> TaskResult:
    """`work_on`, but for one video."""
    if "long" in task.moment.path:
        os.abort()
    return work_on(task)


def test_a_moment_that_crashes_costs_itself(films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobs.export.export.work_on", crashes_at_long)
    lines = [{"path": str(films / name), "start_s": 1, "end_s": 2} for name in ("sound.mp4", "long gop.mp4", "sound.mp4")]
    report = export(hits(tmp_path, *lines), tmp_path / "out")
    assert [(row["how"], row["reason"]) for row in table(tmp_path / "out")] == [
        ("copied", ""),
        ("failed", "crashed the decoder"),
        ("copied", ""),
    ]
    assert len(report.failed) == 1
    assert len(list((tmp_path / "out").glob("*.mp4"))) == 2


def test_an_export_goes_on_where_it_stopped(films: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    names = ("sound.mp4", "text.mp4", "long gop.mp4", "sound.mp4")
    lines = [{"path": str(films / name), "start_s": 3, "end_s": 3.5, "label": 'a,\r\n"b"'} for name in names]

    def stop(done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export(hits(tmp_path, *lines), out, on_moment=stop)
    assert [row["how"] for row in table(out)] == ["copied", "failed", "re-encoded"]
    with (out / "moments.csv").open("r+b") as file:  # as if the power had gone
        file.truncate(file.seek(-30, os.SEEK_END))
    before = (out / "001-sound.mp4").stat()
    report = export(hits(tmp_path, *lines), out)
    assert (out / "001-sound.mp4").stat() == before
    assert str(report).startswith("4 moments: 2 copied, 1 re-encoded, 1 failed; 1 were there already\n")
    assert [row["how"] for row in table(out)] == ["copied", "failed", "re-encoded", "copied"]
    assert {row["label"] for row in table(out)} == {'a,\r\n"b"'}
    assert export(hits(tmp_path, *lines), out).kept == 3
    for change in ({"start_s": 2.5}, {"label": "other"}):
        with pytest.raises(UsageError, match=r"moments.csv is of other moments, or of another `pad_s`; give another folder"):
            export(hits(tmp_path, *lines[:2], {**lines[2], **change}, lines[3]), out)
    with pytest.raises(UsageError, match="another `pad_s`"):
        export(hits(tmp_path, *lines), out, pad_s=2)
    (out / "001-sound.mp4").unlink()
    assert export(hits(tmp_path, *lines), out, forms=("files", "edl")).kept == 2
    assert (out / "001-sound.mp4").exists()
    assert (out / "moments.edl").read_text().count("* FROM CLIP NAME:") == 3


def test_a_table_of_something_else_is_left_alone(films: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "moments.csv").write_text("a,b\n1,2\n")
    with pytest.raises(UsageError, match=r"moments.csv is not of an export, and nothing is overwritten"):
        export(hits(tmp_path, {"path": str(films / "sound.mp4"), "start_s": 1, "end_s": 2}), tmp_path / "out")
    assert (tmp_path / "out" / "moments.csv").read_text() == "a,b\n1,2\n"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pad_s": -1.0}, "pad_s: got -1 s, expected 0 to 3600 s"),
        ({"pad_s": float("nan")}, "pad_s: got nan s"),
        ({"forms": ("avi",)}, "forms: got 'avi', expected files, webvtt, srt, edl"),
    ],
)
def test_options_that_are_off(films: Path, tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        export(hits(tmp_path, {"path": str(films / "sound.mp4"), "start_s": 1, "end_s": 2}), tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_nothing_is_overwritten(films: Path, tmp_path: Path) -> None:
    good = {"path": str(films / "sound.mp4"), "start_s": 1, "end_s": 2}
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    with pytest.raises(UsageError, match="is not empty, and nothing is overwritten; give another folder"):
        export(hits(tmp_path, good), tmp_path / "out")
    with pytest.raises(UsageError, match="line 2: got start_s 3 and end_s 2"):
        export(hits(tmp_path, good, {**good, "start_s": 3}), tmp_path / "new")
    assert not (tmp_path / "new").exists()
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine.txt"]


def test_what_is_around_a_moment_ends_with_the_video(films: Path) -> None:
    meta = probe(str(films / "long gop.mp4"))
    assert within(meta, Span(9.5, 12.0), 1.0) == (Span(9.5, 10.0), Span(8.5, 10.0))
    assert within(meta, Span(0.5, 1.0), 1.0) == (Span(0.5, 1.0), Span(0.0, 2.0))


def test_nothing_in_the_current_folder_is_run(films: Path, tmp_path: Path) -> None:
    for name in ("signal", "struct", "numpy", "jobs", "av", "PIL"):
        (tmp_path / f"{name}.py").write_text(f"open('RAN', 'a').write({name!r})\nraise ImportError({name!r})\n")
    source = hits(tmp_path, {"path": str(films / "sound.mp4"), "start_s": 1, "end_s": 2})
    command = (
        f"import sys; sys.path = [{str(Path(__file__).parents[3])!r}, *filter(None, sys.path)]\n"
        "if __name__ == '__main__':\n    import cli; cli.main()"
    )
    arguments = [sys.executable, "-c", command, "export", source, "--to", "out"]
    assert subprocess.run(arguments, cwd=tmp_path, check=False).returncode == 0
    assert not (tmp_path / "RAN").exists()


def test_the_command_says_with_its_exit_code_that_something_failed(films: Path, tmp_path: Path) -> None:
    forms: tuple[ExportFormat, ...] = ("edl",)
    line = json.dumps({"path": str(films / "sound.mp4"), "start_s": 1, "end_s": 2})
    for text, code in ((line, 0), (line.replace("sound", "gone"), 1), ("{", 2)):
        done = subprocess.run(
            [sys.executable, "-m", "cli", "export", "-", "--to", str(tmp_path / str(code)), "--format", *forms],
            input=text, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == code
    assert done.stderr.startswith("vidsift: HITS standard input: line 1: not JSON in UTF-8")
    assert not (tmp_path / "2").exists()
