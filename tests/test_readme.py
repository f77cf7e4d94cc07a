"""The README's commands do what it shows."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from schemas.models import Checkpoint
from tests.helpers.searchable import write_searchable

ROOT = Path(__file__).parents[1]


def tour() -> list[tuple[str, list[str]]]:
    """Each command in the README's console blocks, with the lines shown below it."""
    blocks = re.findall(r"```console\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    commands: list[tuple[str, list[str]]] = []
    for line in "".join(blocks).splitlines():
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


def test_the_example_in_python_runs_as_it_stands(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    classifier_checkpoint: Checkpoint,
    embedder_checkpoint: Checkpoint,
) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    (example,) = (block for block in blocks if "open_library" in block)
    write_searchable(tmp_path / "library", classifier_checkpoint, embedder_checkpoint)
    monkeypatch.chdir(tmp_path)
    exec(compile(example, "README.md", "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["1", "2", "3", "4", "5", "40"]
    assert all(re.fullmatch(r"\d /v/\d\d\.mp4 \d+\.0 \d+\.0 [01]\.\d+", line) for line in lines[:-1])
    assert lines[-1] == "40 40"


@pytest.mark.timeout(240)
def test_the_tour_goes_as_shown(tmp_path: Path) -> None:
    """The same lines in the same places; random models rank differently on other processors, so hits may differ."""
    bin_folder = str(Path(sys.executable).parent)
    environment = os.environ | {"PATH": f"{bin_folder}:{os.environ['PATH']}", "HF_HUB_OFFLINE": "1"}
    commands = tour()
    assert len(commands) >= 9
    for command, shown in commands:
        done = subprocess.run(
            command, shell=True, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, (command, done.stderr)
        assert done.stderr == "", command
        found = [shape(line, str(tmp_path)) for line in done.stdout.splitlines()]
        expected = [shape(line, str(tmp_path)) for line in shown]
        if command.startswith(("vidsift search", "vidsift sql")):
            assert found[:1] == expected[:1] or found[0].startswith('{"rank": #, "score": #, "path": "/home/me/videos/')
            assert len(found) == len(expected) or command.startswith("vidsift sql"), command
        else:
            layout = re.compile("^(bound by|# decoder).*")  # differs by machine
            either = [[layout.sub(r"\1", line) for line in lines] for lines in (found, expected)]
            assert either[0] == either[1], command


def test_the_tree_names_every_folder() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    tree = text[text.index("## The tree") :]
    for part in ("schemas", "pipeline", "index", "jobs", "commands"):
        for folder in (path.parent for path in (ROOT / part).rglob("__init__.py")):
            assert f" {folder.relative_to(ROOT)}/" in tree, folder


def test_the_tables_have_the_columns_that_the_readme_says() -> None:
    from index.snapshot.catalog_build import write_catalog
    from index.sql.catalog import Catalog

    text = (ROOT / "README.md").read_text(encoding="utf-8")
    documented = dict(re.findall(r"^\| `(\w+)` \| ([\w, ]+?)(?: \(.*\))? \|$", text, re.MULTILINE))
    assert list(documented) == ["videos", "clips", "labels", "tags"]
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        write_catalog(Path(folder) / "c.duckdb", [], [])
        catalog = Catalog(Path(folder) / "c.duckdb")
        for table, columns in documented.items():
            assert catalog.sql(f"select * from {table}").column_names == columns.split(", ")
        catalog.close()
