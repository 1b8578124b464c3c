"""300 callers on one account that can pay for 1,000 calls: the crowd that every gate has to stand."""

import asyncio
import itertools
from collections.abc import Sequence
from typing import Final

import aiohttp

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
