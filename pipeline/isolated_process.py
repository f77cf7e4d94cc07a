"""A process that does one task after the other: a file that crashes or stops a library takes it down, and nothing else."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, TypeVar, cast

from pipeline.child_processes import start_fork_server

Task = TypeVar("Task")
Result = TypeVar("Result")

_fork_server = threading.Lock()

# A process that has not imported what it needs after this many seconds never will.
_START_S = 120.0


class ProcessCrashed(Exception):
    """The process ended in the middle of a task."""


class TaskTimedOut(Exception):
    """The task took too long, and its process was killed."""


class IsolatedProcess:
    """A process of its own, started with the first task and again after it has died. For one thread at a time.

    It is forked from a server that has none of this process's threads and files. It ends with this process.
    """

    def __init__(self) -> None:
        self._process: multiprocessing.process.BaseProcess | None = None
        self._connection: Connection[Any, Any] | None = None
        self._stopped = False

    @property
    def pid(self) -> int | None:
        """The number of the process that runs; None where none does."""
        return None if self._process is None else self._process.pid

    def run(self, work: Callable[[Task], Result], task: Task, timeout_s: float | None = None) -> Result:
        """The result of ``work(task)``, computed in the process.

        Args:
            work: a function at the top of a module.
            task: its argument, which is pickled.
            timeout_s: seconds after which the process is killed; None waits for ever. Starting the process and importing
                the module of ``work`` do not count.

        Raises:
            ProcessCrashed: the process died.
            TaskTimedOut: it took longer than ``timeout_s``.
            Exception: what ``work`` raised.
        """
        try:
            connection = self._started()
            if self._stopped:
                raise EOFError
            connection.send(work)
            _wait_until_ready(connection)
            connection.send(task)
            if not connection.poll(timeout_s):
                self.kill()
                raise TaskTimedOut(f"it took longer than {timeout_s:g} s")
            succeeded, outcome = connection.recv()
        except (EOFError, ConnectionError) as exc:
            raise ProcessCrashed(_how_ended(self.kill())) from exc
        except BaseException:
            self.kill()
            raise
        if succeeded:
            return cast("Result", outcome)
        raise outcome

    def stop(self) -> None:
        """End the process from another thread than that which runs a task in it; no further task is run."""
        self._stopped = True
        process = self._process
        if process is not None:
            process.kill()

    def kill(self) -> int | None:
        """End the process at once, if there is one: its exit code, negative for the signal that ended it."""
        process, connection = self._process, self._connection
        self._process = self._connection = None
        if connection is not None:
            connection.close()
        if process is None:
            return None
        if connection is not None:
            process.join(0.2)  # one that has crashed says by what
        process.kill()
        process.join()
        return process.exitcode

    def _started(self) -> Connection[Any, Any]:
        """The connection to a process that waits for a task, or will."""
        if self._connection is not None:
            return self._connection
        context = multiprocessing.get_context("forkserver")
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs,), daemon=True)
        with _fork_server:
            start_fork_server()
            process.start()
        theirs.close()
        self._process, self._connection = process, ours
        return ours


def _wait_until_ready(connection: Connection[Any, Any]) -> None:
    """Wait for a process that has been sent a function.

    Raises:
        EOFError: it died on the way, or it never comes.
    """
    if not connection.poll(_START_S):
        raise EOFError
    connection.recv()


def end_with_parent() -> None:
    """Make this process end at once at Ctrl-C, and when its parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    threading.Thread(target=_wait_for_parent, daemon=True).start()


def _wait_for_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _serve(connection: Connection[Any, Any]) -> None:
    """Do tasks until the other end of the connection is closed."""
    end_with_parent()
    while True:
        try:
            work = connection.recv()
            connection.send(None)
            task = connection.recv()
        except (EOFError, ConnectionError):
            return
        try:
            outcome = True, work(task)
        except Exception as exc:  # noqa: BLE001 - raised again where the task came from
            outcome = False, _picklable(exc)
        connection.send(outcome)


def _picklable(exc: Exception) -> Exception:
    """The exception; one with the same text, where it cannot be sent to another process."""
    try:
        pickle.loads(pickle.dumps(exc))
    except Exception:  # noqa: BLE001 - whatever an exception's class makes of being copied
        return RuntimeError(f"{type(exc).__name__}: {exc}")
    return exc


def _how_ended(code: int | None) -> str:
    if code is not None and code < 0:
        return f"the process was ended by {signal.Signals(-code).name}"
    return f"the process ended with exit code {code}"
