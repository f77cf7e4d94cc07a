"""How far a run is that does one thing after another, as a line for people."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from schemas.text import clock


@dataclass(frozen=True, slots=True)
class CountProgress:
    """How far a run is.

    Attributes:
        done: things that are done, of ``total``.
        elapsed_s: seconds since it began.
        unit: what the things are, such as ``videos annotated``.
    """

    done: int
    total: int
    elapsed_s: float
    unit: str

    def fields(self) -> dict[str, Any]:
        """The same for a log."""
        return {"done": self.done, "total": self.total, "unit": self.unit, "seconds": self.elapsed_s}

    def __str__(self) -> str:
        """One line for people."""
        left = f" · about {clock(self.elapsed_s / self.done * (self.total - self.done))} left" if self.done else ""
        return f"{self.done}/{self.total} {self.unit}{left}"
