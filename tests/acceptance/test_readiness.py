"""Readiness is true: every worker says 503 while the database is away, and 200 when it is back.

Nobody calls meanwhile. `tests/ledger/test_readiness.py` has the time that it takes.
"""

import contextlib
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.acceptance.harness import WAIT_SECONDS, Server, config_for, eventually, running
from tests.acceptance.scripted_upstream import ScriptedUpstream
from tests.storage.engines import apart
from tests.storage.postgres.server import Server as Postgres
from tests.storage.postgres.server import new_schema_at, own_server

WORKERS = 2
POLLS = 12
"""Each is a connection of its own, so that all workers are asked."""
Outage = Callable[[Postgres], "contextlib.AbstractContextManager[None]"]


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    """A server of the test's own, which it may stop."""
    server = own_server()
    yield server
    server.remove()


@pytest.fixture(scope="module")
def server(
    postgres: Postgres, upstream: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    folder, location = tmp_path_factory.mktemp("readiness"), apart(new_schema_at(postgres.location()))
    config: dict[str, Any] = config_for(upstream.port, folder, server={"workers": WORKERS}, storage=location)
    with running(config, folder) as started:
        yield started


def polled(server: Server) -> set[int]:
    """What the workers say."""
    said = set()
    for _ in range(POLLS):
        try:
            with urllib.request.urlopen(f"{server.url}/readyz", timeout=WAIT_SECONDS) as reply:
                said.add(reply.status)
        except urllib.error.HTTPError as error:
            said.add(error.code)
    return said


@contextlib.contextmanager
def stopped(postgres: Postgres) -> Iterator[None]:
    postgres.kill()
    try:
        yield
    finally:
        postgres.start()


def frozen(postgres: Postgres) -> "contextlib.AbstractContextManager[None]":
    return postgres.frozen()


def without_new_sessions(postgres: Postgres) -> "contextlib.AbstractContextManager[None]":
    return postgres.frozen(sessions=False)


@pytest.mark.parametrize("outage", [stopped, frozen, without_new_sessions])
def test_all_workers_of_an_idle_server_tell_that_the_database_is_away_and_back(
    postgres: Postgres, server: Server, outage: Outage
) -> None:
    eventually(lambda: polled(server) == {200})
    before = server.log_text()
    with outage(postgres):
        eventually(lambda: polled(server) == {503})
        assert polled(server) == {503}
    eventually(lambda: polled(server) == {200})
    assert polled(server) == {200}
    since = server.log_text().removeprefix(before)
    assert since.count('"ledger unavailable"') == WORKERS
    assert since.count('"ledger available again"') == WORKERS
