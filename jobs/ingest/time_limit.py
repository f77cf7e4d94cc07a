"""When a run begins nothing more: after so many hours, or at a time of day."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable
from datetime import datetime, timedelta

from schemas.errors import UsageError

_TIME_OF_DAY = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)")


class TimeLimit:
    """The end of a run's time. Once it is up it stays so, whatever happens to the machine's clock."""

    def __init__(
        self, max_hours: float | None = None, stop_at: str | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        """Begin to count; the earlier of two limits holds.

        Args:
            max_hours: hours from now.
            stop_at: a time of day, ``HH:MM`` of this machine's clock: the next one.
            clock: seconds since 1970.

        Raises:
            UsageError: one of them is out of its range.
        """
        self._clock, now_s = clock, clock()
        ends = [math.inf]
        if max_hours is not None:
            if not 0 < max_hours < math.inf:
                raise UsageError(f"got {max_hours:g}, expected a number of hours above 0", argument="max_hours")
            ends.append(now_s + 3600 * max_hours)
        if stop_at is not None:
            ends.append(_next(stop_at, now_s))
        self._ends_s, self._is_up = min(ends), False

    def is_up(self) -> bool:
        """Whether nothing more may be begun."""
        self._is_up = self._is_up or self._clock() >= self._ends_s
        return self._is_up


def _next(time_of_day: str, now_s: float) -> float:
    """When the clock shows this time next, in seconds since 1970.

    Raises:
        UsageError: it is no time of day.
    """
    match = _TIME_OF_DAY.fullmatch(time_of_day.strip())
    if match is None:
        raise UsageError(f"got {time_of_day!r}, expected a time of day such as 06:30", argument="stop_at")
    now = datetime.fromtimestamp(now_s)
    then = now.replace(hour=int(match[1]), minute=int(match[2]), second=0, microsecond=0)
    if then <= now:
        then += timedelta(days=1)  # on the calendar: a night in which the clock is changed has another length
    return then.timestamp()
