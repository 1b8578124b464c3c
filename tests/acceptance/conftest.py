"""One upstream and one server are shared by the tests that need nothing special of them."""

from collections.abc import Iterator

import pytest

from tests.acceptance.harness import Server, config_for, running
from tests.acceptance.scripted_upstream import ScriptedUpstream


@pytest.fixture(scope="session")
def upstream() -> Iterator[ScriptedUpstream]:
    """A scripted upstream; register a behaviour under a model name of your own."""
    scripted = ScriptedUpstream()
    yield scripted
    scripted.stop()


@pytest.fixture(scope="session")
def server(upstream: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A real server over the scripted upstream."""
    folder = tmp_path_factory.mktemp("server")
    with running(config_for(upstream.port, folder), folder) as started:
        yield started
