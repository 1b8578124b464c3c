"""What tests of every kind share: tools from outside, and how hard hypothesis looks.

All tests together are to take less than five minutes on two processors, so that each costs little:

- A rule of a pure core is a table, on values. Only what is said of the outside starts a process.
- A process, a client or a database that a test does not disturb is shared by a fixture of its module; an
  account of its own keeps a test apart from others. `acceptance/harness.py` forks servers from one that has
  loaded all, in a tenth of the time of a new interpreter (`is_new` is for tests of how one starts and ends).
- `storage/engines.py` copies a new database from one that was made once. Many changes of one database are
  tried on one connection, and undone by a savepoint.
- Simulations and hypothesis look no longer than the slowest deliberate fault needs to be found.
- Time is injected and not slept. What has to be waited for is looked at often.
- What a module holds is held by every worker until the end: large bodies are made by their tests.
"""

import gc
import os
import shutil
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Final, NoReturn

import pytest
from aiohttp import web_app
from hypothesis import HealthCheck, settings

POSTGRES_VARIABLE = "FAREBOX_TEST_POSTGRES"
"""The URL of a database to use instead of a server of the tests' own; each test makes a schema there."""
REQUIRE_VARIABLE = "FAREBOX_TEST_REQUIRE"
"""`all` turns every test that would be skipped for want of an outside tool into a failure."""
SLOW: Final = {
    "acceptance": "acceptance",
    "bench": "storage",
    "simulation": "simulation",
    "storage": "storage",
    "systems": "acceptance",
    "test_cli_ledger.py": "storage",
}
"""The mark of each folder or file below this one whose tests take long. `make quick` leaves them out."""

# Machines differ in speed and are shared: neither a slow example nor slow data is a fault of the code.
settings.register_profile(
    "default", deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow]
)
# The same examples on every run, so that a red build is about the change and not about chance.
settings.register_profile("ci", settings.get_profile("default"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "default")


MOST_PROCESSES: Final = 16
MEMORY: Final = Path("/dev/shm")  # noqa: S108 - pytest makes a folder of its own there.
"""A file system in memory: a test does not wait for a disk to sync what it throws away."""
MEMORY_BYTES_MIN: Final = 4 * 2**30
"""With less room than that, as in most containers, temporary files go where they always do."""


def pytest_xdist_auto_num_workers() -> int:
    """Two test processes for each processor: half of the time a test waits for what another process does."""
    return min(2 * (os.cpu_count() or 1), MOST_PROCESSES)


def pytest_configure() -> None:
    """Choose where temporary files go; refuse a value of the variable that would silently mean nothing."""
    if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > MEMORY_BYTES_MIN:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))
    value = os.environ.get(REQUIRE_VARIABLE, "")
    if value not in ("", "all"):
        raise pytest.UsageError(f"{REQUIRE_VARIABLE}={value!r}: it is either 'all' or not set")


# Before pytest itself selects by marks.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that take long."""
    for item in items:
        mark = SLOW.get(item.path.relative_to(Path(__file__).parent).parts[0])
        if mark is not None:
            item.add_marker(mark)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Keep the garbage collector from walking all modules and tests again and again: they stay."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown() -> None:
    """Let go of the applications of a test: aiohttp keeps the last thousand, with all that they hold."""
    web_app._cached_build_middleware.cache_clear()


def end_missing(reason: str) -> NoReturn:
    """End a test that cannot run here, with its reason: skipped, or failed where everything is required."""
    if os.environ.get(REQUIRE_VARIABLE) == "all":
        pytest.fail(f"{reason} ({REQUIRE_VARIABLE}=all)", pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def missing() -> Callable[[str], NoReturn]:
    """What ends a test that cannot run here."""
    return end_missing


@pytest.fixture(scope="session")
def require(missing: Callable[[str], NoReturn]) -> Callable[[str], str]:
    """Find an outside tool by its command's name and return its path; a test without it ends as `missing`."""

    def find(tool: str) -> str:
        return shutil.which(tool) or missing(f"needs {tool}, which is not on PATH")

    return find
