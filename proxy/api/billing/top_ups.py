"""The billing API's top-ups: what may be bought, and an account's own purchases."""

import re
from typing import Annotated, Final

from aiohttp import web
from msgspec import Struct

from proxy.api.admin.bodies import Amount, amount_nano
from proxy.api.operations import (
    BILLING,
    REPLAYED,
    ApiSettings,
    Binder,
    Document,
    Incoming,
    Nothing,
    Operation,
    WithHeaders,
)
from proxy.api.paging import LAST_NUMBER, Page, PageQuery, bad_cursor, page_of, place_of
from proxy.api.papers import PaperQuery, format_of, paper
from proxy.api.reader import Reader
from proxy.api.top_up_reader import TopUpReader
from proxy.api.views.payment_receipts import PaymentReceiptView, payment_receipt, payment_sheet
from proxy.api.views.top_ups import PackagesView, TopUpView, package_view, top_up_view
from proxy.billing.offers import NANO_PER_CENT, Payments
from proxy.billing.top_ups import TopUps, id_of
from proxy.clock import Clock
from proxy.edge.auth import require_billing
from proxy.errors import Refusal
from proxy.ids import new_id
from proxy.ledger.rows import Key
from proxy.ledger.top_up_rows import TopUp, TopUpState
from proxy.money import usd_string
from proxy.validation import wants

PackageName = Annotated[str, wants("the name of a package", min_length=1, max_length=100)]
MethodName = Annotated[str, wants("the name of a method", min_length=1, max_length=100)]
Cents = Annotated[int, wants("a whole number of cents, from 1", ge=1, le=10**12)]


