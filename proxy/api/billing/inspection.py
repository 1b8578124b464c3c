"""What a key is, may and has spent, in the shapes that chat front ends ask for.

Those of `/dashboard/billing` are OpenAI's old ones, and those of `/v1/key` and `/v1/credits` OpenRouter's.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from typing import Any, Final, TypeVar

import msgspec
from aiohttp import web

from proxy.api.billing.inspection_shapes import (
    CreditFields,
    CreditGrantsView,
    CreditGrantView,
    CreditSummaryView,
    CreditsView,
    DailyCostView,
    LineItemView,
    OldUsageQuery,
    OldUsageView,
    OwnKeyFields,
    OwnKeyView,
    RateLimitView,
    Reset,
    SubscriptionView,
)
from proxy.api.decode import invalid
from proxy.api.operations import ApiSettings, Binder, Incoming, Nothing, Operation
from proxy.api.reader import SUM_BYTES, CostSum, Reader
from proxy.api.usage import MAX_DAYS
from proxy.api.views.money import expiry
from proxy.call.off_loop import off_loop
from proxy.clock import Clock
from proxy.ledger.rows import NEVER_US, NO_LIMIT, Account, Key, Limits, Lot
from proxy.ledger.spending import Bucket
from proxy.ledger.windows import DAY_US, EPOCH, WINDOWS, Window
from proxy.money import usd_string

_RESETS: Final[dict[Window, Reset]] = {
    "day": "daily",
    "week": "weekly",
    "month": "monthly",
    "total": None,
}
_FAR_SECONDS: Final = 253_402_300_799
_LOTS: Final = 100
"""How many lots a summary of credit lists."""
MAX_ROWS: Final = 10_000


_PREFIXES: Final = ("/v1/dashboard/billing", "/dashboard/billing")
_Kind = TypeVar("_Kind")
_Query = TypeVar("_Query")


def _dashboard(
    name: str, summary: str, reply: type[_Kind], query: type[_Query]
) -> tuple[Operation[_Query, Nothing, _Kind], ...]:
    """An operation of the dashboard at each of its paths."""
    return tuple(
        Operation(
            id=f"{'' if prefix.startswith('/v1') else 'old_'}dashboard_{name}",
            method="GET",
            path=f"{prefix}/{name}",
            summary=summary,
            audience="account",
            reply=reply,
            query=query,
            body=Nothing,
        )
        for prefix in _PREFIXES
    )


SUBSCRIPTION: Final = _dashboard(
    "subscription", "What may be spent in this UTC month.", SubscriptionView, Nothing
)
OLD_USAGE: Final = _dashboard(
    "usage", "What the account was charged by UTC day and model, in cents.", OldUsageView, OldUsageQuery
)
CREDIT_GRANTS: Final = _dashboard(
    "credit_grants", "What the account was charged ever, and what is left.", CreditSummaryView, Nothing
)
OWN_KEY: Final = Operation(
    id="own_key",
    method="GET",
    path="/v1/key",
    summary="The key of the request: its limit, what is left of it, and what it has spent.",
    audience="account",
    reply=OwnKeyView,
    query=Nothing,
    body=Nothing,
)
CREDITS: Final = Operation(
    id="own_credits",
    method="GET",
    path="/v1/credits",
    summary="All credit that the account had, and what it was charged of it.",
    audience="account",
    reply=CreditsView,
    query=Nothing,
    body=Nothing,
)

OPERATIONS: Final[tuple[Operation[Any, Any, Any], ...]] = (
    *SUBSCRIPTION,
    *OLD_USAGE,
    *CREDIT_GRANTS,
    OWN_KEY,
    CREDITS,
)


class Inspection:
    """Shows a key what it is and may, and its account's money."""

    def __init__(self, *, reader: Reader, clock: Clock) -> None:
        self._reader = reader
        self._clock = clock

    def routes(self, bind: Binder[Key]) -> list[web.RouteDef]:
        """A route for each operation."""
        return [
            *(bind(operation, self.subscription) for operation in SUBSCRIPTION),
            *(bind(operation, self.usage) for operation in OLD_USAGE),
            *(bind(operation, self.credit_grants) for operation in CREDIT_GRANTS),
            bind(OWN_KEY, self.key),
            bind(CREDITS, self.credits),
        ]

    async def subscription(self, incoming: Incoming[Key, Nothing, Nothing]) -> SubscriptionView:
        """What may be spent in this month, so that less what it was charged is what is left."""
        key = incoming.caller
        account = await self._reader.account(key.account_id)
        bounds = await self._bounds(account, key, incoming.settings)
        spent_nano = {bucket.scope_id: bucket.spent_nano for _, bucket in bounds if bucket.window == "month"}
        charged_nano = spent_nano[account.id]
        left_nano = max(0, account.available_nano) + account.held_nano
        of_limits = [max(0, limit_nano - bucket.spent_nano) for limit_nano, bucket in _limited(bounds)]
        hard_nano = charged_nano + min((left_nano, *of_limits))
        until = _FAR_SECONDS if key.expires_at_us >= NEVER_US else key.expires_at_us // 1_000_000
        return SubscriptionView(
            access_until=until,
            soft_limit_usd=_usd(hard_nano),
            hard_limit_usd=_usd(hard_nano),
            system_hard_limit_usd=_usd(charged_nano + left_nano),
        )

    async def usage(self, incoming: Incoming[Key, OldUsageQuery, Nothing]) -> OldUsageView:
        """What the account was charged. Raises Refusal `invalid_value` for no days or too many."""
        first, end = _days(incoming.query, self._clock.now_us())
        sums = await self._reader.costs(
            account_id=incoming.caller.account_id,
            first_day=first,
            last_day=end - 1,
            by_key=False,
            by_model=True,
            limit=MAX_ROWS + 1,
        )
        if len(sums) > MAX_ROWS:
            raise invalid("start_date", incoming.query.start_date, "ask for fewer days")
        return await off_loop(len(sums) * SUM_BYTES, lambda: _old_usage(sums))

    async def credit_grants(self, incoming: Incoming[Key, Nothing, Nothing]) -> CreditSummaryView:
        """All credit of the account, and the lots that are left."""
        account = await self._reader.account(incoming.caller.account_id)
        lots = await self._reader.lots(account.id, before_us=NEVER_US + 1, after=None, limit=_LOTS)
        used_nano, left_nano = self._used_nano(account), max(0, account.available_nano)
        return CreditSummaryView(
            total_granted=_usd(used_nano + account.held_nano + left_nano),
            total_used=_usd(used_nano),
            total_available=_usd(left_nano),
            grants=CreditGrantsView(data=list(map(_grant_view, lots))),
        )

    async def key(self, incoming: Incoming[Key, Nothing, Nothing]) -> OwnKeyView:
        """The key of the request."""
        key, settings = incoming.caller, incoming.settings
        account = await self._reader.account(key.account_id)
        bounds = await self._bounds(account, key, settings)
        of_key = {bucket.window: bucket.spent_nano for _, bucket in bounds if bucket.scope_id == key.id}
        left = {
            (limit_nano - bucket.spent_nano - bucket.held_nano, WINDOWS.index(bucket.window)): (
                limit_nano,
                bucket,
            )
            for limit_nano, bucket in _limited(bounds)
        }
        tightest = min(left, default=None)
        limit_nano, bucket = left[tightest] if tightest is not None else (None, None)
        rpm = [limits.rpm for limits in (key.limits, _in_force(account, settings)) if limits.rpm is not None]
        requests = min(rpm, default=NO_LIMIT)
        fields = OwnKeyFields(
            label=f"{key.name} (...{key.hint})",
            limit=None if limit_nano is None else _usd(limit_nano),
            limit_remaining=None if tightest is None else _usd(max(0, tightest[0])),
            limit_reset=None if bucket is None else _RESETS[bucket.window],
            usage=_usd(of_key["total"]),
            usage_daily=_usd(of_key["day"]),
            usage_weekly=_usd(of_key["week"]),
            usage_monthly=_usd(of_key["month"]),
            is_free_tier=not await self._reader.has_bought(account.id),
            expires_at=expiry(key.expires_at_us),
            rate_limit=RateLimitView(-1 if requests == NO_LIMIT else requests),
        )
        return OwnKeyView(fields)

    async def credits(self, incoming: Incoming[Key, Nothing, Nothing]) -> CreditsView:
        """The credit of the account: what is left is the one less the other."""
        account = await self._reader.account(incoming.caller.account_id)
        used_nano = self._used_nano(account)
        left_nano = account.balance_nano - account.whole_debt_nano
        return CreditsView(CreditFields(_usd(used_nano + left_nano), _usd(used_nano)))

    async def _bounds(
        self, account: Account, key: Key, settings: ApiSettings
    ) -> Sequence[tuple[Limits, Bucket]]:
        """What the account and the key have spent in each window, with the limits that bound it."""
        now_us = self._clock.now_us()
        limits = _in_force(account, settings)
        return [
            *((limits, bucket) for bucket in await self._reader.spending(account, now_us)),
            *((key.limits, bucket) for bucket in await self._reader.spending(key, now_us)),
        ]

    def _used_nano(self, account: Account) -> int:
        """What the account was charged ever."""
        today = max(account.spending.day, self._clock.now_us() // DAY_US)
        return account.spending.moved_to(today).buckets(account.id)[WINDOWS.index("total")].spent_nano


def _old_usage(sums: Sequence[CostSum]) -> OldUsageView:
    by_day: dict[int, list[LineItemView]] = defaultdict(list)
    for one in sums:
        by_day[one.day].append(LineItemView(one.model, _cents(one.charged_nano)))
    return OldUsageView(
        daily_costs=[DailyCostView(day * 86_400, items) for day, items in sorted(by_day.items())],
        total_usage=_cents(sum(one.charged_nano for one in sums)),
    )


def _in_force(account: Account, settings: ApiSettings) -> Limits:
    return account.limits.over(settings.groups.of(account.group).limits)


def _limited(bounds: Sequence[tuple[Limits, Bucket]]) -> Iterator[tuple[int, Bucket]]:
    """The limits that there are, each with what is spent of it."""
    for limits, bucket in bounds:
        limit_nano = limits.window_nano(bucket.window)
        if limit_nano is not None and limit_nano != NO_LIMIT:
            yield limit_nano, bucket


def _days(query: OldUsageQuery, now_us: int) -> tuple[int, int]:
    today = EPOCH + timedelta(days=now_us // DAY_US)
    first = query.start_date or date(today.year, today.month, 1)
    end = query.end_date or today + timedelta(days=1)
    if not EPOCH <= first < end:
        raise invalid("start_date", first, "it has to be before the end")
    if (end - first).days > MAX_DAYS:
        raise invalid("start_date", first, f"ask for at most {MAX_DAYS} days")
    return (first - EPOCH).days, (end - EPOCH).days


def _grant_view(lot: Lot) -> CreditGrantView:
    never = lot.expires_at_us >= NEVER_US
    return CreditGrantView(
        id=lot.id,
        grant_amount=_usd(lot.amount_nano),
        used_amount=_usd(lot.amount_nano - lot.remaining_nano),
        effective_at=lot.granted_at_us // 1_000_000,
        expires_at=None if never else lot.expires_at_us // 1_000_000,
    )


def _usd(nano: int) -> msgspec.Raw:
    return msgspec.Raw(usd_string(nano).encode())


def _cents(nano: int) -> msgspec.Raw:
    return msgspec.Raw(usd_string(nano * 100).encode())
