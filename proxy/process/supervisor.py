"""One process that keeps several workers running: it starts them, passes signals on, and replaces the dead.

The supervisor itself serves nothing. It has no event loop and no thread, so its forks are in a clean state.
They begin with everything in memory that the supervisor has loaded.
"""

import os
import select
import signal
import struct
import sys
import time
from collections.abc import Callable
from typing import Final, NoReturn

import msgspec
import structlog

from proxy.process import signals

FIRST_DELAY_SECONDS: Final = 0.1
LAST_DELAY_SECONDS: Final = 5.0
STEADY_SECONDS: Final = 10.0
"""A worker that dies after so long is replaced at once; one that dies sooner, after a growing delay."""
KILL_MARGIN_SECONDS: Final = 15.0
"""How much longer than the bound on its drain a worker may take before it is killed."""
ENDS_ALL: Final = 74
"""The exit code of a worker that has met what no other worker can serve with, either."""
_PID: Final = struct.Struct("=i")
_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)


class Lifeline(msgspec.Struct, frozen=True):
    """A worker's connection to its supervisor.

    The descriptor `gone` becomes readable when the supervisor ends, for whatever reason. The worker calls
    `ready` when it serves.
    """

    gone: int
    ready: Callable[[], None]


Work = Callable[[Lifeline], int]
"""All that a worker does, in a process of its own. The result is its exit code."""


