"""How close two times are that count as one."""

from __future__ import annotations

ROUNDING_S = 4e-6
"""Computed times closer than this are one: a third of a 90 kHz tick, and far below any frame's length."""

SAME_MOMENT_S = 1e-3
"""Clips' ends and times that people type are one where they are closer than this: players show milliseconds."""
