"""Calls in processes of their own."""

from __future__ import annotations

import os
import time
from concurrent.futures.process import _ExecutorManagerThread
from threading import enumerate as threads

import pytest

from jobs.isolated import call_isolated


def _half(number: int) -> int:
    if number % 5 == 3:
        os._exit(1)
    time.sleep(0.01 * (number % 3))
    return number // 2 if number >= 0 else number // 0


def test_a_call_that_ends_its_process_costs_itself_alone() -> None:
    found = list(call_isolated(_half, range(40), num_processes=3, crashed=lambda number: -number))
    assert found == [(number, -number if number % 5 == 3 else number // 2) for number in range(40)]
    assert not [thread for thread in threads() if isinstance(thread, _ExecutorManagerThread)], "all pools have ended"


def test_what_a_call_raises_is_raised_and_nothing_is_left_running() -> None:
    with pytest.raises(ZeroDivisionError):
        list(call_isolated(_half, [4, -1, *range(100)], num_processes=2, crashed=lambda number: number))
    assert not [thread for thread in threads() if isinstance(thread, _ExecutorManagerThread)]


def test_results_that_nobody_asks_for_are_not_made() -> None:
    asked = []
    found = call_isolated(_half, (asked.append(n) or n for n in range(100)), num_processes=1, crashed=lambda number: 0)  # type: ignore[func-returns-value]
    assert next(found) == (0, 0)
    found.close()
    assert len(asked) == 3
