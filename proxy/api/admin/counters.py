"""The admin API's counters: what an account has used of its allowances and tiers."""

from typing import Final

from aiohttp import web

from proxy.api.operations import ADMIN, ApiSettings, Binder, Incoming, Nothing, Operation
from proxy.api.reader import Reader
from proxy.api.views.counters import CountersView, counters_view
from proxy.clock import Clock
from proxy.ledger.rows import Account
from proxy.ledger.windows import DAY_US, starts_of_day

LIST_COUNTERS: Final = Operation(
    id="list_counters",
    method="GET",
    path=f"{ADMIN}/accounts/{{account_id}}/counters",
    summary="What an account has used of its allowances and tiers in the periods of now.",
    audience="admin",
    reply=CountersView,
    query=Nothing,
    body=Nothing,
)
OPERATIONS: Final = (LIST_COUNTERS,)


class Counters:
    """Shows counters of accounts."""

    def __init__(self, *, reader: Reader, clock: Clock) -> None:
        self._reader = reader
        self._clock = clock

    def routes(self, bind: Binder[None]) -> list[web.RouteDef]:
        """The route."""
        return [bind(LIST_COUNTERS, self.list_counters)]

    async def list_counters(self, incoming: Incoming[None, Nothing, Nothing]) -> CountersView:
        """An account's counters. Raises Refusal `not_found`."""
        account = await self._reader.account(incoming.path["account_id"])
        return await counters_now(self._reader, account, incoming.settings, self._clock.now_us())


async def counters_now(reader: Reader, account: Account, settings: ApiSettings, now_us: int) -> CountersView:
    """An account's counters, with the rates that count for accounts of its group."""
    rows = await reader.counters(account.id, now_us)
    first_days = dict(starts_of_day(now_us // DAY_US))
    return counters_view(rows, settings.book.counted(now_us, account.group), first_days)
