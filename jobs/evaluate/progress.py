"""How far an evaluation is."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EvaluationProgress:
    """How far an evaluation is.

    Attributes:
        done: examples measured, or questions asked.
        total: of how many.
        elapsed_s: seconds so far.
        verb: what is done to them: ``measured``, ``asked``.
        noun: what they are: ``examples``, ``questions``.
    """

    done: int
    total: int
    elapsed_s: float
    verb: str
    noun: str

    def __str__(self) -> str:
        return f"{self.verb} {self.done} of {self.total} {self.noun}, {self.elapsed_s:.0f} s so far"


def question_counter(total: int, on_progress: Callable[[EvaluationProgress], None]) -> Callable[[], None]:
    """A function to call after each question; it reports how many of ``total`` were asked."""
    began, done = time.monotonic(), 0

    def count() -> None:
        nonlocal done
        done += 1
        on_progress(EvaluationProgress(done, total, time.monotonic() - began, "asked", "questions"))

    return count
