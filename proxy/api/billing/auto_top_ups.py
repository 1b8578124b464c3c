"""How an account is topped up by itself: set by the customer, or by the operator."""

from typing import Final, Literal

from aiohttp import web
from msgspec import UNSET, Struct, UnsetType

from proxy.api.admin.bodies import Amount, Fields, amount_nano
from proxy.api.billing.top_ups import payments_for
from proxy.api.operations import ADMIN, BILLING, ApiSettings, Binder, Commands, Incoming, Nothing, Operation
from proxy.api.top_up_reader import TopUpReader
from proxy.api.views.money import Display, Usd, display
from proxy.billing.offers import Payments
from proxy.billing.providers import Providers
from proxy.clock import Clock
from proxy.edge.auth import require_billing
from proxy.errors import Refusal
from proxy.ledger.rows import Key
from proxy.ledger.top_up_rows import AutoTopUp
from proxy.ledger.top_ups import SetAutoTopUp
from proxy.money import Unit, usd_string


class AutoTopUpFields(Fields, frozen=True):
    """Whether, and at which funds, an account buys an `amount`, or what is missing of a `target`.

    Without a `daily_limit` the configuration's is in force, without a `monthly_limit` there is none.
    """

    enabled: bool
    threshold: Amount | None = None
    amount: Amount | None = None
    target: Amount | None = None
    daily_limit: Amount | None = None
    monthly_limit: Amount | None = None


class AutoTopUpView(Struct, frozen=True, kw_only=True):
    """How an account is topped up by itself. `method_saved` tells if a means of payment was saved."""

    object: Literal["auto_top_up"] = "auto_top_up"
    account_id: str
    enabled: bool
    threshold: Usd
    amount: Usd | None
    target: Usd | None
    daily_limit: Usd | None
    monthly_limit: Usd | None
    method_saved: bool
    display: Display | UnsetType = UNSET


SHOW: Final = Operation(
    id="billing_auto_top_up",
    method="GET",
    path=f"{BILLING}/auto_top_up",
    summary="How the account is topped up by itself.",
    audience="account",
    reply=AutoTopUpView,
    query=Nothing,
    body=Nothing,
)
SET: Final = Operation(
    id="billing_set_auto_top_up",
    method="PUT",
    path=f"{BILLING}/auto_top_up",
    summary="Have the account topped up by itself when its funds are low, or no longer.",
    audience="account",
    reply=AutoTopUpView,
    query=Nothing,
    body=AutoTopUpFields,
)
ADMIN_SHOW: Final = Operation(
    id="get_auto_top_up",
    method="GET",
    path=f"{ADMIN}/accounts/{{account_id}}/auto_top_up",
    summary="How an account is topped up by itself.",
    audience="admin",
    reply=AutoTopUpView,
    query=Nothing,
    body=Nothing,
)
ADMIN_SET: Final = Operation(
    id="set_auto_top_up",
    method="PUT",
    path=f"{ADMIN}/accounts/{{account_id}}/auto_top_up",
    summary="Have an account topped up by itself when its funds are low, or no longer.",
    audience="admin",
    reply=AutoTopUpView,
    query=Nothing,
    body=AutoTopUpFields,
)

OPERATIONS: Final = (SHOW, SET)
ADMIN_OPERATIONS: Final = (ADMIN_SHOW, ADMIN_SET)


