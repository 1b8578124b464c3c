"""A process that has loaded all of Farebox, and forks a server or a command in milliseconds.

A new interpreter takes a second of the processor. What is forked is a process of its own, too, with the
command line, environment and output that were asked for, as the workers of a supervisor are forks. Tests of
how a process starts and ends start a new interpreter.

Between the fork server and what it forks stands a keeper: a process that waits for the other and tells how it
has ended, so that a test knows what a parent does.
"""

import atexit
import contextlib
import functools
import gc
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from typing import IO, Final, NoReturn

import msgspec

from proxy.api import openapi
from proxy.metering.vocabulary import CARRIED, SHARED
from tests.sources import ROOT

LOADED: Final = ("proxy.cli", "proxy.storage.postgres.store", "tests.acceptance.stage")
"""The modules that hold, with all they import, what servers and commands need."""
LOADED_APART: Final = (
    *("proxy.cli", "proxy.process.serve", "proxy.storage.postgres.store", "proxy.call.relay"),
    *("proxy.api.admin.routes", "proxy.api.billing.routes", "proxy.edge.gateway", "proxy.upstream.client"),
)
"""Those of them without anything that counts: several workers are told before it is loaded where to count."""
COUNTS: Final = "prometheus_client"
_MAX_REQUEST_BYTES: Final = 1_000_000
_GONE: Final = b""


class Request(msgspec.Struct):
    """What to fork: a module with its arguments, and its environment."""

    argv: list[str]
    environ: dict[str, str]


class Child:
    """A forked process, with those methods of `subprocess.Popen` that tests use."""

    def __init__(self, told: int) -> None:
        self._told = os.fdopen(told, "rb", buffering=0)
        self.pid = int(self._line())
        self.returncode: int | None = None

    def _line(self) -> bytes:
        # The keeper writes each line at once, and a pipe gives so short a piece whole.
        return self._told.readline()

    def poll(self) -> int | None:
        """The exit code, or None while it runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end; gives the exit code, which is the signal's number below zero after a signal."""
        if self.returncode is None:
            if not select.select([self._told], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
            self.returncode = int(self._line())
            self._told.close()
        return self.returncode

    def send_signal(self, signum: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, signum)

    def kill(self) -> None:
        """`kill -9`, unless it has ended."""
        self.send_signal(signal.SIGKILL)


class ForkServer:
    """A fork server of this test process, which has loaded some modules; it ends with the process."""

    def __init__(self, loaded: Sequence[str]) -> None:
        self._lock = threading.Lock()
        self._asks, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.fork_server", str(theirs.fileno()), *loaded],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                cwd=ROOT,
            )

    def fork(
        self, module: str, *arguments: str, environ: dict[str, str], output: IO[bytes], errors: IO[bytes]
    ) -> Child:
        """Run a module as `python -m` does, with standard output and error in these files."""
        request = msgspec.json.encode(Request([module, *arguments], environ))
        told, tells = os.pipe()
        try:
            with self._lock:
                socket.send_fds(self._asks, [request], [output.fileno(), errors.fileno(), tells])
        finally:
            os.close(tells)
        return Child(told)

    def close(self) -> None:
        """End the fork server. What it has forked runs on."""
        self._asks.close()
        self._process.wait()


@functools.cache
def fork_server(loaded: Sequence[str] = LOADED) -> ForkServer:
    """The one of this process that has loaded these; it is started when it is first asked for."""
    server = ForkServer(loaded)
    atexit.register(server.close)
    return server


def main(asked: socket.socket) -> list[str]:
    """Fork for each request. Returns only in a fork: the module and arguments that it is to run."""
    # Ctrl-C is for what is forked. The system reaps the keepers, whose exit codes say nothing.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        request, descriptors, _, _ = socket.recv_fds(asked, _MAX_REQUEST_BYTES, 3)
        if request == _GONE:
            sys.exit()
        if os.fork() == 0:
            asked.close()
            return _become_keeper(msgspec.json.decode(request, type=Request), *descriptors)
        for descriptor in descriptors:
            os.close(descriptor)


def _become_keeper(request: Request, output: int, errors: int, tells: int) -> list[str]:
    """Fork, and tell the process id and the exit code. Returns only in the process that was asked for."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    pid = os.fork()
    if pid:
        _keep(pid, tells)
    os.close(tells)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.dup2(output, 1)
    os.dup2(errors, 2)
    os.close(output)
    os.close(errors)
    os.environ.clear()
    os.environ.update(request.environ)
    return request.argv


def _keep(pid: int, tells: int) -> NoReturn:
    # Whoever asked may have ended since. Then nobody wants to know.
    with contextlib.suppress(BrokenPipeError):
        os.write(tells, b"%d\n" % pid)
        _, status = os.waitpid(pid, 0)
        os.write(tells, b"%d\n" % os.waitstatus_to_exitcode(status))
    os._exit(0)


def run() -> None:
    """Run the module of the command line. Returns only if the interpreter itself is to tell how it has ended.

    Otherwise all is done that is done at the end of a process, except that each module is taken apart: in the
    memory of a fork, that takes the processor twice as long as most commands.
    """
    code = 0
    try:
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    except SystemExit as left:
        if not isinstance(left.code, int | None):
            raise
        code = left.code or 0
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    asked, *loaded = sys.argv[1:]
    for name in loaded:
        __import__(name)
    assert (COUNTS in sys.modules) == (tuple(loaded) == LOADED), "where it counts is told too late"
    SHARED.preload(CARRIED)
    openapi.encoded()
    gc.collect()
    gc.freeze()
    sys.argv = main(socket.socket(fileno=int(asked)))
    run()
