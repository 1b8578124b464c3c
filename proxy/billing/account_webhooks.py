"""Telling accounts' own receivers: each is told of its account's events alone, a few messages at a time.

They are strangers' machines, so that one that hangs holds a place for seconds, and no place twice.

No secret is stored: each follows from one that the operator has configured, and from the receiver. Whoever
reads the database can sign nothing, and another configured secret replaces all of them.
"""

import asyncio
import base64
import hashlib
import hmac
from collections.abc import Callable, Coroutine
from typing import Any, Final

import msgspec

from proxy.clock import Clock
from proxy.ledger.events import Receiver
from proxy.ledger.store import Row, Store
from proxy.ledger.windows import DAY_US
from proxy.tasks import Tasks
from proxy.upstream.webhooks import Endpoint, Webhooks

PLACES: Final = 32
"""How many receivers are told at once."""
PER_ACCOUNT: Final = 2
"""How many of them are one account's."""
LABEL: Final = "accounts"
"""What figures call all of them together."""
PAGE: Final = 200
SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - it is what secrets begin with.
BOTH_US: Final = DAY_US
"""For how long after it was replaced a secret signs beside the new one."""


class AccountQueues:
    """Finds receivers that are due, one after the other, and has each told by `tell`, which tells a few."""

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        webhooks: Callable[[], Webhooks],
        tasks: Tasks,
        tell: Callable[[Endpoint], Coroutine[Any, Any, None]],
        places: int = PLACES,
    ) -> None:
        self._store = store
        self._clock = clock
        self._webhooks = webhooks
        self._tasks = tasks
        self._tell = tell
        self._places = places
        self._busy: dict[str, tuple[str, asyncio.Task[None]]] = {}
        self._after = ("", "")

    async def round(self) -> None:
        """Begin to tell the next receivers that are due, as far as there are places."""
        self._busy = {id_: each for id_, each in self._busy.items() if not each[1].done()}
        master = self._webhooks().accounts_secret
        if not master or len(self._busy) >= self._places:
            return
        before = self._after
        place = {"account_id": before[0], "id": before[1], "now_us": self._clock.now_us()}
        rows = await self._store.query("receivers_due", {**place, "limit": PAGE})
        self._after = ("", "") if len(rows) < PAGE else (str(rows[-1]["account_id"]), str(rows[-1]["id"]))
        for row in rows:
            receiver = receiver_of_row(row)
            mine = sum(account_id == receiver.account_id for account_id, _ in self._busy.values())
            if receiver.id in self._busy or mine >= PER_ACCOUNT:
                continue
            if len(self._busy) >= self._places:
                # The next round begins with this one.
                self._after = before
                break
            endpoint = endpoint_of(receiver, master, self._clock.now_us())
            task = self._tasks.spawn(self._tell(endpoint), name="webhooks")
            self._busy[receiver.id] = (receiver.account_id, task)
            before = (receiver.account_id, receiver.id)

    async def of(self, account_id: str) -> list[Receiver]:
        """The receivers of an account; none where accounts may have none."""
        if not self._webhooks().accounts_secret:
            return []
        rows = await self._store.query("receivers_of_account", {"account_id": account_id})
        return [receiver_of_row(row) for row in rows]


def endpoint_of(receiver: Receiver, master: str, now_us: int) -> Endpoint:
    """The receiver as what messages are sent to. It wants the events of its account alone."""
    old = ""
    if receiver.generation > 1 and now_us - receiver.rotated_at_us < BOTH_US:
        old = secret_of(receiver, master, receiver.generation - 1)
    return Endpoint(
        receiver.id,
        receiver.url,
        secret_of(receiver, master, receiver.generation),
        receiver.types,
        (receiver.account_id,),
        old_secret=old,
    )


def secret_of(receiver: Receiver, master: str, generation: int) -> str:
    """The secret of a receiver, by which of its secrets it is: `whsec_` and 32 bytes in base64."""
    key = base64.b64decode(master.removeprefix(SECRET_PREFIX))
    text = f"farebox webhook\n{receiver.account_id}\n{receiver.id}\n{generation}"
    made = hmac.new(key, text.encode(), hashlib.sha256).digest()
    return SECRET_PREFIX + base64.b64encode(made).decode()


def receiver_of_row(row: Row) -> Receiver:
    """A receiver as a query reads it."""
    return msgspec.convert({**row, "types": msgspec.json.decode(str(row["types"]))}, Receiver)
