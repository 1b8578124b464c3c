"""What another process does with the database: `spend CALLS NANO` makes calls, `hold NANO` waits to die.

Run as `python -m tests.storage.other_process LOCATION VERB ...`; the answer is one line on standard output.
"""

import asyncio
import sys
from collections.abc import Callable, Coroutine
from typing import Any

from proxy.ledger.commands import Granted
from proxy.ledger.store import Store
from proxy.storage.locations import store_for
from proxy.tasks import Tasks
from tests.storage.teller import authorize, call, granted, settled


async def opened(location: str) -> Store:
    def fail(name: str, error: BaseException) -> None:
        raise error

    store = store_for(location, tasks=Tasks(fail))
    await store.open()
    return store


async def spend(location: str, calls: int, nano: int) -> None:
    store = await opened(location)

    async def one(number: int) -> bool:
        made = call(f"call_{store.owner}_{number}")
        (result,) = await store.apply([authorize(made, nano, owner=store.owner)])
        if isinstance(result, Granted):
            await settled(store, made, nano)
        return isinstance(result, Granted)

    print(sum(await asyncio.gather(*map(one, range(calls)))))  # noqa: T201 - it is the answer.
    await store.close()


async def hold(location: str, nano: int) -> None:
    store = await opened(location)
    await granted(store, call(f"call_{store.owner}"), nano)
    print(store.owner, flush=True)  # noqa: T201 - it is the answer.
    await asyncio.Event().wait()


def main(location: str, verb: str, *numbers: str) -> None:
    verbs: dict[str, Callable[..., Coroutine[Any, Any, None]]] = {"spend": spend, "hold": hold}
    asyncio.run(verbs[verb](location, *map(int, numbers)))


if __name__ == "__main__":
    main(*sys.argv[1:])
