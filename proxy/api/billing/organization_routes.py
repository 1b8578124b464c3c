"""Usage and costs in the shapes of OpenAI's API: an account sees its own, and the admin key all."""

from typing import Any, Final

from aiohttp import web

from proxy.api.billing.costs import COSTS, CostsQuery, CostsView, costs_page
from proxy.api.billing.organization import OPERATIONS as USAGE_OPERATIONS
from proxy.api.billing.organization import PATH, OrganizationUsageQuery, not_served, usage_page
from proxy.api.billing.usage_shapes import FAMILIES, UsageFamily
from proxy.api.operations import Binder, Handler, Incoming, Nothing, Operation
from proxy.api.reader import Reader
from proxy.clock import Clock
from proxy.ledger.rows import Key

OPERATIONS: Final[tuple[Operation[Any, Any, Any], ...]] = (COSTS, *USAGE_OPERATIONS.values())


class Organization:
    """Shows usage and costs by time."""

    def __init__(self, *, reader: Reader, clock: Clock) -> None:
        self._reader = reader
        self._clock = clock

    def routes(self, bind: Binder[Key | None]) -> list[web.RouteDef]:
        """A route for each operation, and one that says what is not metered."""
        usage = [bind(USAGE_OPERATIONS[family.name], self._usage_of(family)) for family in FAMILIES]
        return [bind(COSTS, self.costs), *usage, bind.nowhere(PATH, not_served)]

    async def costs(self, incoming: Incoming[Key | None, CostsQuery, Nothing]) -> CostsView:
        """A page of costs by day."""
        account_id, now_us = _account_id(incoming.caller), self._clock.now_us()
        return await costs_page(self._reader, incoming.query, account_id=account_id, now_us=now_us)

    def _usage_of(self, family: UsageFamily) -> Handler[Key | None, OrganizationUsageQuery, Nothing, Any]:
        async def usage(incoming: Incoming[Key | None, OrganizationUsageQuery, Nothing]) -> Any:
            account_id, now_us = _account_id(incoming.caller), self._clock.now_us()
            return await usage_page(
                self._reader, family, incoming.query, account_id=account_id, now_us=now_us
            )

        return usage


def _account_id(key: Key | None) -> str:
    """The account whose figures are shown; empty for all of them."""
    return "" if key is None else key.account_id
