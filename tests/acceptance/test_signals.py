"""SIGTERM and SIGINT at any moment of a process: one is enough, more of them change nothing."""

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from tests.acceptance.harness import WAIT_SECONDS, Server, config_for, eventually, spawned

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def signalled_until_gone(process: psutil.Process, first: signal.Signals) -> None:
    """Send a signal, and then all of them over and over for as long as the process is there to get them."""
    process.send_signal(first)
    deadline = time.monotonic() + WAIT_SECONDS
    with contextlib.suppress(psutil.NoSuchProcess):
        while process.status() != psutil.STATUS_ZOMBIE:
            for signum in SIGNALS:
                process.send_signal(signum)
            assert time.monotonic() < deadline, "it does not end"
            time.sleep(0.0005)


@pytest.mark.parametrize("first", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("workers", [1, 2])
def test_signals_without_end_after_the_first_leave_the_exit_code_0(
    tmp_path: Path, workers: int, first: signal.Signals
) -> None:
    """They reach the drain, the end of the event loop and of the interpreter, and the workers as well."""
    server = Server(config_for(1, tmp_path, server={"workers": workers}), tmp_path).start()
    assert server.process is not None
    signalled_until_gone(psutil.Process(server.process.pid), first)
    assert server.stop() == 0
    assert "Traceback" not in server.log_text()


def test_a_worker_that_is_signalled_without_end_drains_and_ends_by_itself(tmp_path: Path) -> None:
    """Its supervisor sees the exit code of a clean stop, and replaces it."""
    server = Server(config_for(1, tmp_path, server={"workers": 2}), tmp_path).start()
    assert server.process is not None
    eventually(lambda: "all workers serve" in server.log_text())
    worker = psutil.Process(server.process.pid).children()[0]
    signalled_until_gone(worker, signal.SIGTERM)
    eventually(lambda: "a worker ended and is replaced" in server.log_text())
    told = next(line for line in server.log_text().splitlines() if "is replaced" in line)
    assert '"exit_code": 0' in told
    assert server.stop() == 0


@pytest.mark.parametrize("first", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_before_anything_serves_ends_the_start(tmp_path: Path, first: signal.Signals) -> None:
    """There is nothing to drain: the exit is clean and says nothing. A pipe holds the start up here."""
    path = tmp_path / "farebox.yaml"
    os.mkfifo(path)
    process = spawned(path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    with path.open("w"):
        signalled_until_gone(psutil.Process(process.pid), first)
    assert process.communicate(timeout=WAIT_SECONDS)[0] == b""
    assert process.returncode == 0
