"""What an ingest and a watch write with `--log-json`: lines of JSON and nothing else, to the end, whatever it is."""

from __future__ import annotations

import json
import logging
import os
import re
import socket
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from click.testing import CliRunner, Result

from cli import main
from commands.json_log import JsonLog, without_secrets, write_event
from index.storage.lock import write_lock
from index.storage.paths import Library
from jobs.count_progress import CountProgress
from jobs.ingest.progress import Progress, Queues
from jobs.ingest.timing import RunStats
from jobs.watch.arrivals import FolderArrivals
from tests.helpers.inline_run import InlineRun
from tests.helpers.videos import write_video

ACCOUNT = ("indexed", "partial", "failed", "unchanged", "moved", "not_done")


def events(done: Result) -> list[dict[str, Any]]:
    """The lines of standard error, each of which says when, how much it matters and what."""
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    for line in lines:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["time"])
        assert line["level"] in ("info", "warning", "error")
    assert [line["time"] for line in lines] == sorted(line["time"] for line in lines)
    return lines


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    folder = tmp_path / "videos"
    folder.mkdir()
    write_video(folder / "a.mp4", 50)
    (folder / "broken\n.mp4").write_text("no video")
    return folder


@pytest.fixture
def models(classifier_folder: Path, embedder_folder: Path) -> list[str]:
    return ["--classifier", str(classifier_folder), "--embedder", str(embedder_folder)]


def test_an_ingest_says_what_happens_and_ends_with_its_account(
    videos: Path, tmp_path: Path, models: list[str], inline_run: type[InlineRun]
) -> None:
    called = ["ingest", str(videos), "--library", str(tmp_path / "library"), *models, "--log-json", "--json"]
    done = CliRunner().invoke(main, called)
    assert done.exit_code == 0, done.output
    lines = events(done)
    assert [line["event"] for line in lines] == [
        "run_started", "files_listed", "video_problem", "committed", "published", "run_ended",
    ]  # fmt: skip
    by_name = {line["event"]: line for line in lines}
    started = by_name["run_started"]
    assert (started["command"], started["library"], started["sources"]) == (
        "ingest", str(tmp_path / "library"), [str(videos)]
    )  # fmt: skip
    problem = by_name["video_problem"]
    assert {name: problem[name] for name in ("level", "path", "status", "stage", "clips")} == {
        "level": "warning", "path": str(videos / "broken\n.mp4"), "status": "failed", "stage": "probe", "clips": 0,
    }  # fmt: skip
    assert problem["error"]
    assert {name: by_name["committed"][name] for name in ("indexed", "failed", "clips", "video_seconds")} == {
        "indexed": 1, "failed": 1, "clips": 1, "video_seconds": 2.0,
    }  # fmt: skip
    assert (by_name["published"]["snapshot"], by_name["published"]["clips"]) == (1, 1)
    for name in ("files_listed", "committed", "published", "run_ended"):
        assert by_name[name]["seconds"] >= 0
    ended = by_name["run_ended"]
    assert (ended["outcome"], ended["exit_code"]) == ("finished", 0)
    assert ended["found"] == sum(ended[name] for name in ACCOUNT) == 2
    assert json.loads(done.stdout)["indexed"] == 1, "standard output is as without the log"


def test_without_the_log_all_is_as_it_was(videos: Path, tmp_path: Path, models: list[str], inline_run: object) -> None:
    done = CliRunner().invoke(main, ["ingest", str(videos), "--library", str(tmp_path / "library"), *models])
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.startswith("2 videos found: 1 indexed, 0 partial, 1 failed")


def test_time_that_is_up_is_said(videos: Path, tmp_path: Path, models: list[str], inline_run: object) -> None:
    called = ["ingest", str(videos), "--library", str(tmp_path / "library"), *models, "--log-json", "--max-hours", "1e-9"]
    done = CliRunner().invoke(main, called)
    ended = events(done)[-1]
    assert (done.exit_code, ended["exit_code"], ended["outcome"]) == (3, 3, "time_up")
    assert ended["found"] == sum(ended[name] for name in ACCOUNT)
    assert ended["not_done"] == 2


