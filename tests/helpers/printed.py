"""Numbers as people see them: what models compute differs in the last digits, by machine, threads and batches."""

from __future__ import annotations

from typing import Any


def as_printed(value: Any) -> Any:
    """The same JSON value with every number to the ten-thousandth."""
    if isinstance(value, dict):
        return {key: as_printed(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [as_printed(inner) for inner in value]
    return round(value, 4) if isinstance(value, float) else value
