"""What an account has and may spend, in cents where clients expect them; and the limit it sets for itself."""

from typing import Annotated, Final, Literal

from aiohttp import web
from msgspec import UNSET, Struct, UnsetType

from proxy.api.decode import invalid
from proxy.api.operations import BILLING, ApiSettings, Binder, Commands, Incoming, Nothing, Operation
from proxy.api.reader import Reader
from proxy.api.views.accounts import SpendingView, spending_of
from proxy.api.views.money import Display, Usd, display
from proxy.clock import Clock
from proxy.edge.auth import require_billing
from proxy.ledger.commands import ChangeAccount
from proxy.ledger.rows import NO_LIMIT, Account, Key
from proxy.money import usd_string
from proxy.validation import wants

NANO_PER_CENT: Final = 10**7
MAX_CENTS: Final = 10**10

Cents = Annotated[int, wants(f"whole cents from 0 to {MAX_CENTS}", ge=0, le=MAX_CENTS)]


class SpendingLimitsView(Struct, frozen=True, kw_only=True):
    """The spending limits in force for the account and for the key of the request.

    `daily_limit` is the one that the account has set for itself, in cents; null if it has none.
    """

    object: Literal["list"] = "list"
    data: list[SpendingView]
    daily_limit: int | None


class OwnLimit(Struct, frozen=True, forbid_unknown_fields=True):
    """What the account may spend in a UTC day, in cents; null is as much as the operator allows."""

    daily_limit: Cents | None


class FundsView(Struct, frozen=True, kw_only=True):
    """The money of an account: exact amounts, and in `amount` whole cents of what may still be spent."""

    object: Literal["funds"] = "funds"
    currency: Literal["usd"] = "usd"
    amount: int
    balance: Usd
    held: Usd
    available: Usd
    debt: Usd
    display: Display | UnsetType = UNSET


SPENDING_LIMITS: Final = Operation(
    id="billing_spending_limits",
    method="GET",
    path=f"{BILLING}/spending_limits",
    summary="Each spending limit of the account and of the key, what is spent and held, and when it resets.",
    audience="account",
    reply=SpendingLimitsView,
    query=Nothing,
    body=Nothing,
)
SET_LIMIT: Final = Operation(
    id="billing_set_spending_limit",
    method="PUT",
    path=f"{BILLING}/spending_limits",
    summary="Set the account's own limit for a UTC day, in cents, up to the operator's. It holds at once.",
    audience="account",
    reply=SpendingLimitsView,
    query=Nothing,
    body=OwnLimit,
)
FUNDS: Final = Operation(
    id="billing_funds",
    method="GET",
    path=f"{BILLING}/funds",
    summary="What the account has, and whole cents of what it may still spend.",
    audience="account",
    reply=FundsView,
    query=Nothing,
    body=Nothing,
)

OPERATIONS: Final = (SPENDING_LIMITS, SET_LIMIT, FUNDS)


class Spending:
    """Shows an account its funds and limits, and lets it limit itself."""

    def __init__(self, *, ledger: Commands, reader: Reader, clock: Clock) -> None:
        self._ledger = ledger
        self._reader = reader
        self._clock = clock

    def routes(self, bind: Binder[Key]) -> list[web.RouteDef]:
        """A route for each operation."""
        return [
            bind(SPENDING_LIMITS, self.spending_limits),
            bind(SET_LIMIT, self.set_limit),
            bind(FUNDS, self.funds),
        ]

    async def spending_limits(self, incoming: Incoming[Key, Nothing, Nothing]) -> SpendingLimitsView:
        """The spending limits in force; windows without one are left out."""
        account = await self._reader.account(incoming.caller.account_id)
        return await self._view(account, incoming.caller, incoming.settings)

    async def set_limit(self, incoming: Incoming[Key, Nothing, OwnLimit]) -> SpendingLimitsView:
        """Set the account's own limit.

        Raises Refusal `invalid_value` above what the operator allows, and as `require_billing`.
        """
        key, settings, cents = incoming.caller, incoming.settings, incoming.body.daily_limit
        require_billing(key)
        own_nano = NO_LIMIT if cents is None else cents * NANO_PER_CENT
        account = await self._reader.account(key.account_id)
        allowed_nano = account.limits.over(settings.groups.of(account.group).limits).day_nano
        if cents is not None and allowed_nano is not None and own_nano > allowed_nano:
            right = f"the operator allows at most {allowed_nano // NANO_PER_CENT} a day"
            raise invalid("daily_limit", cents, right)
        change = ChangeAccount(account.id, self._clock.now_us(), own_day_nano=own_nano)
        done = await self._ledger.command(change)
        return await self._view(done.account or account, key, settings)

    async def funds(self, incoming: Incoming[Key, Nothing, Nothing]) -> FundsView:
        """The account's money."""
        account = await self._reader.account(incoming.caller.account_id)
        return FundsView(
            amount=max(0, account.available_nano) // NANO_PER_CENT,
            balance=usd_string(account.balance_nano),
            held=usd_string(account.held_nano),
            available=usd_string(account.available_nano),
            debt=usd_string(account.whole_debt_nano),
            display=display(
                incoming.settings.unit,
                balance=account.balance_nano,
                held=account.held_nano,
                available=account.available_nano,
                debt=account.whole_debt_nano,
            ),
        )

    async def _view(self, account: Account, key: Key, settings: ApiSettings) -> SpendingLimitsView:
        now_us, unit = self._clock.now_us(), settings.unit
        in_force = account.limits.over(settings.groups.of(account.group).limits)
        views = [
            *spending_of("account", in_force, await self._reader.spending(account, now_us), unit),
            *spending_of("key", key.limits, await self._reader.spending(key, now_us), unit),
        ]
        own_nano = account.limits.own_day_nano
        return SpendingLimitsView(
            data=[view for view in views if view.limit is not None],
            daily_limit=None if own_nano is None else own_nano // NANO_PER_CENT,
        )
