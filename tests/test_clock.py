"""Wall time never goes back, and durations do not depend on it."""

import time

from hypothesis import given
from hypothesis import strategies as st

from proxy.clock import Clock, SystemClock


@given(st.lists(st.integers(min_value=0, max_value=2**63 - 1), min_size=1))
def test_the_wall_time_is_the_machines_unless_that_went_back(readings_ns: list[int]) -> None:
    hands = iter(readings_ns)
    clock = SystemClock(wall_ns=lambda: next(hands))
    told_us = [clock.now_us() for _ in readings_ns]
    assert told_us == [max(readings_ns[: count + 1]) // 1_000 for count in range(len(readings_ns))]


def test_a_wall_set_back_does_not_stop_durations() -> None:
    wall_ns = iter([5_000_000, 1_000_000])
    monotonic_ns = iter([7_000, 9_999])
    clock = SystemClock(wall_ns=lambda: next(wall_ns), monotonic_ns=lambda: next(monotonic_ns))
    assert (clock.now_us(), clock.monotonic_us()) == (5_000, 7)
    assert (clock.now_us(), clock.monotonic_us()) == (5_000, 9)


def test_readings_are_the_machines_in_microseconds() -> None:
    clock: Clock = SystemClock()
    before_ns, monotonic_before_ns = time.time_ns(), time.monotonic_ns()
    assert clock.now_us() >= before_ns // 1_000
    assert clock.monotonic_us() >= monotonic_before_ns // 1_000
    assert clock.now_us() <= time.time_ns() // 1_000
    assert clock.monotonic_us() <= time.monotonic_ns() // 1_000
