"""Processes that a command starts: which they are, and where they listen."""

from __future__ import annotations

import ipaddress
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import psutil  # type: ignore[import-untyped]

BIN = Path(sys.executable).parent


def outside() -> dict[str, str]:
    """This process's environment without what Ray puts there, as another test's Ray in this process does."""
    return {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}


class Ended(NamedTuple):
    """A process that has ended.

    Attributes:
        code: its exit code; negative for the signal that ended it.
    """

    code: int
    stdout: str
    stderr: str


_FORKS = """
import json, os, sys, traceback
setup, runs = json.load(sys.stdin)
exec(setup)
for code, stdout, stderr in runs:
    sys.stdout.flush()
    pid = os.fork()
    if not pid:
        try:
            for stream, path in ((1, stdout), (2, stderr)):
                os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), stream)
            exec(code)
            ended = 0
        except SystemExit as exc:
            ended = exc.code or 0
        except BaseException:
            traceback.print_exc()
            ended = 1
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(ended)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


def in_forks(folder: Path, setup: str, runs: Mapping[str, str]) -> dict[str, Ended]:
    """What comes of each program in ``runs``: each in a process of its own, forked from one that has run ``setup``.

    Importing takes a process seconds, and one import serves all of them.
    """
    names = {name: [str(folder / f"{number}.{end}") for end in ("out", "err")] for number, name in enumerate(runs)}
    given = json.dumps([setup, [[code, *names[name]] for name, code in runs.items()]])
    done = subprocess.run([sys.executable, "-c", _FORKS], input=given, capture_output=True, text=True, check=True)
    texts = {name: [Path(path).read_text() for path in paths] for name, paths in names.items()}
    return {name: Ended(int(code), *texts[name]) for name, code in zip(runs, done.stdout.split(), strict=True)}


def family(driver: int) -> list[psutil.Process]:
    """A process and all that it and its children have started."""
    try:
        parent = psutil.Process(driver)
        return [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def listening(driver: int) -> set[str]:
    """The addresses at which a process and its descendants wait for connections, as the system tells."""
    inodes = set()
    for process in family(driver):
        with suppress(OSError):
            for link in Path(f"/proc/{process.pid}/fd").iterdir():
                with suppress(OSError):
                    inodes.add(os.readlink(link))
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            (
                _,
                local,
                _,
                state,
                *_,
            ) = fields = line.split()
            if state == "0A" and f"socket:[{fields[9]}]" in inodes:
                words = bytes.fromhex(local.split(":")[0])
                packed = b"".join(words[at : at + 4][::-1] for at in range(0, len(words), 4))
                found.add(str(ipaddress.ip_address(packed)))
    return found


def watch(place: Path, *command: str | Path, cwd: Path | None = None) -> tuple[str, set[str], set[str]]:
    """What the installed command prints; at which addresses it listens meanwhile; the processes that it consists of."""
    driver = subprocess.Popen(
        [BIN / "vidsift", *command], stdout=subprocess.PIPE, text=True, cwd=cwd, env=outside() | {"TMPDIR": str(place)}
    )
    addresses: set[str] = set()
    names: set[str] = set()
    while driver.poll() is None:
        addresses |= listening(driver.pid)
        for process in family(driver.pid):
            with suppress(psutil.Error):
                names.add(process.name())
        time.sleep(0.2)
    plain = {str(getattr(ipaddress.ip_address(one), "ipv4_mapped", None) or one) for one in addresses}
    return driver.communicate()[0], plain, names
