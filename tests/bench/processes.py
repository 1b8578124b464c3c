"""The processes of the bench: started, waited for, looked at from outside, and stopped."""

import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import psutil

from tests.bench.loads import Load, Yield

START_SECONDS = 30.0
STOP_SECONDS = 15.0
_POLL_SECONDS = 0.05


class Server:
    """A running child that listens on `port` of loopback; `key` is what its callers send."""

    def __init__(self, process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
        self.port = port
        self.key = "sk-any"
        self._process = process
        self._figures = psutil.Process(process.pid)
        self._log = log

    def cpu_seconds(self) -> float:
        """User and system time so far, all threads and children together."""
        family = [self._figures, *self._figures.children(recursive=True)]
        times = [process.cpu_times() for process in family]
        return float(sum(each.user + each.system for each in times))

    def memory_bytes(self) -> int:
        """Resident memory now."""
        return int(self._figures.memory_info().rss)

    def wait(self) -> None:
        """Wait until it listens. Raises RuntimeError with its output when it ends, or takes too long."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            time.sleep(_POLL_SECONDS)
        raise RuntimeError(f"nothing listens on port {self.port}:\n{self._log.read_text()}")


@contextlib.contextmanager
def server(arguments: list[str], port: int, folder: Path) -> Iterator[Server]:
    """Run a Python module or file as a child until the context ends."""
    log = folder / f"{port}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        running = Server(process, port, log)
        running.wait()
        yield running
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STOP_SECONDS)


def free_port() -> int:
    """A port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def canned_upstream(folder: Path, event_ms: int) -> Iterator[Server]:
    """The upstream."""
    port = free_port()
    with server(["-m", "tests.bench.upstream", str(port), str(event_ms)], port, folder) as running:
        yield running


@contextlib.contextmanager
def bare_passthrough(folder: Path, upstream_port: int) -> Iterator[Server]:
    """The bare pass-through."""
    port = free_port()
    with server(["-m", "tests.bench.passthrough", str(port), str(upstream_port)], port, folder) as running:
        yield running


def load_from_outside(load: Load) -> Yield:
    """Send a load from a process of its own. Raises RuntimeError with its output when it fails."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.loads"],
        input=msgspec.json.encode(load),
        capture_output=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stderr.decode())
    return msgspec.json.decode(done.stdout, type=Yield)
