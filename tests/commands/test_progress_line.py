"""Progress on standard error, on a terminal and in a log."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace

import pytest

from commands.common import echo, note
from commands.progress_line import ProgressLine


@dataclass(frozen=True)
class Step:
    text: str
    elapsed_s: float = 0.0

    def __str__(self) -> str:
        return self.text


Captured = pytest.CaptureFixture[str]


@pytest.fixture
def terminal(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> Captured:
    """What is captured of a terminal."""
    monkeypatch.setattr("commands.progress_line.sys", SimpleNamespace(stderr=SimpleNamespace(isatty=lambda: True)))
    return capsys


def test_a_terminal_gets_one_line_that_is_cleared_at_the_end(terminal: Captured) -> None:
    with ProgressLine() as line:
        line.show(Step("ten \x1b[31m"))
        line.show(Step("two"))
    assert terminal.readouterr().err == "\rten \\x1b[31m\rtwo         \r   \r"


def test_a_log_gets_a_line_every_30_s(capsys: Captured) -> None:
    with ProgressLine() as line:
        for elapsed_s in (0.0, 29.9, 30.0, 45.0, 60.0):
            line.show(Step(f"{elapsed_s} s", elapsed_s))
        line.counter("moments")(1, 2)
    assert capsys.readouterr().err == "30.0 s\n60.0 s\n"


def test_a_note_stands_on_a_line_of_its_own(terminal: Captured) -> None:
    with ProgressLine() as line:
        line.show(Step("1 of 2"))
        line.say("left out: a.mp4")
        line.say("damaged: b\n.mp4")
    assert terminal.readouterr().err == "\r1 of 2\r      \rleft out: a.mp4\ndamaged: b\\n.mp4\n"
    with ProgressLine(print_note=note) as line:
        line.say("hub is slow")
    assert terminal.readouterr().err == "vidsift: hub is slow\n"
    with ProgressLine(print_note=echo) as line:
        line.say("two\nlines")
    assert terminal.readouterr().out == "two\nlines\n"


def test_a_count_stays_when_it_is_complete(terminal: Captured) -> None:
    with ProgressLine() as line:
        show = line.counter("moments")
        show(1, 2)
        show(2, 2)
    assert terminal.readouterr().err == "\r1/2 moments\r2/2 moments\n"


def test_an_error_clears_a_count_that_is_not_complete(terminal: Captured) -> None:
    def count_and_fail() -> None:
        with ProgressLine() as line:
            line.counter("videos")(1, 2)
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        count_and_fail()
    assert terminal.readouterr().err == f"\r1/2 videos\r{' ' * 10}\r"