class AutoTopUps:
    """Shows and sets how accounts are topped up by themselves."""

    def __init__(self, *, ledger: Commands, reader: TopUpReader, clock: Clock, providers: Providers) -> None:
        self._ledger = ledger
        self._reader = reader
        self._clock = clock
        self._providers = providers

    def routes(self, bind: Binder[Key]) -> list[web.RouteDef]:
        """A route for each of the account's operations."""
        return [bind(SHOW, self.show), bind(SET, self.set)]

    def admin_routes(self, bind: Binder[None]) -> list[web.RouteDef]:
        """A route for each of the operator's."""
        return [bind(ADMIN_SHOW, self.show_any), bind(ADMIN_SET, self.set_any)]

    async def show(self, incoming: Incoming[Key, Nothing, Nothing]) -> AutoTopUpView:
        """How the account is topped up."""
        auto = await self._reader.auto_top_up(incoming.caller.account_id)
        return _view(auto, incoming.settings.unit)

    async def set(self, incoming: Incoming[Key, Nothing, AutoTopUpFields]) -> AutoTopUpView:
        """Set how the account is topped up. Raises Refusal as `require_billing`, and `invalid_value`."""
        require_billing(incoming.caller)
        return await self._set(incoming.caller.account_id, incoming.body, incoming.settings)

    async def show_any(self, incoming: Incoming[None, Nothing, Nothing]) -> AutoTopUpView:
        """How an account is topped up. Raises Refusal `not_found`."""
        account = await self._reader.account(incoming.path["account_id"])
        return _view(await self._reader.auto_top_up(account.id), incoming.settings.unit)

    async def set_any(self, incoming: Incoming[None, Nothing, AutoTopUpFields]) -> AutoTopUpView:
        """Set how an account is topped up. Raises Refusal `not_found`, `invalid_value`, `conflict`."""
        return await self._set(incoming.path["account_id"], incoming.body, incoming.settings)

    async def _set(self, account_id: str, body: AutoTopUpFields, settings: ApiSettings) -> AutoTopUpView:
        payments, unit = await payments_for(account_id, settings, self._reader), settings.unit
        before = await self._reader.auto_top_up(account_id)
        if body.enabled and self._providers.of(payments).saves_methods and not before.method:
            message = "No means of payment was saved: buy once with `save_method`."
            raise Refusal("conflict", message)
        daily_nano = _nano("daily_limit", body.daily_limit, unit)
        command = SetAutoTopUp(
            account_id,
            self._clock.now_us(),
            "on" if body.enabled else "off",
            threshold_nano=_nano("threshold", body.threshold, unit),
            amount_nano=_nano("amount", body.amount, unit),
            target_nano=_nano("target", body.target, unit),
            daily_nano=daily_nano or payments.daily_nano,
            monthly_nano=_nano("monthly_limit", body.monthly_limit, unit),
        )
        if body.enabled and command.amount_nano:
            payments.amount(command.amount_nano)
        if body.enabled:
            _check_room(command, payments)
        done = await self._ledger.command(command)
        assert done.auto_top_up is not None
        return _view(done.auto_top_up, unit)


def _check_room(command: SetAutoTopUp, payments: Payments) -> None:
    """Raises Refusal `invalid_value` for bounds that leave no room for the least that is bought at once."""
    least_nano = command.amount_nano or command.target_nano - command.threshold_nano
    least_nano = min(max(least_nano, payments.least_nano), payments.most_nano)
    for name, bound_nano in (("daily_limit", command.daily_nano), ("monthly_limit", command.monthly_nano)):
        if 0 < bound_nano < least_nano:
            least, bound = usd_string(least_nano), usd_string(bound_nano)
            message = (
                f"`{name}` is {bound} USD: it has to be {least} USD at least, the least of one purchase."
            )
            raise Refusal("invalid_value", message, param=name)


def _nano(param: str, text: str | None, unit: Unit) -> int:
    return amount_nano(param, text, unit) if text is not None else 0


def _view(auto: AutoTopUp, unit: Unit) -> AutoTopUpView:
    return AutoTopUpView(
        account_id=auto.account_id,
        enabled=auto.state == "on",
        threshold=usd_string(auto.threshold_nano),
        amount=usd_string(auto.amount_nano) if auto.amount_nano else None,
        target=usd_string(auto.target_nano) if auto.target_nano else None,
        daily_limit=usd_string(auto.daily_nano) if auto.daily_nano else None,
        monthly_limit=usd_string(auto.monthly_nano) if auto.monthly_nano else None,
        method_saved=bool(auto.method),
        display=display(unit, threshold=auto.threshold_nano, amount=auto.amount_nano or None),
    )
