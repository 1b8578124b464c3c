"""Turns: of one account a few requests are worked on at once, so that its reads keep nobody else waiting.

Its keys share them out fairly: a limited key in the hands of a customer takes none from the others.
"""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final
from weakref import WeakValueDictionary

from proxy.errors import Refusal
from proxy.ledger.rows import Key

AT_ONCE: Final = 4
"""How many requests of an account a process works on at once. No key has the last of these turns."""
TABLES: Final = 8
"""How many tables of a key a process sends at once."""
SECONDS: Final = 5.0
"""How long the next one waits for its turn."""


class Turns:
    """The turns of all accounts. Nothing is kept of one that asks for nothing."""

    def __init__(self, at_once: int = AT_ONCE, seconds: float = SECONDS) -> None:
        self._at_once = at_once
        self._seconds = seconds
        self._of: WeakValueDictionary[str, _Share] = WeakValueDictionary()

    @asynccontextmanager
    async def of(self, key: Key | None) -> AsyncIterator[None]:
        """A turn of a key in its account; None, the operator, has it at once.

        Raises Refusal `concurrency_limit_exceeded` when it does not come in time.
        """
        if key is None:
            yield
            return
        share = self._of.setdefault(key.account_id, _Share(self._at_once))
        try:
            async with asyncio.timeout(self._seconds):
                await share.take(key.id)
        except TimeoutError:
            message = "The key, or its account, has as many such requests going on as it may."
            raise Refusal("concurrency_limit_exceeded", message, headers={"Retry-After": "1"}) from None
        try:
            yield
        finally:
            share.give_back(key.id)


class Tables:
    """How many tables each key has open: one takes no turn while it is sent, only for each of its pieces."""

    def __init__(self, most: int = TABLES) -> None:
        self._most = most
        self._open: Counter[str] = Counter()

    @contextmanager
    def of(self, key: Key | None) -> Iterator[None]:
        """One more table of a key. Raises Refusal `concurrency_limit_exceeded` for one too many."""
        id_ = "" if key is None else key.id
        if key is not None and self._open[id_] >= self._most:
            message = f"The key has {self._most} tables open, as many as it may."
            raise Refusal("concurrency_limit_exceeded", message, headers={"Retry-After": "1"})
        self._open[id_] += 1
        try:
            yield
        finally:
            self._open[id_] -= 1
            if not self._open[id_]:
                del self._open[id_]


class _Share:
    """The turns of one account: which of its keys have them, and who waits, the longest waiting first."""

    def __init__(self, at_once: int) -> None:
        self._at_once = at_once
        self._most = max(1, at_once - 1)
        self._taken: Counter[str] = Counter()
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}

    async def take(self, key_id: str) -> None:
        """Wait until it is the key's turn. A wait that is cancelled takes no turn."""
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(key_id, deque()).append(place)
        self._call_next()
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self.give_back(key_id)
            raise

    def give_back(self, key_id: str) -> None:
        """The key does not need its turn any more."""
        self._taken[key_id] -= 1
        if not self._taken[key_id]:
            del self._taken[key_id]
        self._call_next()

    def _call_next(self) -> None:
        """Give free turns to the keys that have fewest; of several, to the one whose turn was longest ago."""
        while self._taken.total() < self._at_once:
            self._drop_cancelled()
            key_id = min(self._waiting, key=self._taken.__getitem__, default=None)
            if key_id is None or self._taken[key_id] >= self._most:
                return
            places = self._waiting.pop(key_id)
            places.popleft().set_result(None)
            self._taken[key_id] += 1
            if places:
                self._waiting[key_id] = places

    def _drop_cancelled(self) -> None:
        for key_id, places in list(self._waiting.items()):
            while places and places[0].done():
                places.popleft()
            if not places:
                del self._waiting[key_id]
