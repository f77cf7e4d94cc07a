"""A process that crashes or hangs in the middle of a task costs that task, and the next one has a new process."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator

import pytest

from pipeline.isolated_process import IsolatedProcess, ProcessCrashed, TaskTimedOut
from schemas.errors import VideoError


def own_pid(_: object) -> int:
    return os.getpid()


def end_by(number: int) -> None:
    os.kill(os.getpid(), number)
    time.sleep(60)


def leave(code: int) -> None:
    os._exit(code)


def sleep(seconds: float) -> None:
    time.sleep(seconds)


def refuse(reason: str) -> None:
    raise VideoError("decode", reason)


class Unpicklable(Exception):
    def __init__(self, one: str, two: str) -> None:
        super().__init__(one + two)


def raise_unpicklable(_: object) -> None:
    raise Unpicklable("a", "b")


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture
def process() -> Iterator[IsolatedProcess]:
    process = IsolatedProcess()
    yield process
    process.kill()


def test_one_process_does_task_after_task(process: IsolatedProcess) -> None:
    pid = process.run(own_pid, None)
    assert pid == process.pid != os.getpid()
    assert process.run(own_pid, None) == pid


def test_errors_come_back_and_cost_no_process(process: IsolatedProcess) -> None:
    pid = process.run(own_pid, None)
    with pytest.raises(VideoError) as caught:
        process.run(refuse, "why")
    assert (caught.value.stage, caught.value.reason) == ("decode", "why")
    with pytest.raises(RuntimeError, match=r"^Unpicklable: ab$"):
        process.run(raise_unpicklable, None)
    assert process.run(own_pid, None) == pid


def test_crash_says_how_and_the_next_task_has_a_new_process(process: IsolatedProcess) -> None:
    pid = process.run(own_pid, None)
    with pytest.raises(ProcessCrashed, match=r"^the process was ended by SIGKILL$"):
        process.run(end_by, signal.SIGKILL)
    with pytest.raises(ProcessCrashed, match=r"^the process was ended by SIGSEGV$"):
        process.run(end_by, signal.SIGSEGV)
    with pytest.raises(ProcessCrashed, match=r"^the process ended with exit code 3$"):
        process.run(leave, 3)
    assert process.run(own_pid, None) != pid


def test_task_that_takes_too_long_is_killed(process: IsolatedProcess) -> None:
    pid = process.run(own_pid, None)
    began_s = time.monotonic()
    with pytest.raises(TaskTimedOut, match=r"^it took longer than 0.3 s$"):
        process.run(sleep, 60.0, timeout_s=0.3)
    assert time.monotonic() - began_s < 10
    assert not is_running(pid)
    assert process.run(own_pid, None, timeout_s=5) != pid


def test_stop_ends_a_task_from_another_thread_and_allows_no_other(process: IsolatedProcess) -> None:
    pid = process.run(own_pid, None)
    threading.Timer(0.2, process.stop).start()
    with pytest.raises(ProcessCrashed):
        process.run(sleep, 60.0)
    assert not is_running(pid)
    with pytest.raises(ProcessCrashed):
        process.run(own_pid, None)
    assert process.pid is None
