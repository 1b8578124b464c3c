"""SIGTERM and SIGINT at any moment of a process: one is enough, more of them change nothing."""

import contextlib
import os
import signal
import socket
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
import yaml

from proxy.storage.owners import alone
from tests.acceptance.harness import WAIT_SECONDS, Server, config_for, eventually, free_port, spawned

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
    config = config_for(1, tmp_path, server={"workers": workers})
    server = Server(config, tmp_path, is_new=True).start()
    assert server.process is not None
    signalled_until_gone(psutil.Process(server.process.pid), first)
    assert server.stop() == 0
    assert "Traceback" not in server.log_text()


def test_a_worker_that_is_signalled_without_end_drains_and_ends_by_itself(tmp_path: Path) -> None:
    """Its supervisor sees the exit code of a clean stop, and replaces it."""
    server = Server(config_for(1, tmp_path, server={"workers": 2}), tmp_path, is_new=True).start()
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


Waiting = Callable[[psutil.Process], bool]
"""Whether a process has come as far as its wait for the ledger."""
Unreachable = contextlib.AbstractContextManager[tuple[str, Waiting]]


def has_open(file: Path) -> Waiting:
    """Whether it has opened a file."""

    def ask(process: psutil.Process) -> bool:
        with contextlib.suppress(psutil.Error):
            return any(Path(opened.path) == file for opened in process.open_files())
        return False

    return ask


def has_begun(process: psutil.Process) -> bool:
    """Whether it opens its database: that is a thread's work."""
    with contextlib.suppress(psutil.Error):
        return bool(process.num_threads() > 1)
    return False


@contextmanager
def prepared_by_another(folder: Path) -> Iterator[tuple[str, Waiting]]:
    """A file of SQLite's that another process prepares, or copies, for as long as it likes."""
    database = folder / "farebox.db"
    with alone(database):
        yield f"sqlite:///{database}", has_begun


@contextmanager
def locked_by_another(folder: Path) -> Iterator[tuple[str, Waiting]]:
    """A file of SQLite's in which another program keeps a write lock."""
    database = folder / "farebox.db"
    with contextlib.closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield f"sqlite:///{database}", has_open(database)


@contextmanager
def silent_server(folder: Path) -> Iterator[tuple[str, Waiting]]:
    """A server of PostgreSQL's that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(WAIT_SECONDS)
        taken: list[socket.socket] = []

        def ask(process: psutil.Process) -> bool:
            if not taken:
                taken.append(server.accept()[0])
            return True

        try:
            yield f"postgresql://farebox@127.0.0.1:{server.getsockname()[1]}/farebox", ask
        finally:
            for connection in taken:
                connection.close()


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("unreachable", [prepared_by_another, locked_by_another, silent_server])
def test_a_stop_while_the_ledger_cannot_be_reached_ends_the_start(
    tmp_path: Path, workers: int, unreachable: Callable[[Path], Unreachable]
) -> None:
    """The exit is clean, and soon: a wait that had its time would end with a fault and another exit code."""
    with unreachable(tmp_path) as (location, waits):
        config = config_for(1, tmp_path, storage=location, server={"workers": workers, "port": free_port()})
        path = tmp_path / "farebox.yaml"
        path.write_text(yaml.safe_dump(config))
        temporary = tmp_path / "temporary"
        temporary.mkdir()
        before = {file.name for file in tmp_path.iterdir()}
        environ = {"TMPDIR": str(temporary)}
        process = spawned(path, environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        family = psutil.Process(process.pid)
        eventually(lambda: any(map(waits, family.children() if workers > 1 else [family])))
        process.terminate()
        output = process.communicate(timeout=WAIT_SECONDS)[0]
        assert process.returncode == 0, output
        assert b"Traceback" not in output
        assert b"cannot run" not in output
        assert {file.name for file in tmp_path.iterdir()} - before <= {"farebox.db.lock"}
        assert list(temporary.iterdir()) == []


def test_workers_whose_supervisor_dies_during_the_start_end_by_themselves(tmp_path: Path) -> None:
    """Nobody would tell them to stop later."""
    with prepared_by_another(tmp_path) as (location, waits):
        config = config_for(1, tmp_path, storage=location, server={"workers": 2, "port": free_port()})
        path = tmp_path / "farebox.yaml"
        path.write_text(yaml.safe_dump(config))
        process = spawned(path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        family = psutil.Process(process.pid)
        eventually(lambda: len(workers := family.children()) == 2 and all(map(waits, workers)))
        orphans = family.children()
        process.kill()
        process.wait()
        _, left = psutil.wait_procs(orphans, timeout=WAIT_SECONDS)
        assert left == []
