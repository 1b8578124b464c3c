"""The time as a seam: code that needs it takes a `Clock`, and tests pass one whose hands they turn."""

import time
from collections.abc import Callable
from typing import Final, Protocol

STEP_US: Final = 1_000_000
_STEP_NS: Final = STEP_US * 1_000
"""By how much the wall clock has to be off to count as set. By less it is only being adjusted."""
_COMPARED_US: Final = 10_000
"""For how long after it was compared with the monotonic clock the wall clock is taken by itself."""


class Clock(Protocol):
    """Two readings, both whole microseconds."""

    def now_us(self) -> int:
        """Return the wall time as microseconds since 1970-01-01 UTC.

        It is less than before only if the machine's wall clock was set back by `STEP_US` or more.
        """
        ...

    def monotonic_us(self) -> int:
        """Return microseconds since an arbitrary moment, for durations; wall time does not move it."""
        ...


class SystemClock:
    """The machine's clock. One instance serves a whole process, in one thread.

    The monotonic clock tells how much time has passed. Where the wall clock says something else by `STEP_US`
    or more it was set: the time follows it at once, in either direction, and `on_step` gets by how many
    microseconds. When it is back by less, the time stands still for that long.
    """

    def __init__(
        self,
        *,
        wall_ns: Callable[[], int] = time.time_ns,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
        on_step: Callable[[int], object] = lambda _: None,
    ) -> None:
        self._wall_ns = wall_ns
        self._monotonic_ns = monotonic_ns
        self._on_step = on_step
        now_ns = wall_ns()
        self._latest_us = now_ns // 1_000
        self._anchor_ns = now_ns - monotonic_ns()
        self._compare_at_us = self._latest_us

    def now_us(self) -> int:
        """Return the wall time in microseconds since the epoch; see `Clock.now_us`."""
        now_ns = self._wall_ns()
        now_us = now_ns // 1_000
        if self._latest_us <= now_us < self._compare_at_us:
            self._latest_us = now_us
            return now_us
        return self._compared(now_ns, now_us)

    def _compared(self, now_ns: int, now_us: int) -> int:
        """The time after a look at both clocks."""
        anchor_ns = now_ns - self._monotonic_ns()
        step_ns = anchor_ns - self._anchor_ns
        self._anchor_ns = anchor_ns
        self._compare_at_us = now_us + _COMPARED_US
        if now_us < self._latest_us or not -_STEP_NS < step_ns < _STEP_NS:
            return self._set_to(now_us, step_ns)
        self._latest_us = now_us
        return now_us

    def _set_to(self, now_us: int, step_ns: int) -> int:
        """Follow a step of the wall clock, or stand still where it went back by less."""
        if abs(step_ns) >= _STEP_NS or now_us <= self._latest_us - STEP_US:
            self._on_step(step_ns // 1_000)
            self._latest_us = now_us
        return self._latest_us

    def monotonic_us(self) -> int:
        """Return the machine's monotonic time in microseconds."""
        return self._monotonic_ns() // 1_000
