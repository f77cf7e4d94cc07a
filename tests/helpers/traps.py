"""A folder in which every module that Python may look for is a trap."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

from tests.helpers.processes import BIN

TRAP = """import os, sys
with open(os.path.join({sprung!r}, __name__), "a") as out:
    out.write(f"process {{os.getpid()}}: {{sys.argv}}\\n")
raise ImportError("a trap")
"""


class Traps:
    """A folder with a module for every name that Python may look for here, and videos among them.

    Attributes:
        sprung: the folder with a file for each that was imported.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.sprung = folder / "archive", folder / "sprung"
        for made in (self.folder, self.sprung):
            made.mkdir()
        own = {
            "cli",
            "schemas",
            "pipeline",
            "index",
            "jobs",
            "demo",
            "tests",
            "benchmarks",
            "sitecustomize",
            "usercustomize",
        }
        for name in own | set(sys.stdlib_module_names) | set(packages_distributions()):
            if name.isidentifier():
                (self.folder / f"{name}.py").write_text(TRAP.format(sprung=str(self.sprung)))

    def run(self, *command: str | Path, **environment: str) -> str:
        """What the installed command says when it is started in the folder."""
        done = subprocess.run(
            [BIN / "vidsift", *command], cwd=self.folder, env=os.environ | {"HF_HUB_OFFLINE": "1"} | environment,
            capture_output=True, text=True, check=False, timeout=250,
        )  # fmt: skip
        told = {file.name: file.read_text() for file in self.sprung.iterdir()}
        assert told == {}
        assert done.returncode == 0, done.stderr
        return done.stdout