class Supervisor:
    """Keeps `workers` processes running that do `work`, until SIGTERM or SIGINT.

    On SIGHUP it calls `reload`, and passes the signal on to the workers if the result is true. A worker has
    `drain_seconds()` and `margin_seconds` to end before it is killed. `ended` gets the process id of each
    worker that ends. A worker that ends before any was ready ends all: the next one would fare no better. So
    does one with the exit code `ENDS_ALL`; the others drain, and `run` returns 1.
    """

    def __init__(
        self,
        *,
        workers: int,
        work: Work,
        reload: Callable[[], bool],
        drain_seconds: Callable[[], float],
        ended: Callable[[int], None],
        margin_seconds: float = KILL_MARGIN_SECONDS,
        fork: Callable[[], int] = os.fork,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._workers = workers
        self._work = work
        self._reload = reload
        self._drain_seconds = drain_seconds
        self._ended = ended
        self._margin_seconds = margin_seconds
        self._fork = fork
        self._monotonic = monotonic
        self._running: dict[int, float] = {}
        self._ready: set[int] = set()
        self._behind: set[int] = set()
        self._was_ready = False
        self._exit_code: int | None = None
        self._kill_at: float | None = None
        self._starts_at: list[float] = []
        self._delay_seconds = FIRST_DELAY_SECONDS
        self._log = structlog.get_logger("farebox.supervisor")

    def run(self) -> int:
        """Start the workers and look after them; returns when all have ended, with the exit code."""
        self._readiness, self._tell_ready = os.pipe()
        self._lifeline, self._life = os.pipe()
        self._signals, wakeup = os.pipe()
        for descriptor in (self._readiness, self._signals, wakeup):
            os.set_blocking(descriptor, False)
        # Signals are read from the descriptor. It is set before the handlers, so that no signal is lost. The
        # handlers do nothing: without them a signal would have its default effect.
        signal.set_wakeup_fd(wakeup, warn_on_full_buffer=False)
        signals.handle(stop=lambda: None, reload=lambda: None)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._starts_at = [self._monotonic()] * self._workers
        while self._running or self._exit_code is None:
            self._start_due()
            self._wait()
        signals.ignore()
        return self._exit_code

    def _start_due(self) -> None:
        now = self._monotonic()
        due = [at for at in self._starts_at if at <= now]
        self._starts_at = [at for at in self._starts_at if at > now]
        for _ in due:
            self._start()

    def _start(self) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        # A worker must not handle a signal as its supervisor does before it has handlers of its own.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        try:
            pid = self._fork()
            if pid == 0:
                self._become_worker(before)
        except OSError as error:
            # The system cannot make a process now. The other workers serve meanwhile.
            delay = self._longer_delay()
            self._log.error("a worker cannot be started", reason=str(error), after_seconds=delay)
            self._starts_at.append(self._monotonic() + delay)
        else:
            self._running[pid] = self._monotonic()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def _become_worker(self, mask: set[int | signal.Signals]) -> NoReturn:
        """Do the work and exit. It never returns to the supervisor's code, which is not its own."""
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            for signum in _SIGNALS:
                # There is nothing to reload yet, and the default action of SIGHUP would end the worker.
                signal.signal(signum, signal.SIG_IGN if signum == signal.SIGHUP else signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            for descriptor in (self._readiness, self._life, self._signals):
                os.close(descriptor)
            code = self._work(Lifeline(self._lifeline, self._tell))
            sys.stdout.flush()
            sys.stderr.flush()
        except BaseException:  # noqa: BLE001 - nothing further down would report it.
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(code)

    def _tell(self) -> None:
        os.write(self._tell_ready, _PID.pack(os.getpid()))

    def _wait(self) -> None:
        """Wait for a signal, a worker that is ready, or the next start or kill that is due."""
        dues = [*self._starts_at, *([self._kill_at] if self._kill_at is not None else [])]
        timeout = max(0.0, min(dues) - self._monotonic()) if dues else None
        select.select([self._signals, self._readiness], [], [], timeout)
        for (pid,) in _PID.iter_unpack(_drained(self._readiness)):
            self._mark_ready(pid)
        received = set(_drained(self._signals))
        if received & {signal.SIGTERM, signal.SIGINT}:
            self._stop(0)
        elif signal.SIGHUP in received and self._exit_code is None and self._reload():
            self._behind = self._running.keys() - self._ready
            self._signal_all(signal.SIGHUP)
        self._reap()
        if self._kill_at is not None and self._monotonic() >= self._kill_at:
            self._kill_at = None
            self._log.error("workers did not end in time and are killed", workers=len(self._running))
            self._signal_all(signal.SIGKILL)

    def _mark_ready(self, pid: int) -> None:
        if pid not in self._running:
            return  # It has ended since.
        self._ready.add(pid)
        self._was_ready = True
        if pid in self._behind:
            # It began with the old settings, and may have had no handler yet when the signal came.
            self._behind.discard(pid)
            os.kill(pid, signal.SIGHUP)
        if len(self._ready) == self._workers:
            self._log.info("all workers serve", workers=self._workers)

    def _stop(self, code: int) -> None:
        """Have every worker drain and end, and start no further one."""
        if self._exit_code is None:
            self._exit_code = code
            self._starts_at = []
            self._kill_at = self._monotonic() + self._drain_seconds() + self._margin_seconds
        self._signal_all(signal.SIGTERM)

    def _signal_all(self, signum: signal.Signals) -> None:
        # Each id is still a worker's. The system gives it to no other process before `waitpid` returns it.
        for pid in self._running:
            os.kill(pid, signum)

    def _reap(self) -> None:
        for pid in list(self._running):
            waited, status = os.waitpid(pid, os.WNOHANG)
            if waited:
                self._mark_ended(pid, os.waitstatus_to_exitcode(status))

    def _mark_ended(self, pid: int, code: int) -> None:
        started = self._running.pop(pid)
        self._ready.discard(pid)
        self._behind.discard(pid)
        self._ended(pid)
        if self._exit_code is not None:
            return
        if code == ENDS_ALL or not self._was_ready:
            self._stop(code if code > 0 and code != ENDS_ALL else 1)
            return
        now = self._monotonic()
        if now - started >= STEADY_SECONDS:
            delay, self._delay_seconds = 0.0, FIRST_DELAY_SECONDS
        else:
            delay = self._longer_delay()
        self._log.error("a worker ended and is replaced", pid=pid, exit_code=code, after_seconds=delay)
        self._starts_at.append(now + delay)

    def _longer_delay(self) -> float:
        """How long to wait before the next start after a failed one. It doubles up to a bound."""
        delay, self._delay_seconds = self._delay_seconds, min(2 * self._delay_seconds, LAST_DELAY_SECONDS)
        return delay


def _drained(descriptor: int) -> bytes:
    """All that can be read now."""
    try:
        return os.read(descriptor, 65_536)
    except BlockingIOError:
        return b""
