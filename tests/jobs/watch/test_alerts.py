"""Alerts: what is new and wanted is told once, however often the watch is started, and again only where nobody took it."""

from __future__ import annotations

import json
import math
import shlex
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from cli import main
from index.snapshot.publish import publish_tables
from index.storage import working_copies
from index.storage.lock import open_for_writing
from jobs.watch.alert_rules import AlertRule, read_rules
from jobs.watch.alert_state import AlertState
from jobs.watch.alerts import Alerts
from schemas.errors import UsageError
from schemas.models import Label
from schemas.records import ClipRow, Span, VideoFile, VideoInfo
from tests.helpers.library_builder import commit_rows
from tests.helpers.made_library import (
    IDENTITY,
    Made,
    WordEmbedder,
    background,
    embedder,
    make_library,
    vector_of,
    word_tag,
)
from tests.helpers.stored_library import URL, CountedStore, Machine

__all__ = ["embedder"]

FALL, WALK = (Label("falling", 0.9),), (Label("walking", 0.8), Label("falling", 0.1))


class Receiver:
    """A server that keeps what it is sent.

    Attributes:
        got: the messages that it took.
        status: what it answers; only 200 takes a message.
    """

    def __init__(self) -> None:
        receiver = self
        self.got: list[dict[str, Any]] = []
        self.status, self.asked = 200, 0

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                receiver.asked += 1
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if receiver.status == 200:
                    assert self.headers["Content-Type"] == "application/json"
                    receiver.got.append(json.loads(body))
                self.send_response(receiver.status)
                self.send_header("Location", "/elsewhere")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/hook?key=secret"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def library(tmp_path: Path) -> Path:
    tag = word_tag("red thing", {"red": 20.0}, -10.0)
    return make_library(tmp_path / "library", [*background(30), Made(1, "old", 0.0, 4.0, {"jumping": 0.9}, FALL)], [tag])


def arrive(library: Path, *clips: Made) -> None:
    """Index and publish clips of new videos."""
    with open_for_writing(library) as (place, config, tables):
        rows = [ClipRow(of.clip_id, of.video, Span(of.start_s, of.end_s), of.labels, vector_of(of.cosines)) for of in clips]
        videos = {of.video: VideoInfo(of.video, VideoFile(f"/v/{of.video}.mp4", 10, 0), duration_s=40.0) for of in clips}
        commit_rows(tables, IDENTITY, rows, list(videos.values()))
        publish_tables(place, tables, config)


class Watching:
    """Alerts as one process has them.

    Attributes:
        said: what they said.
    """

    def __init__(self, library: Path, *rules: AlertRule) -> None:
        self.said: list[str] = []
        self.alerts = Alerts(rules, library, self.said.append)
        self.alerts.begin()

    def __call__(self) -> float:
        return self.alerts.look_and_tell()


def test_new_moments_are_told_once_across_restarts(library: Path, receiver: Receiver) -> None:
    rule = AlertRule("someone falls", "label", "falling", 0.5, receiver.url)
    first = Watching(library, rule)
    assert (first(), receiver.got) == (float("inf"), []), "what was there is no news"
    clips = [Made(10 + number, "new", 4.0 * number, 4.0 * number + 4, {}, FALL if number in (1, 2, 5) else WALK)
             for number in range(6)]  # fmt: skip
    arrive(library, *clips)
    assert first() == float("inf")
    assert [(told["clip_id"], told["start_s"], told["end_s"]) for told in receiver.got] == [
        (11, 4.0, 12.0),
        (15, 20.0, 24.0),
    ]
    assert receiver.got[0] | {"id": "", "indexed_at": ""} == {
        "id": "",
        "alert": "someone falls",
        "label": "falling",
        "score": 0.9,
        "path": "/v/new.mp4",
        "video_id": "new",
        "clip_id": 11,
        "start_s": 4.0,
        "end_s": 12.0,
        "indexed_at": "",
        "library": str(library),
    }
    assert len({told["id"] for told in receiver.got}) == 2
    for _ in range(2):
        first()
        Watching(library, rule)()
    assert len(receiver.got) == receiver.asked == 2
    arrive(library, Made(20, "later", 0.0, 4.0, {}, FALL))
    Watching(library, rule)()
    assert [told["clip_id"] for told in receiver.got[2:]] == [20], "what comes between two watches is told by the next"
    with open_for_writing(library) as (place, config, tables):  # read anew, as by --retry-failed: one clip more
        tables.remove_videos(["later"])
        tables.drop_orphans()
        publish_tables(place, tables, config)
    arrive(library, Made(20, "later", 0.0, 4.0, {}, FALL), Made(21, "later", 8.0, 12.0, {}, FALL))
    Watching(library, rule)()
    assert [told["clip_id"] for told in receiver.got[3:]] == [21]


