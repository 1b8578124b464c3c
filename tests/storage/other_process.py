"""What another process does with the database: `spend CALLS NANO` makes calls, `hold NANO` waits to die.

Run as `python -m tests.storage.other_process PATH VERB ...`; the answer is one line on standard output.
"""

import asyncio
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from proxy.ledger.model import Granted
from proxy.storage.sqlite import SqliteStore
from tests.storage.teller import authorize, call, granted, settled


async def spend(path: Path, calls: int, nano: int) -> None:
    store = SqliteStore(path)
    await store.open()

    async def one(number: int) -> bool:
        made = call(f"call_{store.owner}_{number}")
        (result,) = await store.apply([authorize(made, nano, owner=store.owner)])
        if isinstance(result, Granted):
            await settled(store, made, nano)
        return isinstance(result, Granted)

    print(sum(await asyncio.gather(*map(one, range(calls)))))  # noqa: T201 - it is the answer.
    await store.close()


async def hold(path: Path, nano: int) -> None:
    store = SqliteStore(path)
    await store.open()
    await granted(store, call(f"call_{store.owner}"), nano)
    print(store.owner, flush=True)  # noqa: T201 - it is the answer.
    await asyncio.Event().wait()


def main(path: str, verb: str, *numbers: str) -> None:
    verbs: dict[str, Callable[..., Coroutine[Any, Any, None]]] = {"spend": spend, "hold": hold}
    asyncio.run(verbs[verb](Path(path), *map(int, numbers)))


if __name__ == "__main__":
    main(*sys.argv[1:])
