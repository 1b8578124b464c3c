"""A real server that a test controls: it dies at a numbered step, and its clock can be set.

Run as `python -m tests.acceptance.stage CONFIG`, a process loads what servers need and forks one, as the
supervisor of several workers does. When that is killed the next one takes its place at once. A test writes
what it wants into files beside the configuration, so that the product needs no option for it.
"""

import gc
import os
import signal
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any, Final, NoReturn

import psutil
import uvloop

from proxy.clock import SystemClock
from proxy.config.load import Settings, load
from proxy.ledger.store import Store
from proxy.process.app import Farebox, Parts
from proxy.process.supervisor import Lifeline
from proxy.process.worker import prepare, serve_until_stopped
from proxy.storage.locations import store_for
from proxy.storage.postgres.session import Timeouts
from proxy.storage.postgres.store import PostgresStore
from proxy.tasks import Tasks
from tests.acceptance.harness import Server, eventually
from tests.acceptance.steps import MortalLedger, MortalRelay, MortalStore, MortalUpstreams, Step, Trap

STEP_FILE: Final = "step"
AHEAD_FILE: Final = "seconds_ahead"
KILLED: Final = "a server was killed and the next one begins\n"
PATIENCE_SECONDS: Final = 1.0
TIMEOUTS: Final = Timeouts(
    connect_seconds=1.0, lock_seconds=0.5, statement_seconds=1.0, spare_seconds=0.5, locked_seconds=2.0
)
"""A tenth of what the product grants a database, so that its outages are over sooner."""


class SetClock:
    """The machine's wall clock, ahead of it by what is in a file."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def wall_ns(self) -> int:
        try:
            ahead = int(self._file.read_text() or 0)
        except FileNotFoundError:
            ahead = 0
        return time.time_ns() + ahead * 10**9


def staged(settings: Settings, folder: Path) -> Farebox:
    """A Farebox whose process ends at the step that a file in the folder names."""
    trap = Trap(folder / STEP_FILE)
    return Farebox(
        settings,
        parts=Parts(
            clock=partial(SystemClock, wall_ns=SetClock(folder / AHEAD_FILE).wall_ns),
            store=lambda location, **options: MortalStore(trap, _store(location, **options)),
            ledger=partial(MortalLedger, trap),
            upstreams=partial(MortalUpstreams, trap),
            relay=partial(MortalRelay, trap),
        ),
    )


def _store(location: str | Path, *, tasks: Tasks, keep_months: int | None) -> Store:
    if isinstance(location, str) and location.startswith("postgresql://"):
        return PostgresStore(location, tasks=tasks, patience_seconds=PATIENCE_SECONDS, timeouts=TIMEOUTS)
    return store_for(location, tasks=tasks, keep_months=keep_months)


def run(config: Path) -> int:
    """Keep one server running, until one ends otherwise than by a kill; returns its exit code."""
    prepare(load(config, os.environ))
    gc.freeze()
    gone, life = os.pipe()
    while True:
        child = os.fork()
        if child == 0:
            os.close(life)
            _become_server(config, gone)
        signal.signal(signal.SIGTERM, lambda *_, child=child: os.kill(child, signal.SIGTERM))
        _, status = os.waitpid(child, 0)
        code = os.waitstatus_to_exitcode(status)
        if code != -signal.SIGKILL:
            return code
        sys.stderr.write(KILLED)
        sys.stderr.flush()


def _become_server(config: Path, gone: int) -> NoReturn:
    code = 1
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        farebox = staged(load(config, os.environ), config.parent)
        uvloop.run(serve_until_stopped(farebox, config, Lifeline(gone, lambda: None)))
        code = 0
    except BaseException:  # noqa: BLE001 - this is the bottom of the server's stack.
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stderr.flush()
        os._exit(code)


class Stage(Server):
    """A test's end of it."""

    def __init__(self, config: dict[str, Any], folder: Path) -> None:
        super().__init__(config, folder, command=("tests.acceptance.stage",))
        self._killed = 0

    def dies_at(self, step: Step) -> None:
        """Have the next call that gets there be the server's last."""
        self.kills_at(step, 0)

    def kills_at(self, step: Step, victim: int) -> None:
        """Have the next call that gets there be the end of a process and its children; 0 is the server."""
        draft = self.folder / f"{STEP_FILE}.draft"
        draft.write_text(f"{step.value} {victim}")
        draft.replace(self.folder / STEP_FILE)

    def is_armed(self) -> bool:
        """Whether no call has got there yet."""
        return (self.folder / STEP_FILE).exists()

    def is_ahead(self, seconds: int) -> None:
        """Set its clock, relative to the machine's."""
        (self.folder / AHEAD_FILE).write_text(str(seconds))

    def kill_server(self) -> None:
        """`kill -9` the server that runs, at no particular step."""
        assert self.process is not None
        [child] = psutil.Process(self.process.pid).children()
        child.kill()

    def comes_back(self) -> None:
        """Wait until a server was killed, once for each time, and the next one serves."""
        self._killed += 1
        eventually(lambda: self.log_text().count(KILLED) == self._killed)
        eventually(self._ready)


if __name__ == "__main__":
    sys.exit(run(Path(sys.argv[1])))
