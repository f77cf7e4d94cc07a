"""Work in processes apart: in order, and what takes a process down costs itself alone."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures.process import _ExecutorManagerThread
from pathlib import Path

import pytest

from jobs.isolated_process import in_processes


def tenfold(number: int) -> int:
    if number % 5 == 3:
        os.abort()
    if number == 7:
        raise ValueError("seven")
    return 10 * number


@pytest.mark.parametrize("cpus", [1, 2])
def test_a_crash_costs_itself(cpus: int) -> None:
    assert list(in_processes(tenfold, [1, 2, 3, 4, 5, 6, 8], cpus)) == [10, 20, None, 40, 50, 60, None]


def test_a_crash_costs_itself_among_many_and_nothing_is_left_running() -> None:
    found = list(in_processes(tenfold, range(8, 48), 3))
    assert found == [None if number % 5 == 3 else 10 * number for number in range(8, 48)]
    assert not [thread for thread in threading.enumerate() if isinstance(thread, _ExecutorManagerThread)]


def test_what_is_raised_is_raised_and_nothing_is_left_running() -> None:
    with pytest.raises(ValueError, match="seven"):
        list(in_processes(tenfold, [1, 7, *range(20, 120)], 2))
    assert not [thread for thread in threading.enumerate() if isinstance(thread, _ExecutorManagerThread)]


def test_what_nobody_asks_for_is_not_worked_on() -> None:
    asked: list[int] = []

    def items() -> Iterator[int]:
        for number in range(20, 120):
            asked.append(number)
            yield number

    found = in_processes(tenfold, items(), 1)
    assert next(found) == 200
    found.close()
    assert asked == [20, 21, 22]


def note_and_wait(path: str) -> None:
    Path(path).write_text(str(os.getpid()))
    time.sleep(60)


def test_no_process_outlives_the_one_it_works_for(tmp_path: Path) -> None:
    program = (
        "import sys\nfrom jobs.isolated_process import in_processes\n"
        "from tests.jobs.test_isolated_process import note_and_wait\n"
        "if __name__ == '__main__': list(in_processes(note_and_wait, sys.argv[1:], 1))"
    )
    note = tmp_path / "pid"
    with subprocess.Popen([sys.executable, "-c", program, str(note)]) as main:
        until_s = time.monotonic() + 30
        while not (note.exists() and note.read_text()) and time.monotonic() < until_s:
            time.sleep(0.05)
        main.kill()
    worker = int(note.read_text())
    until_s = time.monotonic() + 10
    while Path(f"/proc/{worker}").exists() and time.monotonic() < until_s:
        time.sleep(0.05)
    assert not Path(f"/proc/{worker}").exists()
