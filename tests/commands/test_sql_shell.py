"""The SQL prompt as a person meets it: in a pseudo-terminal."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemas.models import Checkpoint
from schemas.sql import TABLES
from tests.helpers.searchable import write_searchable

ASKS, GOES_ON = "vidsift> ", "    ...> "
CTRL_C, CTRL_D, TAB, UP = "\x03", "\x04", "\t", "\x1b[A"
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x07")


class Terminal:
    """A terminal in which `vidsift sql` runs."""

    def __init__(self, library: Path, state: Path, *arguments: str) -> None:
        self._master, slave = pty.openpty()
        environment = os.environ | {"XDG_STATE_HOME": str(state), "TERM": "xterm", "INPUTRC": "/dev/null", "COLUMNS": "200"}
        command = [sys.executable, "-m", "cli", "sql", "--library", str(library), *arguments]
        self._process = subprocess.Popen(
            command, stdin=slave, stdout=slave, stderr=slave, env=environment, start_new_session=True,
            preexec_fn=_take_terminal,
        )  # fmt: skip
        os.close(slave)
        self._unread = ""

    def type(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def read_until(self, end: str, within_s: float = 120.0) -> str:
        """What is printed up to and with ``end``, without what moves the cursor."""
        deadline = time.monotonic() + within_s
        while end not in self._unread:
            ready, _, _ = select.select([self._master], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, f"{end!r} did not come, but {self._unread!r}"
            self._unread += self._read()
        found, _, self._unread = self._unread.partition(end)
        return found + end

    def ask(self, line: str) -> list[str]:
        """The lines that are printed between a line typed and the next prompt."""
        self.type(f"{line}\n")
        self.read_until("\n")
        return self.read_until(ASKS).removesuffix(ASKS).splitlines()

    def end(self) -> int:
        """The exit code."""
        code = self._process.wait(timeout=30)
        os.close(self._master)
        return code

    def kill(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def _read(self) -> str:
        try:
            return _ESCAPES.sub("", os.read(self._master, 65536).decode(errors="replace")).replace("\r\n", "\n")
        except OSError:
            return ""


def _take_terminal() -> None:
    """Make standard input this process's terminal, so that Ctrl-C in it is a signal."""
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


@pytest.fixture(scope="module")
def library(
    tmp_path_factory: pytest.TempPathFactory, classifier_checkpoint: Checkpoint, embedder_checkpoint: Checkpoint
) -> Path:
    return write_searchable(tmp_path_factory.mktemp("prompt") / "library", classifier_checkpoint, embedder_checkpoint)


@pytest.fixture
def terminal(library: Path, tmp_path: Path) -> Iterator[Terminal]:
    opened = Terminal(library, tmp_path)
    opened.read_until(ASKS)
    yield opened
    opened.kill()


def history(state: Path) -> list[str]:
    return [json.loads(line) for line in (state / "vidsift" / "sql_history").read_text().splitlines()]


def test_statements_have_lines_and_end_with_a_semicolon(terminal: Terminal, library: Path, tmp_path: Path) -> None:
    before = sorted(library.rglob("*"))
    assert terminal.ask("select count(*) as n from clips;") == ["n", "--", "40", "(1 row)"]
    terminal.type("select path -- first; only\n")
    terminal.read_until(GOES_ON)
    terminal.type("from videos\n")
    terminal.read_until(GOES_ON)
    assert terminal.ask("order by path limit 1; select 2 as two;") == [
        "path", "---------", "/v/00.mp4", "(1 row)", "two", "---", "2", "(1 row)",
    ]  # fmt: skip
    terminal.type(CTRL_D)
    assert terminal.end() == 0
    assert history(tmp_path) == [
        "select count(*) as n from clips;",
        "select path -- first; only\nfrom videos\norder by path limit 1;",
        "select 2 as two;",
    ]
    assert sorted(library.rglob("*")) == before, "the prompt writes nothing there"