def ended_by(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The exit codes with which commands end the process at once."""
    codes: list[int] = []

    def end(code: int) -> None:
        codes.append(code)
        raise SystemExit(code)

    monkeypatch.setattr(os, "_exit", end)
    return codes


def test_an_interruption_is_said(
    videos: Path, tmp_path: Path, models: list[str], inline_run: type[InlineRun], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> Any:
        raise KeyboardInterrupt

    codes = ended_by(monkeypatch)
    monkeypatch.setattr(inline_run, "outcomes", interrupted)
    called = ["ingest", str(videos), "--library", str(tmp_path / "library"), *models]
    done = CliRunner().invoke(main, [*called, "--log-json"])
    ended = events(done)[-1]
    assert (codes, ended["outcome"], ended["exit_code"], ended["not_done"]) == ([130], "interrupted", 130, 2)
    done = CliRunner().invoke(main, called)
    assert done.stderr == "vidsift: interrupted; what was finished is kept, run the same command again to go on\n"


@pytest.mark.parametrize(
    ("arguments", "code", "error"),
    [
        (["--window", "0"], 2, "--window: got 0 s, expected 0.1 to 3600 s"),
        (["--window", "x"], 2, "Invalid value for '--window': 'x' is not a valid float."),
        (["--no-such"], 2, "No such option '--no-such'."),
        (["--metrics-port", "70000"], 2, "Invalid value for '--metrics-port': 70000 is not in the range 0<=x<=65535."),
        (["--classifier", "DIR"], 1, "--classifier DIR: the folder holds no config.json; give a folder"),
    ],
)
def test_an_error_that_ends_the_program_is_a_line(tmp_path: Path, arguments: list[str], code: int, error: str) -> None:
    folder = str(tmp_path)
    called = ["ingest", folder, "--library", str(tmp_path / "library"), "--log-json"]
    done = CliRunner().invoke(main, called + [argument.replace("DIR", folder) for argument in arguments])
    last = events(done)[-1]
    assert (done.exit_code, last["event"], last["level"], last["exit_code"]) == (code, "run_failed", "error", code)
    assert last["error"].startswith(error.replace("DIR", folder))


def test_a_fault_of_the_program_is_a_line_too(
    videos: Path, tmp_path: Path, models: list[str], inline_run: type[InlineRun], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> Any:
        raise ZeroDivisionError("a fault at https://host/a.mp4?X-Amz-Signature=secret")

    monkeypatch.setattr(inline_run, "outcomes", broken)
    done = CliRunner().invoke(main, ["ingest", str(videos), "--library", str(tmp_path / "l"), *models, "--log-json"])
    last = events(done)[-1]
    assert (done.exit_code, last["error"]) == (1, "ZeroDivisionError: a fault at https://host/a.mp4?...")
    assert "test_observe.py" in last["traceback"]
    assert "secret" not in done.stderr


def test_a_port_that_is_taken_is_an_error_before_anything_is_done(videos: Path, tmp_path: Path, models: list[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        called = ["ingest", str(videos), "--library", str(tmp_path / "l"), *models, "--metrics-port", str(port)]
        done = CliRunner().invoke(main, called)
    assert done.exit_code == 2
    assert done.stderr == (
        f"vidsift: --metrics-port: 127.0.0.1:{port} cannot be listened at (Address already in use); give another port, or 0 "
        "for any free one, and an address of this machine (--metrics-host)\n"
    )
    assert not (tmp_path / "l").exists()


def watched(monkeypatch: pytest.MonkeyPatch, *happenings: Callable[[], object]) -> list[int]:
    """Let a watch come to its end: one thing happens in each wait, and then it is interrupted."""
    left = list(happenings)

    def wait(arrivals: FolderArrivals, timeout_s: float) -> set[str]:
        if not left:
            raise KeyboardInterrupt
        left.pop(0)()
        return set()

    monkeypatch.setattr(FolderArrivals, "wait", wait)
    monkeypatch.setattr(FolderArrivals, "follow", lambda *_: None)
    return ended_by(monkeypatch)


def test_a_watch_says_what_happens_in_each_round_and_answers_with_metrics(
    videos: Path, tmp_path: Path, models: list[str], inline_run: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    alerts = tmp_path / "alerts.toml"
    alerts.write_text('[[alert]]\nname = "all"\ntext = "a dog"\nabove = 0\nurl = "http://127.0.0.1:9/in?key=secret"\n')
    pages: list[str] = []

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]

    def ask() -> None:
        with urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
            pages.append(answer.read().decode())

    codes = watched(monkeypatch, ask)
    done = CliRunner().invoke(
        main,
        ["watch", str(videos), "--library", str(tmp_path / "library"), *models, "--settle", "0", "--publish-every", "0",
         "--notify", str(alerts), "--log-json", "--json", "--metrics-port", str(port)],
    )  # fmt: skip
    lines = events(done)
    assert codes == [0], done.output
    assert lines[1]["message"] == f"metrics are at http://127.0.0.1:{port}/metrics"
    assert [line["event"] for line in lines] == [
        "run_started", "message", "files_listed", "video_problem", "committed", "published",
        "round_ended", "notification_failed", "run_ended",
    ]  # fmt: skip
    round_ended, failed, ended = lines[-3:]
    assert (round_ended["outcome"], round_ended["found"]) == ("changed", 2)
    assert round_ended["found"] == sum(round_ended[name] for name in ACCOUNT)
    assert (failed["level"], failed["alert"], failed["receiver"]) == ("warning", "all", "the host 127.0.0.1")
    assert failed["error"] == "does not answer (ConnectionError)"
    assert (ended["outcome"], ended["rounds"], ended["indexed"], ended["failed"]) == ("ended", 1, 1, 1)
    assert "secret" not in done.output
    assert json.loads(done.stdout)["indexed"] == 1
    (page,) = pages
    for line in (
        'vidsift_run_files_total{status="indexed"} 1.0',
        'vidsift_run_failures_total{stage="probe"} 1.0',
        'vidsift_run_rounds_total{outcome="changed"} 1.0',
        'vidsift_run_notifications_total{outcome="failed"} 1.0',
        "vidsift_run_clips_total 1.0",
        "vidsift_run_video_seconds_total 2.0",
    ):
        assert f"{line}\n" in page


def test_a_round_that_breaks_is_said_once(
    videos: Path, tmp_path: Path, models: list[str], inline_run: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched(monkeypatch)
    (tmp_path / "library").mkdir()
    with write_lock(Library(tmp_path / "library")):
        done = CliRunner().invoke(
            main, ["watch", str(videos), "--library", str(tmp_path / "library"), *models, "--log-json"]
        )  # fmt: skip
    said = [line for line in events(done) if "is being written by another ingest" in json.dumps(line)]
    assert [(line["event"], line["level"], line["again_seconds"]) for line in said] == [("round_failed", "error", 10)]


def test_progress_is_a_line_every_30_s(capsys: pytest.CaptureFixture[str]) -> None:
    log = JsonLog()
    for elapsed_s in (0.0, 29.9, 30.0, 45.0, 61.0, 2.0, 33.0):  # another piece of work begins at 2 s
        log.show(Progress(1, 4, elapsed_s, RunStats(), Queues({"plan": 3}, {"decode": 2})))
    log.show(CountProgress(1, 2, 64.0, "videos annotated"))
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["seconds"] for line in lines] == [30.0, 61.0, 33.0, 64.0]
    assert {name: lines[0][name] for name in ("done_videos", "total_videos", "left_seconds", "waiting", "tasks")} == {
        "done_videos": 1, "total_videos": 4, "left_seconds": None, "waiting": {"plan": 3}, "tasks": {"decode": 2},
    }  # fmt: skip
    assert (lines[-1]["done"], lines[-1]["total"], lines[-1]["unit"]) == (1, 2, "videos annotated")


def test_what_libraries_warn_of_are_lines(
    videos: Path, tmp_path: Path, models: list[str], inline_run: type[InlineRun], monkeypatch: pytest.MonkeyPatch
) -> None:
    def warn(*_: object) -> Any:
        logging.getLogger("urllib3.pool").warning("Retry: %s", "/a.mp4?X-Amz-Signature=secret&x=1")
        warnings.warn("old", DeprecationWarning, stacklevel=1)
        yield None

    monkeypatch.setattr(inline_run, "outcomes", warn)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        done = CliRunner().invoke(main, ["ingest", str(videos), "--library", str(tmp_path / "l"), *models, "--log-json"])
    said = [(line["library"], line["message"]) for line in events(done) if line["event"] == "library_message"]
    assert ("urllib3.pool", "Retry: /a.mp4?X-Amz-Signature=...&x=1") in said
    assert ("DeprecationWarning", "old") in said


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("https://host/a.mp4?sig=x&se=1 failed", "https://host/a.mp4?... failed"),
        ("'https://host/a.mp4#x': failed", "'https://host/a.mp4?...': failed"),
        ("sftp://me:word@host/films", "sftp://...@host/films"),
        ("sftp://me@host/films", "sftp://me@host/films"),
        ("url: /bucket/a.mp4?X-Amz-Signature=abc&part=1", "url: /bucket/a.mp4?X-Amz-Signature=...&part=1"),
        ("s3://bucket/what?.mp4", "s3://bucket/what?.mp4"),
        ("/videos/what? a#1.mp4", "/videos/what? a#1.mp4"),
    ],
)
def test_no_secret_is_written(text: str, written: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert without_secrets(text) == written
    write_event("info", "message", message=text, inner={"of": [text]})
    assert json.loads(capsys.readouterr().err)["inner"] == {"of": [written]}


def test_no_text_ends_a_line_or_steers_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    write_event("info", "message", message="a\nb\x1b[31m\u202e\udc80", seconds=1.23456)
    text = capsys.readouterr().err
    assert text.count("\n") == 1
    assert text.isascii()
    assert "\x1b" not in text
    assert json.loads(text)["message"] == "a\nb\x1b[31m\u202e\udc80"
    assert json.loads(text)["seconds"] == 1.235


def test_a_source_that_is_away_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inline_run: object) -> None:
    watched(monkeypatch, (tmp_path / "nas").mkdir)
    called = ["watch", str(tmp_path / "nas"), "--library", str(tmp_path / "library"), "--log-json"]
    lines = events(CliRunner().invoke(main, called))
    assert [(line["event"], line["level"]) for line in lines[1:4]] == [
        ("source_away", "warning"), ("message", "warning"), ("round_ended", "info"),
    ]  # fmt: skip
    assert lines[1]["source"] == str(tmp_path / "nas")
    assert (lines[3]["away_sources"], lines[3]["found"]) == (1, 0)
    assert lines[-1]["rounds"] == 1
