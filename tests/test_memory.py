"""What a process that runs tests keeps: all modules of all tests, and nothing that a test has used."""

import sys
from collections.abc import Iterator, Mapping
from itertools import chain
from types import ModuleType
from typing import Final

import pytest
from aiohttp import web, web_app
from aiohttp.test_utils import TestClient, TestServer
from aiohttp.typedefs import Handler

from tests.sources import ROOT

MODULE_BYTES_MAX: Final = 16 * 2**20
"""The bytes and the texts of a module and of the parameters of its tests."""
DEPTH_MAX: Final = 6


def _large(value: object, seen: dict[int, int], depth: int = 0) -> None:
    """Note the sizes of all bytes and texts that are held by a value, each once."""
    if id(value) in seen or depth > DEPTH_MAX:
        return
    seen[id(value)] = len(value) if isinstance(value, bytes | bytearray | str) else 0
    for part in _parts(value):
        _large(part, seen, depth + 1)


def _parts(value: object) -> Iterator[object]:
    if isinstance(value, Mapping):
        yield from chain(value.keys(), value.values())
    elif isinstance(value, list | tuple | set | frozenset):
        yield from value


def _held(module: ModuleType, params: list[object]) -> int:
    seen: dict[int, int] = {}
    _large([dict(vars(module)), params], seen)
    return sum(seen.values())


def test_no_module_of_tests_holds_what_is_large(request: pytest.FixtureRequest) -> None:
    """Each worker has the modules of all tests, whichever it runs: a large body is made by its test."""
    params: dict[str, list[object]] = {}
    for item in request.session.items:
        if isinstance(item, pytest.Function) and hasattr(item, "callspec"):
            params.setdefault(item.module.__name__, []).append(list(item.callspec.params.values()))
    modules = [
        module
        for module in list(sys.modules.values())
        if isinstance(module, ModuleType)
        and str(getattr(module, "__file__", None)).startswith(str(ROOT / "tests"))
    ]
    assert modules
    held = {module.__name__: _held(module, params.get(module.__name__, [])) for module in modules}
    assert {name: size for name, size in held.items() if size > MODULE_BYTES_MAX} == {}


@pytest.mark.parametrize("turn", range(2))
async def test_what_a_test_has_served_is_gone_after_it(turn: int) -> None:
    """An application holds its ledger, its database and all bodies of its calls. The second turn looks."""
    assert web_app._cached_build_middleware.cache_info().currsize == 0

    async def answer(request: web.Request) -> web.Response:
        return web.Response()

    @web.middleware
    async def passes(request: web.Request, handler: Handler) -> web.StreamResponse:
        return await handler(request)

    application = web.Application(middlewares=[passes])
    application.router.add_get("/", answer)
    async with TestClient(TestServer(application)) as client, client.get("/") as response:
        assert response.status == 200
    assert web_app._cached_build_middleware.cache_info().currsize == 1
