"""300 callers on one account that can pay for 1,000 calls, and a gate that does not withstand them."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Sequence
from typing import Final

import aiohttp
from aiohttp import web

from tests.acceptance.scripted_upstream import ScriptedUpstream

CALLERS: Final = 300
AFFORDABLE: Final = 1_000
SEARCH_NANO: Final = 20_000_000
"""The price of one call of the path `/v1/search`."""


async def exhaust(urls: Sequence[str], secret: str) -> list[int]:
    """Every caller calls one of the addresses until it is refused for good; gives all statuses."""
    found: list[int] = []
    headers = {"Authorization": f"Bearer {secret}"}
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), headers=headers) as session:

        async def caller(url: str) -> None:
            while True:
                async with session.post(f"{url}/v1/search", json={}) as answer:
                    error = (await answer.json()).get("error") or {}
                if error.get("code") == "in_flight_budget_exhausted":
                    await asyncio.sleep(0.02)
                    continue
                found.append(answer.status)
                if answer.status != 200:
                    return

        await asyncio.gather(*(caller(url) for url in itertools.islice(itertools.cycle(urls), CALLERS)))
    return found


class NaiveGate:
    """The control: it looks at the balance, forwards the call, and charges when the answer is there."""

    def __init__(self, upstream: ScriptedUpstream, balance_nano: int) -> None:
        self.balance_nano = balance_nano
        self._url = f"http://127.0.0.1:{upstream.port}"

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        """Serve on a free port; gives the URL."""
        app = web.Application()
        app.router.add_post("/{path:.*}", self._handle)
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as self._session:
            runner = web.AppRunner(app, access_log=None)
            await runner.setup()
            try:
                await web.TCPSite(runner, "127.0.0.1", 0, backlog=2048).start()
                yield f"http://127.0.0.1:{runner.addresses[0][1]}"
            finally:
                await runner.cleanup()

    async def _handle(self, request: web.Request) -> web.Response:
        if self.balance_nano < SEARCH_NANO:
            return web.json_response({"error": {"code": "credit_balance_exhausted"}}, status=402)
        async with self._session.post(self._url + request.path, json=await request.json()) as answer:
            body = await answer.read()
        self.balance_nano -= SEARCH_NANO
        return web.Response(body=body, status=answer.status, content_type=answer.content_type)
