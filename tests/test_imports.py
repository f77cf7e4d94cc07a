"""The tree's promises about who imports whom."""

from __future__ import annotations

import ast
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
HEAVY = {"ray", "torch", "transformers", "faiss", "duckdb", "av", "numpy", "pyarrow"}


def test_the_contracts_hold() -> None:
    """Layers and who may use which heavy package: the contracts of import-linter in pyproject.toml."""
    done = subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    assert " 0 broken." in done.stdout


def test_imports_are_absolute() -> None:
    for package in ("schemas", "pipeline", "index", "jobs", "commands", "demo"):
        for path in (ROOT / package).rglob("*.py"):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            assert not [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level], path


def test_help_answers_at_once() -> None:
    """Under half a second, the best of three; and no command and nothing heavy is imported, which keeps it so."""
    program = (
        "import sys, cli\n"
        "try: cli.main(['--help'])\n"
        "except SystemExit: pass\n"
        f"print(sorted({HEAVY} & set(sys.modules)))\n"
        "print(sorted(name for name in sys.modules if name.startswith('commands.')))"
    )
    times = []
    for _ in range(3):
        began = time.perf_counter()
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        times.append(time.perf_counter() - began)
        assert done.stdout.splitlines()[-2:] == ["[]", "['commands.common', 'commands.flags', 'commands.group']"]
    assert min(times) < 0.5


def test_a_command_loads_nothing_heavy_before_it_runs() -> None:
    """So that the help of each command answers at once, too."""
    program = f"import sys, cli\nlist(cli.main.commands.values())\nprint(sorted({HEAVY} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_decode_workers_do_not_load_torch() -> None:
    program = (
        "import sys, jobs.ingest.steps, pipeline.decoders.pyav\n"
        "print(sorted({'ray', 'torch', 'transformers', 'faiss', 'duckdb'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
