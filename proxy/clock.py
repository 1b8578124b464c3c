"""The time as a seam: code that needs it takes a `Clock`, and tests pass one whose hands they turn."""

import time
from collections.abc import Callable
from typing import Protocol


class Clock(Protocol):
    """Two readings, both whole microseconds."""

    def now_us(self) -> int:
        """Return the wall time as microseconds since 1970-01-01 UTC; never less than it returned before."""
        ...

    def monotonic_us(self) -> int:
        """Return microseconds since an arbitrary moment, for durations; wall time does not move it."""
        ...


class SystemClock:
    """The machine's clock. One instance serves a whole process, in one thread.

    When the machine's wall clock is set back, `now_us` stands still until the wall clock has caught up. So
    entries stay in order, and an expiry comes late and not twice. `monotonic_us` goes on.
    """

    def __init__(
        self,
        *,
        wall_ns: Callable[[], int] = time.time_ns,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._wall_ns = wall_ns
        self._monotonic_ns = monotonic_ns
        self._latest_us = 0

    def now_us(self) -> int:
        """Return the wall time in microseconds since the epoch, never less than it returned before."""
        now_us = self._wall_ns() // 1_000
        if now_us < self._latest_us:
            return self._latest_us
        self._latest_us = now_us
        return now_us

    def monotonic_us(self) -> int:
        """Return the machine's monotonic time in microseconds."""
        return self._monotonic_ns() // 1_000