def test_texts_and_tags(library: Path, receiver: Receiver, embedder: WordEmbedder) -> None:
    watching = Watching(
        library,
        AlertRule("jumps", "text", "jumping", 0.9, receiver.url),
        AlertRule("red", "tag", "red thing", 0.7, receiver.url),
    )
    arrive(
        library,
        Made(10, "n", 0.0, 4.0, {"jumping": 0.8}),
        Made(11, "n", 4.0, 8.0, {"red": 0.6}),
        Made(12, "n", 8.0, 12.0, {"kitchen": 0.9}),
    )
    watching()
    assert [(told["alert"], told["clip_id"]) for told in receiver.got] == [("jumps", 10), ("red", 11)]
    assert receiver.got[0]["text"] == "jumping"
    assert 0.9 <= receiver.got[0]["score"] <= 1
    assert receiver.got[1]["score"] == pytest.approx(0.8808, abs=1e-4)
    asked = len(embedder.asked)
    watching()
    assert len(embedder.asked) == asked, "where nothing is new, nothing is searched"


def test_what_nobody_takes_is_sent_again_later_and_later(library: Path, receiver: Receiver) -> None:
    rule = AlertRule("someone falls", "label", "falling", 0.5, receiver.url)
    watching = Watching(library, rule)
    arrive(library, Made(10, "n", 0.0, 4.0, {}, FALL), Made(11, "n", 8.0, 12.0, {}, FALL))
    receiver.status = 503
    assert [watching() for _ in range(3)] == [15, 30, 60]
    assert watching.said[0] == (
        "the alert 'someone falls' could not be told: the host 127.0.0.1 answers with status 503; it is tried again in 15 s"
    )
    receiver.status = 302
    watching()
    assert receiver.asked == 4, "a redirection is not followed"
    receiver.server.socket.close()
    assert Watching(library, AlertRule("someone falls", "label", "falling", 0.5, "http://127.0.0.1:9/x"))() == 15
    again = Receiver()
    assert Watching(library, AlertRule("someone falls", "label", "falling", 0.5, again.url))() == float("inf")
    assert [told["clip_id"] for told in again.got] == [10, 11]
    again.server.shutdown()
    again.server.server_close()


