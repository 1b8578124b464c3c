"""What SIGTERM, SIGINT and SIGHUP do, from the start of a process until it has exited.

Their handlers belong to the process and not to its event loop. A loop removes its handlers when it closes,
and the interpreter removes those in Python when it ends. From then on the default action applies: a second
SIGTERM would kill a process that is about to exit cleanly. A signal that is ignored stays ignored to the end.
"""

import signal
import sys
from collections.abc import Callable
from typing import Final, NoReturn

STOPS: Final = frozenset({signal.SIGTERM, signal.SIGINT})
RELOAD: Final = signal.SIGHUP


def end_start() -> None:
    """Until `handle` is called, a stop raises SystemExit with exit code 0, and a reload changes nothing."""
    signal.signal(RELOAD, signal.SIG_IGN)
    for signum in STOPS:
        signal.signal(signum, lambda *_: _exit())


def handle(*, stop: Callable[[], object], reload: Callable[[], object]) -> None:
    """Call `stop` and `reload` from now on. They run in the main thread, between any two of its steps."""
    for signum in STOPS:
        signal.signal(signum, lambda *_: stop())
    signal.signal(RELOAD, lambda *_: reload())
    # They are blocked only if a SystemExit got lost, as in a finalizer. The next stop is heard again.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)


def ignore() -> None:
    """From now on no stop and no reload reaches the process; nothing is left that it could end."""
    for signum in (*STOPS, RELOAD):
        signal.signal(signum, signal.SIG_IGN)


def _exit() -> NoReturn:
    # A further signal would interrupt what runs on the way out, and at its end kill the process.
    signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
    sys.exit(0)
