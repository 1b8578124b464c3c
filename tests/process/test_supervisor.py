"""What the supervisor does with workers that die, hang or never begin, seen in real processes."""

import contextlib
import os
import select
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager

from tests.sources import ROOT

WAIT_SECONDS = 60.0
"""How long is waited for what has to come. It bounds a test that hangs, and not a slow machine."""

PROGRAM = """
import os, signal, sys, time
from proxy.process.supervisor import Supervisor

def work(lifeline):
{work}

forks = 0

def fork():
    global forks
    forks += 1
    if forks in {failing}:
        raise BlockingIOError(11, "no room for a process")
    return os.fork()

sys.exit(Supervisor(
    workers={workers}, work=work, reload=lambda: True, drain_seconds=lambda: 0.1,
    ended=lambda pid: None, margin_seconds=0.1, fork=fork,
).run())
"""


@contextmanager
def supervised(
    work: str, workers: int = 1, failing: tuple[int, ...] = ()
) -> Iterator["subprocess.Popen[bytes]"]:
    """A supervisor of workers that run `work`. Its standard output has what they print."""
    program = PROGRAM.format(
        work=textwrap.indent(textwrap.dedent(work), "    "), workers=workers, failing=set(failing)
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        bufsize=0,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        # Its workers do not watch their lifeline, and would outlive it.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def lines_until(process: "subprocess.Popen[bytes]", word: str, times: int) -> list[str]:
    """The lines up to the one in which a word comes for the last of so many `times`."""
    assert process.stdout is not None
    lines: list[str] = []
    while sum(word in line for line in lines) < times:
        assert select.select([process.stdout], [], [], WAIT_SECONDS)[0], lines
        line = process.stdout.readline()
        assert line, lines
        lines.append(line.decode())
    return lines


def test_a_worker_that_keeps_dying_is_replaced_after_longer_and_longer() -> None:
    """Each time it was ready and died at once: the pauses double."""
    with supervised("lifeline.ready(); os._exit(7)") as process:
        lines = lines_until(process, "is replaced", 4)
        told = [line for line in lines if "is replaced" in line]
        assert all("exit_code=7" in line for line in told)
        assert all(
            f"after_seconds={pause}" in line for pause, line in zip((0.1, 0.2, 0.4, 0.8), told, strict=True)
        )
        process.send_signal(signal.SIGTERM)
        assert process.wait(WAIT_SECONDS) == 0


def test_a_worker_that_was_never_ready_ends_all_with_its_exit_code() -> None:
    """What keeps it from starting would keep the next one from it, too."""
    with supervised("os._exit(3)", workers=3) as process:
        assert process.wait(WAIT_SECONDS) == 3


def test_a_worker_that_does_not_end_is_killed() -> None:
    """After SIGTERM it gets the drain and a margin."""
    with supervised(
        "signal.signal(signal.SIGTERM, signal.SIG_IGN); lifeline.ready(); time.sleep(3600)"
    ) as process:
        lines_until(process, "all workers serve", 1)
        process.send_signal(signal.SIGTERM)
        lines_until(process, "did not end in time and are killed", 1)
        assert process.wait(WAIT_SECONDS) == 0


def test_sighup_goes_to_every_worker_and_ends_none() -> None:
    """A worker that has no handler yet does not die of it."""
    work = """
    signal.signal(signal.SIGHUP, lambda *_: os.write(1, b"told\\n"))
    lifeline.ready()
    while True:
        time.sleep(0.01)
    """
    with supervised(work, workers=2) as process:
        lines_until(process, "all workers serve", 1)
        process.send_signal(signal.SIGHUP)
        assert not [line for line in lines_until(process, "told", 2) if "is replaced" in line]


def test_a_worker_that_begins_during_a_reload_is_told_to_reload_again() -> None:
    """It began with the old configuration, and had no handler yet when the signal came."""
    work = """
    os.write(1, b"begun\\n")
    time.sleep(0.5)
    signal.signal(signal.SIGHUP, lambda *_: os.write(1, b"told\\n"))
    lifeline.ready()
    while True:
        time.sleep(0.01)
    """
    with supervised(work) as process:
        lines_until(process, "begun", 1)
        process.send_signal(signal.SIGHUP)
        lines_until(process, "told", 1)


def test_a_worker_that_the_system_has_no_room_for_is_started_later() -> None:
    """The others serve meanwhile, and signals still get through."""
    with supervised("lifeline.ready(); time.sleep(60)", workers=2, failing=(2, 3)) as process:
        lines = lines_until(process, "all workers serve", 1)
        assert len([line for line in lines if "cannot be started" in line]) == 2
        process.send_signal(signal.SIGTERM)
        assert process.wait(WAIT_SECONDS) == 0


def test_a_fault_in_a_worker_is_shown() -> None:
    """Its trace is on standard error, and the exit code says that it failed."""
    with supervised("raise ValueError('a fault of ours')") as process:
        output, _ = process.communicate(timeout=WAIT_SECONDS)
        assert process.returncode == 1
        assert b"ValueError: a fault of ours" in output