def test_errors_are_told_and_the_prompt_goes_on(terminal: Terminal) -> None:
    (line,) = terminal.ask("select nope from clips;")
    assert line.startswith('vidsift: QUERY: Binder Error: Referenced column "nope" not found')
    (line,) = terminal.ask("drop table clips;")
    assert line.startswith("vidsift: QUERY: got a statement of type DROP, expected reading")
    (line,) = terminal.ask("from hits;")
    assert line.endswith("add --search TEXT")
    assert terminal.ask("select 1 as one;") == ["one", "---", "1", "(1 row)"]


def test_commands_with_a_full_stop(terminal: Terminal) -> None:
    assert [line.split()[0] for line in terminal.ask(".tables")] == [table.name for table in TABLES]
    assert terminal.ask(".schema clips")[0] == "clips: a row for each clip of a video, with its best action label"
    assert [line for line in terminal.ask(".schema") if line.startswith("tags: ")]
    assert terminal.ask(".schema films") == [".schema: got films, expected " + ", ".join(of.name for of in TABLES)]
    assert terminal.ask(".help")[0] == "A statement ends with ; and may have several lines. Tab completes, the arrow keys bring back what was asked before."  # fmt: skip # noqa: E501
    assert terminal.ask(".nope") == ["no such command: .nope; expected .tables, .schema, .help, .quit"]
    terminal.type(".quit\n")
    assert terminal.end() == 0


def test_ctrl_c_clears_the_line_and_ends_a_query(terminal: Terminal) -> None:
    terminal.type("select 1,\n")
    terminal.read_until(GOES_ON)
    terminal.type("'half a line")
    terminal.read_until("half a line")
    time.sleep(0.5)  # Python's line editor misses a signal that comes between what it prints and its waiting for keys
    terminal.type(CTRL_C)
    terminal.read_until(ASKS)
    assert terminal.ask("select 3 as three;") == ["three", "-----", "3", "(1 row)"]
    terminal.type("select sum(a.range * b.range) from range(10000000) a, range(10000000) b;\n")
    terminal.read_until("b;\n")
    time.sleep(1)
    began = time.monotonic()
    terminal.type(CTRL_C)
    assert "interrupted" in terminal.read_until(ASKS)
    assert time.monotonic() - began < 5
    assert terminal.ask("select 4 as four;") == ["four", "----", "4", "(1 row)"]


def test_tab_completes_tables_columns_and_words(terminal: Terminal) -> None:
    terminal.type("SEL" + TAB + " contai" + TAB + " as x from videos v where v.content_h" + TAB + " = 'h';\n")
    assert "SELECT container as x from videos v where v.content_hash = 'h';" in terminal.read_until("\n")
    assert terminal.read_until(ASKS).splitlines()[-3:-1] == ["-", "(0 rows)"]


def test_what_was_asked_is_offered_again_in_the_next_session(library: Path, terminal: Terminal, tmp_path: Path) -> None:
    terminal.ask("select 41 + 1 as answer;")
    terminal.type(CTRL_D)
    assert terminal.end() == 0
    again = Terminal(library, tmp_path, "--search", "people baking a cake")
    try:
        again.read_until(ASKS)
        again.type(UP)
        again.read_until("select 41 + 1 as answer;")
        assert again.ask("") == ["answer", "------", "42", "(1 row)"]
        assert again.ask(".tables")[-1].startswith("hits ")
        assert again.ask("select count(*) as n from hits;") == ["n", "--", "40", "(1 row)"]
    finally:
        again.kill()


def test_a_prompt_writes_no_file_but_results_can_be_redirected(library: Path, tmp_path: Path) -> None:
    refused = Terminal(library, tmp_path, "--output", str(tmp_path / "new"))
    assert "--output: got no QUERY whose result to write" in refused.read_until("in\n")
    assert refused.end() == 2
    assert not (tmp_path / "new").exists()