class NewTopUp(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What to buy: an amount or a package, and by which `method` it is paid, where fees differ.

    `save_method` lets automatic top-ups be paid in the same way.
    """

    amount: Amount | None = None
    package: PackageName | None = None
    method: MethodName | None = None
    save_method: bool = False


class NewFunds(Struct, frozen=True, forbid_unknown_fields=True):
    """The amount to buy, in cents."""

    amount: Cents


class PackagesQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """By which method is paid what is shown."""

    method: MethodName | None = None


class TopUpQuery(PageQuery, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The filter of a list of top-ups."""

    state: TopUpState | None = None


PACKAGES: Final = Operation(
    id="billing_packages",
    method="GET",
    path=f"{BILLING}/packages",
    summary="What may be bought, for how much, with which bonus and fee, by a `method` or by any.",
    audience="account",
    reply=PackagesView,
    query=PackagesQuery,
    body=Nothing,
)
OPEN: Final = Operation(
    id="billing_open_top_up",
    method="POST",
    path=f"{BILLING}/top_ups",
    summary="Buy a package or an amount. Its credit is there once it is paid.",
    audience="account",
    reply=TopUpView,
    query=Nothing,
    body=NewTopUp,
    status=201,
    idempotent=True,
)
ADD_FUNDS: Final = Operation(
    id="billing_add_funds",
    method="POST",
    path=f"{BILLING}/funds",
    summary="Buy an amount that is given in cents. Each request opens a top-up of its own.",
    audience="account",
    reply=TopUpView,
    query=Nothing,
    body=NewFunds,
    status=201,
)
LIST: Final = Operation(
    id="billing_top_ups",
    method="GET",
    path=f"{BILLING}/top_ups",
    summary="The account's top-ups, the newest first.",
    audience="account",
    reply=Page[TopUpView],
    query=TopUpQuery,
    body=Nothing,
)
SHOW: Final = Operation(
    id="billing_top_up",
    method="GET",
    path=f"{BILLING}/top_ups/{{top_up_id}}",
    summary="One of the account's top-ups.",
    audience="account",
    reply=TopUpView,
    query=Nothing,
    body=Nothing,
)

RECEIPT: Final = Operation(
    id="billing_top_up_receipt",
    method="GET",
    path=f"{BILLING}/top_ups/{{top_up_id}}/receipt",
    summary="The receipt of a top-up that was paid: as JSON, HTML or PDF, by `format` or `Accept`.",
    audience="account",
    reply=PaymentReceiptView,
    query=PaperQuery,
    body=Nothing,
)

OPERATIONS: Final = (PACKAGES, OPEN, ADD_FUNDS, LIST, SHOW, RECEIPT)


class Purchases:
    """Shows what may be bought, and opens top-ups."""

    def __init__(self, *, top_ups: TopUps, reader: TopUpReader, clock: Clock) -> None:
        self._top_ups = top_ups
        self._reader = reader
        self._clock = clock

    def routes(self, bind: Binder[Key]) -> list[web.RouteDef]:
        """A route for each operation."""
        return [
            bind(PACKAGES, self.packages),
            bind(OPEN, self.open),
            bind(ADD_FUNDS, self.add_funds),
            bind(LIST, self.page),
            bind(SHOW, self.show),
            bind(RECEIPT, self.receipt),
        ]

    async def packages(self, incoming: Incoming[Key, PackagesQuery, Nothing]) -> PackagesView:
        """What may be bought. Raises Refusal `not_found` where nothing can be, and `invalid_value`."""
        payments = await payments_for(incoming.caller.account_id, incoming.settings, self._reader)
        unit = incoming.settings.unit
        if incoming.query.method is not None:
            payments = payments.paid_by(incoming.query.method)
        return PackagesView(
            data=[package_view(offer, unit) for offer in payments.offers()],
            free_amounts=payments.free_amounts,
            minimum=usd_string(payments.least_nano),
            maximum=usd_string(payments.most_nano),
            days=payments.days or None,
            provider=payments.provider,
            methods=sorted(payments.methods),
            top_up_url=payments.top_up_url or None,
        )

    async def open(self, incoming: Incoming[Key, Nothing, NewTopUp]) -> WithHeaders[TopUpView]:
        """Open a top-up. Raises Refusal as `require_billing`, and `conflict` or `idempotency_conflict`."""
        require_billing(incoming.caller)
        key = (incoming.caller.account_id, incoming.command_id)
        return await open_once(
            *key, incoming.body, incoming.settings, top_ups=self._top_ups, reader=self._reader
        )

    async def add_funds(self, incoming: Incoming[Key, Nothing, NewFunds]) -> WithHeaders[TopUpView]:
        """Open a top-up of so many cents. Raises Refusal as `open`."""
        require_billing(incoming.caller)
        account_id, key = incoming.caller.account_id, new_id("funds", self._clock.now_us())
        payments = await payments_for(account_id, incoming.settings, self._reader)
        offer = payments.amount(incoming.body.amount * NANO_PER_CENT)
        return told(await self._top_ups.open(account_id, key, offer, payments), incoming.settings)

    async def page(self, incoming: Incoming[Key, TopUpQuery, Nothing]) -> Page[TopUpView]:
        """A page of the account's top-ups."""
        return await top_ups_page(
            self._reader, incoming.caller.account_id, incoming.query, incoming.query.state, incoming.settings
        )

    async def show(self, incoming: Incoming[Key, Nothing, Nothing]) -> TopUpView:
        """One top-up. Raises Refusal `not_found`, also for another account's."""
        top_up = await self._reader.top_up(incoming.caller.account_id, incoming.path["top_up_id"])
        return top_up_view(top_up, incoming.settings.unit)

    async def receipt(self, incoming: Incoming[Key, PaperQuery, Nothing]) -> PaymentReceiptView | Document:
        """The receipt of a top-up. Raises Refusal `not_found`, and `conflict` for one that is not paid."""
        account = await self._reader.account(incoming.caller.account_id)
        top_up = await self._reader.top_up(account.id, incoming.path["top_up_id"])
        view = payment_receipt(top_up, account, incoming.settings.invoices)
        form = format_of(incoming.query.format, incoming.accept)
        return await paper(form, f"receipt-{top_up.id}", lambda: view, lambda: payment_sheet(view))


def payments_of(settings: ApiSettings) -> Payments:
    """How accounts pay in. Raises Refusal `not_found` where they cannot."""
    if settings.payments is None:
        raise Refusal("not_found", "Nothing is sold here: no payments are configured.")
    return settings.payments


async def payments_for(account_id: str, settings: ApiSettings, reader: Reader) -> Payments:
    """How an account pays in, by the group that it is in now. Raises Refusal as `payments_of`."""
    payments = payments_of(settings)
    return payments.for_group((await reader.account(account_id)).group) if payments.in_groups else payments


async def open_once(
    account_id: str,
    key: str,
    body: NewTopUp,
    settings: ApiSettings,
    *,
    top_ups: TopUps,
    reader: TopUpReader,
) -> WithHeaders[TopUpView]:
    """Open a top-up, once for a key: what was opened is told whatever is sold by now.

    Raises Refusal `invalid_value`, `not_found`, `conflict`, `idempotency_conflict`.
    """
    if (body.amount is None) == (body.package is None):
        raise Refusal("invalid_value", "Name an amount or a package, one of them.", param="amount")
    package = body.package or ""
    nano = 0 if body.amount is None else amount_nano("amount", body.amount, settings.unit)
    known = await reader.known_top_up(account_id, id_of(account_id, key))
    if known is not None:
        asked = (package, body.method or "", nano if not package else known.credit_nano)
        if (known.package, known.method, known.credit_nano) != asked:
            message = f"The top-up {known.id} was opened for something else."
            raise Refusal("idempotency_conflict", message)
        return told(await top_ups.reopen(known, settings.payments, saves_method=body.save_method), settings)
    payments = await payments_for(account_id, settings, reader)
    if body.method is not None:
        payments = payments.paid_by(body.method)
    offer = payments.package(package) if package else payments.amount(nano)
    opened = await top_ups.open(account_id, key, offer, payments, saves_method=body.save_method)
    return told(opened, settings)


async def top_ups_page(
    reader: TopUpReader, account_id: str, query: PageQuery, state: TopUpState | None, settings: ApiSettings
) -> Page[TopUpView]:
    """A page of top-ups, newest first, of one account or, if that is empty, of all."""
    before_us, before_id = _place(query)
    rows = await reader.top_ups(
        account_id, state=state or "", before_us=before_us, before_id=before_id, limit=query.limit + 1
    )
    return page_of(
        rows,
        query.limit,
        lambda row: top_up_view(row, settings.unit),
        lambda row: f"{row.created_at_us}/{row.id}",
    )


def told(answer: tuple[TopUp, bool], settings: ApiSettings) -> WithHeaders[TopUpView]:
    """What a command has made of a top-up; a header tells if that had been done before."""
    top_up, replayed = answer
    return WithHeaders(top_up_view(top_up, settings.unit), {REPLAYED: "true"} if replayed else {})


def _place(query: PageQuery) -> tuple[int, str]:
    """When the last top-up of the page before was opened, and its id."""
    place = place_of(query, str)
    if place is None:
        return LAST_NUMBER, ""
    opened, _, id_ = place.partition("/")
    if not re.fullmatch("[0-9]{1,18}", opened):
        raise bad_cursor(query)
    return int(opened), id_
