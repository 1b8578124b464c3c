"""`farebox serve`: one process that serves, or a supervisor with several workers on one port."""

import os
import socket
import sys
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final, Literal

from proxy.config.load import Settings, load
from proxy.config.source import ConfigError
from proxy.process import signals
from proxy.process.figures import figures_folder
from proxy.process.supervisor import ENDS_ALL, Lifeline, Supervisor
from proxy.storage.faults import StorageFault, StorageLost

FIGURES_FOLDER: Final = "PROMETHEUS_MULTIPROC_DIR"
"""The variable by which prometheus_client is told, before it is imported, to keep figures in shared files."""


def serve(path: Path) -> int:
    """Serve what the file at `path` configures, until SIGTERM or SIGINT; returns the exit code.

    Raises ConfigError for a bad file, OSError for a taken address, StorageFault for a database that cannot be
    used, or that is lost while it is served. With several workers the one that meets a fault prints it, and
    the exit code is 1.
    """
    signals.end_start()
    settings = load(path, os.environ)
    workers = worker_count(settings.server.workers)
    if workers > 1:
        with figures_folder() as folder:
            os.environ[FIGURES_FOLDER] = folder
            return _supervise(settings, path, workers, folder)
    # The environment may come from a process that shares figures. One that serves alone shares none.
    os.environ.pop(FIGURES_FOLDER, None)
    from proxy.process import worker  # noqa: PLC0415 - FIGURES_FOLDER is set before anything that counts is imported.

    worker.prepare(settings)
    worker.run(settings, path)
    return 0


def worker_count(workers: int | Literal["auto"]) -> int:
    """How many processes serve. `auto` is one for each CPU that this process may use."""
    if workers != "auto":
        return workers
    allowed = getattr(os, "sched_getaffinity", None)  # Systems without it allow every CPU.
    return len(allowed(0)) if allowed else os.cpu_count() or 1


def _supervise(settings: Settings, path: Path, workers: int, figures_folder: str) -> int:
    from prometheus_client import multiprocess  # noqa: PLC0415 - as above.

    from proxy.process import worker  # noqa: PLC0415 - as above.

    in_force = settings
    worker.prepare(settings)

    def work(lifeline: Lifeline) -> int:
        try:
            worker.run(in_force, path, worker.WorkerSlot(port, figures_folder, lifeline))
        except (OSError, RuntimeError, StorageFault) as fault:
            sys.stderr.write(f"Error: Farebox cannot run: {fault}\n")
            return ENDS_ALL if isinstance(fault, StorageLost) else 1
        return 0

    def reload() -> bool:
        nonlocal in_force
        try:
            in_force = load(path, os.environ)
        except (ConfigError, OSError) as error:
            worker.log_bad_reload(error)
            return False
        return True

    with _reserved(settings.server.host, settings.server.port) as reserved:
        port = reserved.getsockname()[1]
        supervisor = Supervisor(
            workers=workers,
            work=work,
            reload=reload,
            drain_seconds=lambda: in_force.server.drain_seconds,
            ended=multiprocess.mark_process_dead,
        )
        return supervisor.run()


def _reserved(host: str, port: int) -> AbstractContextManager[socket.socket]:
    """A socket that reserves the port for the workers and never listens. Raises OSError when it is taken.

    The system shares a port among all who ask to share it, another Farebox included. So the port is bound
    alone first, which fails when somebody listens there.
    """
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    with socket.socket(family, kind, protocol) as alone:
        alone.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        alone.bind(address)
        free = alone.getsockname()
    reserved = socket.socket(family, kind, protocol)
    try:
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        reserved.bind(free)
    except BaseException:
        reserved.close()
        raise
    return reserved
