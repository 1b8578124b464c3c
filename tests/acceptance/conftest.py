"""One upstream and one server are shared by the tests that need nothing special of them."""

from collections.abc import Iterator
from typing import Final

import pytest

from tests.acceptance.harness import Account, Server, config_for, running
from tests.acceptance.scripted_upstream import (
    DONE,
    ScriptedUpstream,
    answers,
    chunk,
    completion,
    streams,
    usage_chunk,
)

EVERYDAY: Final = {
    "f-whole": answers(completion(prompt=10, output=5)),
    "f-stream": streams(chunk("Hi"), chunk(finish="stop"), usage_chunk(10, 5), DONE),
    "/v1/search": answers({"results": []}),
}
"""What the upstream answers to models and paths that no test has something special in mind for."""


@pytest.fixture(scope="session")
def upstream() -> Iterator[ScriptedUpstream]:
    """A scripted upstream; register a behaviour under a model name of your own."""
    scripted = ScriptedUpstream()
    yield scripted
    scripted.stop()


@pytest.fixture(autouse=True)
def everyday(upstream: ScriptedUpstream) -> None:
    """Each test finds the everyday behaviours, also after a test that has replaced them."""
    upstream.behaviours |= EVERYDAY


@pytest.fixture(scope="session")
def server(upstream: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A real server over the scripted upstream."""
    folder = tmp_path_factory.mktemp("server")
    with running(config_for(upstream.port, folder), folder) as started:
        yield started


@pytest.fixture
def account(server: Server) -> Account:
    """An account of the module's server, with 1.00 USD and a key."""
    return server.account("1.00")