def test_a_watch_that_dies_before_it_notes_a_delivery_sends_the_same_message(
    library: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    rule = AlertRule("someone falls", "label", "falling", 0.5, receiver.url)
    watching = Watching(library, rule)
    arrive(library, Made(10, "n", 0.0, 4.0, {}, FALL))

    def dies(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(AlertState, "delivered", dies)
        with pytest.raises(KeyboardInterrupt):
            watching()
    Watching(library, rule)()
    assert len(receiver.got) == 2
    assert receiver.got[0] == receiver.got[1]


def test_a_command_gets_the_message_and_no_shell(library: Path, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text("import sys; open(sys.argv[1], 'ab').write(sys.stdin.buffer.read())")
    odd = tmp_path / "told; $(touch x)"
    rule = AlertRule("someone falls", "label", "falling", 0.5, None, (sys.executable, str(program), str(odd)))
    watching = Watching(library, rule)
    arrive(library, Made(10, "n", 0.0, 4.0, {}, FALL))
    assert watching() == float("inf")
    assert json.loads(odd.read_text())["clip_id"] == 10
    arrive(library, Made(11, "m", 0.0, 4.0, {}, FALL))
    for command, what in (
        ((sys.executable, "-c", "exit(3)"), "ends with the exit code 3"),
        (("no-such",), "cannot be run ("),
    ):
        failing = Watching(library, AlertRule("someone falls", "label", "falling", 0.5, None, command))
        assert failing() == 15
        assert f"the command {command[0]!r} {what}" in failing.said[0]


WHOLE = {"name": "a", "label": "falling", "above": 0.5, "url": "https://h/x"}


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"labels": "x"}, "got 'labels', expected above, command, label, name, tag, text, url"),
        ({"tag": "x"}, "got label and tag of label, tag, text, expected one"),
        ({"label": None}, "got none of label, tag, text, expected one"),
        ({"name": " "}, "name: got ' ', expected a text"),
        ({"above": 2}, "above: got 2, expected a number from 0 to 1"),
        ({"above": None}, "above: got None, expected a number from 0 to 1"),
        ({"command": ["x"]}, "expected a url or a command, and not both"),
        ({"url": "ftp://h/x"}, "url: expected an address that begins with http:// or https://"),
        ({"url": None, "command": "rm x"}, "command: got 'rm x', expected a program and its arguments, such as "),
    ],
)
def test_what_is_no_alert(tmp_path: Path, table: dict[str, Any], message: str) -> None:
    content = {key: value for key, value in (WHOLE | table).items() if value is not None}
    file = tmp_path / "alerts.toml"
    file.write_text("[[alert]]\n" + "\n".join(f"{key} = {json.dumps(value)}" for key, value in content.items()))
    with pytest.raises(UsageError) as caught:
        read_rules(file)
    assert str(caught.value).startswith(f"notify {file}: alert 1: {message}")


def test_the_command_reads_alerts_first(tmp_path: Path) -> None:
    file = tmp_path / "alerts.toml"
    called = ["watch", str(tmp_path), "--library", str(tmp_path / "library"), "--notify", str(file)]
    for content, message in (
        (None, "cannot be read: No such file or directory; give a TOML file"),
        ("x", "is no TOML in UTF-8: Expected '=' after a key in a key/value pair (at end of document)"),
        ("a = 1", "expected tables [[alert]] and nothing else"),
    ):
        if content is not None:
            file.write_text(content)
        done = CliRunner().invoke(main, called)
        assert (done.exit_code, done.stderr) == (2, f"vidsift: --notify {file}: {message}\n")
    file.write_text('[[alert]]\nname = "a"\ntag = "t"\nabove = 1\ncommand = ["x", "y z"]\n')
    assert read_rules(file) == [AlertRule("a", "tag", "t", 1.0, None, tuple(shlex.split("x 'y z'")))]


def test_what_was_told_of_a_library_in_a_store_is_known_on_every_machine(
    library: Path, receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(working_copies, "_COPIES", {})
    store = CountedStore()
    for path in sorted(library.rglob("*")):
        if path.is_file():
            store.put(path.relative_to(library).as_posix(), path)
    here, there = Machine(tmp_path / "here", store), Machine(tmp_path / "there", store)
    rule = AlertRule("falls", "label", "falling", 0.5, url=receiver.url)
    watching = Watching(here.folder, rule)
    arrive(here.folder, Made(2, "new", 0.0, 4.0, {"jumping": 0.9}, FALL))
    assert watching() == math.inf
    assert [(message["path"], message["library"]) for message in receiver.got] == [("/v/new.mp4", URL)]
    elsewhere = Watching(there.folder, rule)
    assert (elsewhere(), len(receiver.got)) == (math.inf, 1), "it is told already"
    arrive(there.folder, Made(3, "newer", 0.0, 4.0, {"jumping": 0.9}, FALL))
    assert (elsewhere(), len(receiver.got)) == (math.inf, 2)
    here.restart()
    assert (Watching(here.folder, rule)(), len(receiver.got)) == (math.inf, 2)
