"""Wall time goes on with the machine's, follows it when it is set, and durations do not depend on it."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.clock import STEP_US, Clock, SystemClock

SECOND_US = 1_000_000
HOUR_US = 3_600 * SECOND_US
START_US = 1_700_000_000 * SECOND_US


class Machine:
    """A machine whose time passes, and whose wall clock is set, when a test says so."""

    def __init__(self) -> None:
        self.passed_us = 5 * HOUR_US
        self.set_by_us = 0
        self.steps_us: list[int] = []
        self.clock = SystemClock(
            wall_ns=lambda: self.wall_us() * 1_000,
            monotonic_ns=lambda: self.passed_us * 1_000,
            on_step=self.steps_us.append,
        )

    def wall_us(self) -> int:
        return START_US + self.passed_us + self.set_by_us


@pytest.mark.parametrize("pause_us", [0, 1, SECOND_US, 10 * HOUR_US])
@pytest.mark.parametrize("step_us", [STEP_US, -STEP_US, HOUR_US, -HOUR_US, 9_000 * HOUR_US, -9_000 * HOUR_US])
def test_a_step_of_the_wall_clock_is_followed_at_once_and_told_once(step_us: int, pause_us: int) -> None:
    """In both directions, however long nobody had asked before."""
    machine = Machine()
    for _ in range(3):
        machine.passed_us += pause_us
        assert machine.clock.now_us() == machine.wall_us()
    machine.passed_us += pause_us
    machine.set_by_us += step_us
    for _ in range(3):
        assert machine.clock.now_us() == machine.wall_us()
        machine.passed_us += pause_us
    assert machine.steps_us == [step_us]


def test_a_jump_ahead_that_is_taken_back_leaves_nothing() -> None:
    machine = Machine()
    for step_us in (HOUR_US, -HOUR_US):
        machine.set_by_us += step_us
        machine.passed_us += 1
        assert machine.clock.now_us() == machine.wall_us()
    assert machine.steps_us == [HOUR_US, -HOUR_US]


def test_time_stands_still_for_less_than_a_step() -> None:
    """A clock that is only being adjusted never makes the time run back."""
    machine = Machine()
    before_us = machine.clock.now_us()
    machine.set_by_us -= STEP_US - 1
    assert machine.clock.now_us() == before_us
    machine.passed_us += STEP_US - 2
    assert machine.clock.now_us() == before_us
    machine.passed_us += 2
    assert machine.clock.now_us() == before_us + 1
    assert machine.steps_us == []


def test_many_small_steps_back_do_not_add_up_to_a_standstill() -> None:
    machine = Machine()
    for _ in range(100):
        machine.set_by_us -= STEP_US // 2
        assert 0 <= machine.clock.now_us() - machine.wall_us() < STEP_US
    assert len(machine.steps_us) == 50


@given(moves=st.lists(st.tuples(st.integers(0, 3 * SECOND_US), st.integers(-3 * SECOND_US, 3 * SECOND_US))))
def test_the_time_is_never_a_second_off_and_runs_back_only_when_it_is_told(
    moves: list[tuple[int, int]],
) -> None:
    machine, before_us = Machine(), 0
    for pause_us, step_us in moves:
        machine.passed_us += pause_us
        machine.set_by_us += step_us
        told = len(machine.steps_us)
        now_us = machine.clock.now_us()
        assert 0 <= now_us - machine.wall_us() < STEP_US
        assert now_us >= before_us or len(machine.steps_us) > told
        before_us = now_us


def test_a_wall_that_is_set_does_not_touch_durations() -> None:
    machine = Machine()
    before_us = machine.clock.monotonic_us()
    machine.set_by_us -= HOUR_US
    machine.passed_us += 9
    machine.clock.now_us()
    assert machine.clock.monotonic_us() == before_us + 9


def test_readings_are_the_machines_in_microseconds() -> None:
    clock: Clock = SystemClock()
    before_ns, monotonic_before_ns = time.time_ns(), time.monotonic_ns()
    assert clock.now_us() >= before_ns // 1_000
    assert clock.monotonic_us() >= monotonic_before_ns // 1_000
    assert clock.now_us() <= time.time_ns() // 1_000
    assert clock.monotonic_us() <= time.monotonic_ns() // 1_000
