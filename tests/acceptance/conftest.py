"""One upstream, one server and the packages of clients are shared by the tests."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NoReturn

import pytest

from tests.acceptance.harness import Account, Server, config_for, running
from tests.acceptance.packages import NODE_PACKAGES, PYTHON_PACKAGES, Runner, kept, npm_install, pip_install
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


@pytest.fixture(scope="session")
def node(
    require: Callable[[str], str], missing: Callable[[str], NoReturn], pytestconfig: pytest.Config
) -> Runner:
    """Runs a script of Node with the SDKs from npm."""
    npm, command = require("npm"), (require("node"), "--input-type=module")
    try:
        folder = kept(_packages(pytestconfig) / "node", NODE_PACKAGES, npm_install(npm))
    except subprocess.CalledProcessError as error:
        missing(f"npm could not install the SDKs: {error.stderr[-300:]}")
    return Runner(command, folder)


@pytest.fixture(scope="session")
def langchain(missing: Callable[[str], NoReturn], pytestconfig: pytest.Config) -> Runner:
    """Runs a script of Python with LangChain from PyPI, and the SDKs that it asks for."""
    try:
        folder = kept(_packages(pytestconfig) / "langchain", PYTHON_PACKAGES, pip_install)
    except subprocess.CalledProcessError as error:
        missing(f"pip could not install LangChain: {error.stderr[-300:]}")
    return Runner((str(folder / "bin/python"), "-"), folder)


def _packages(config: pytest.Config) -> Path:
    """Where packages are kept: pytest's own cache, which `make clean` removes."""
    return config.cache.mkdir("packages")
