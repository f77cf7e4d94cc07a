"""The commands of the README and the tutorial do what they show, and so do the examples in Python."""

from __future__ import annotations

import csv
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from schemas.models import Checkpoint
from tests.helpers.searchable import write_searchable

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
README, TUTORIAL = ROOT / "README.md", ROOT / "docs" / "tutorial.md"


class Ran(NamedTuple):
    """A command of the tutorial, what is shown below it, and what it did."""

    command: str
    shown: list[str]
    exit_code: int
    stdout: str
    stderr: str


def blocks_of(page: Path, language: str) -> list[str]:
    """The fenced blocks of ``language`` in a page."""
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)


def tour(page: Path) -> list[tuple[str, list[str]]]:
    """Each command in a page's console blocks, with the lines shown below it."""
    commands: list[tuple[str, list[str]]] = []
    for line in "".join(blocks_of(page, "console")).splitlines():
        if line.startswith("$ "):
            commands.append((line[2:], []))
        else:
            commands[-1][1].append(line)
    return commands


def shape(line: str, home: str) -> str:
    """A line without what differs from run to run and machine to machine: numbers, the home folder, column widths."""
    line = line.replace(home, "/home/me")
    line = re.sub(r"(?<=[\w-])e-\d+|\d+(\.\d+)?", "#", line)
    return re.sub(r"\s+", " ", re.sub(r"-{2,}", "--", line)).strip()


@pytest.fixture(scope="module")
def toured(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Ran]]:
    """The folder in which all of the tutorial's commands ran, and what each did."""
    folder = tmp_path_factory.mktemp("tour")
    bin_folder = str(Path(sys.executable).parent)
    environment = os.environ | {"PATH": f"{bin_folder}:{os.environ['PATH']}", "HF_HUB_OFFLINE": "1"}
    ran = []
    for command, shown in tour(TUTORIAL):
        done = subprocess.run(command, shell=True, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        ran.append(Ran(command, shown, done.returncode, done.stdout, done.stderr))
    return folder, ran


# A line of an ingest that takes longer than some seconds.
PROGRESS = re.compile(r"\d+/\d+ videos ")


def test_the_tour_goes_as_shown(toured: tuple[Path, list[Ran]]) -> None:
    """The same lines in the same places; random models rank differently on other processors, so hits may differ."""
    folder, ran = toured
    assert len(ran) >= 9
    for command, shown, exit_code, stdout, stderr in ran:
        assert exit_code == 0, (command, stderr)
        assert [line for line in stderr.splitlines() if not PROGRESS.match(line)] == [], command
        printed = [shape(line, str(folder)) for line in stdout.splitlines()]
        expected = [shape(line, str(folder)) for line in shown]
        if command.startswith(("vidsift search", "vidsift sql")):
            is_json = printed[0].startswith('{"rank": #, "score": #, "path": "/home/me/videos/')
            assert printed[:1] == expected[:1] or is_json
            assert len(printed) == len(expected) or command.startswith("vidsift sql"), command
        else:
            layout = re.compile("^(bound by|# decoder).*")  # differs by machine
            either = [[layout.sub(r"\1", line) for line in lines] for lines in (printed, expected)]
            assert either[0] == either[1], command


def test_the_readme_shows_a_part_of_the_tutorial() -> None:
    """Its commands come in the tutorial's order with the tutorial's output, so that running the tutorial tests both."""
    rest: Iterator[tuple[str, list[str]]] = iter(tour(TUTORIAL))
    commands = tour(README)
    assert [command.split()[:2] for command, _ in commands if command.startswith("vidsift")] == [
        ["vidsift", "ingest"],
        ["vidsift", "search"],
        ["vidsift", "sql"],
    ]
    for step in commands:
        assert step in rest, step  # takes from the iterator up to the step: the order counts


def test_the_readmes_example_in_python_runs_as_it_stands(
    toured: tuple[Path, list[Ran]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the tutorial's folder, with marked moments of two actions as examples.csv."""
    folder, _ = toured
    monkeypatch.chdir(folder)
    with open("videos/truth.csv", encoding="utf-8", newline="") as source, open("examples.csv", "w", newline="") as target:
        writer = csv.writer(target)
        writer.writerow(["path", "start_s", "end_s", "tag"])
        for row in csv.DictReader(source):
            if row["action"] in ("standing up", "raising an arm"):
                writer.writerow(["videos/" + row["path"], row["start_s"], row["end_s"], row["action"]])
    (example,) = blocks_of(README, "python")
    names: dict[str, object] = {}
    exec(compile(example, "README.md", "exec"), names)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "9 videos are known already"
    assert re.fullmatch(r"[01]\.\d+ of the labels are right", lines[1])
    assert len(lines) == 5
    assert all(re.fullmatch(rf"{re.escape(str(folder))}/videos/\S+ [\d.]+ [\d.]+ \w[\w ]+", line) for line in lines[2:])
    tags = names["tags"].to_pydict()  # type: ignore[attr-defined]
    assert {"raising an arm", "standing up"} <= set(tags["tag"])


def test_the_guides_example_in_python_runs_as_it_stands(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    classifier_checkpoint: Checkpoint,
    embedder_checkpoint: Checkpoint,
) -> None:
    page = ROOT / "docs" / "guides" / "python.md"
    (example,) = (block for block in blocks_of(page, "python") if "open_library" in block)
    write_searchable(tmp_path / "library", classifier_checkpoint, embedder_checkpoint)
    monkeypatch.chdir(tmp_path)
    exec(compile(example, page.name, "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["1", "2", "3", "4", "5", "40"]
    assert all(re.fullmatch(r"\d /v/\d\d\.mp4 \d+\.0 \d+\.0 [01]\.\d+", line) for line in lines[:-1])
    assert lines[-1] == "40 40"
