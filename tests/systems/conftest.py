"""Each system of `config/systems/` as a real process before a scripted upstream."""

from collections.abc import Iterator

import pytest

from tests.acceptance.scripted_upstream import ScriptedUpstream
from tests.systems.system import System, system_of


@pytest.fixture(scope="module")
def upstream() -> Iterator[ScriptedUpstream]:
    scripted = ScriptedUpstream()
    yield scripted
    scripted.stop()


@pytest.fixture(scope="module")
def system(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, upstream: ScriptedUpstream
) -> Iterator[System]:
    """The system that the module is named after: `test_aispace.py` has that of `aispace.yaml`."""
    name = request.path.stem.removeprefix("test_")
    with system_of(name, tmp_path_factory.mktemp(name), upstream) as started:
        yield started
