"""The billing API of an account under /v1/billing, for any of its keys. A suspended account may read it."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final, Literal

from aiohttp import web
from msgspec import UNSET, Struct, UnsetType

from proxy.api import credit_notes, invoices, levels
from proxy.api.admin.counters import counters_now
from proxy.api.admin.credit import LotQuery, entries_page, lots_page
from proxy.api.billing import auto_top_ups, fee_receipts, inspection, organization_routes, plans
from proxy.api.billing import runs as billing_runs
from proxy.api.billing import spending as billing_spending
from proxy.api.billing import top_ups as billing_top_ups
from proxy.api.billing import vouchers as billing_vouchers
from proxy.api.billing import webhooks as own_webhooks
from proxy.api.billing.exports import receipts_table, usage_table
from proxy.api.billing.fee_receipts import FeeReceipts
from proxy.api.billing.receipt_days import receipts_in, spans_of
from proxy.api.csv_export import Csv
from proxy.api.event_reader import EventReader
from proxy.api.invoices import OwnInvoices
from proxy.api.notifications import EventQuery, events_page
from proxy.api.operations import BILLING, ApiSettings, Binder, Commands, Incoming, Nothing, Operation
from proxy.api.paging import Page, PageQuery, page_of, place_of
from proxy.api.reader import SeenReceipt
from proxy.api.run_reader import RunReader
from proxy.api.top_up_reader import TopUpReader
from proxy.api.turns import Turns
from proxy.api.usage import Day, EndUser, UsageQuery, UsageView, usage_report
from proxy.api.views.books import EntryView, LotView
from proxy.api.views.counters import CountersView
from proxy.api.views.events import EventView
from proxy.api.views.money import Display, Usd, display
from proxy.api.views.receipts import ReceiptView, receipt_view
from proxy.billing.credit_notes import CreditNotes
from proxy.billing.invoices import Invoices
from proxy.billing.providers import Providers
from proxy.billing.top_ups import TopUps
from proxy.clock import Clock
from proxy.edge.auth import account_key, account_or_admin
from proxy.errors import Refusal
from proxy.ledger.rows import Key
from proxy.ledger.store import Store
from proxy.money import usd_string
from proxy.upstream.webhooks import HttpSender


class BalanceView(Struct, frozen=True, kw_only=True):
    """The money of an account. New calls may hold `available = balance - held - debt + credit_limit`."""

    object: Literal["balance"] = "balance"
    account_id: str
    status: Literal["active", "suspended"]
    balance: Usd
    held: Usd
    available: Usd
    debt: Usd
    credit_limit: Usd
    display: Display | UnsetType = UNSET


class OwnReceiptQuery(PageQuery, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The filters of a list of receipts. `model` is the exact public name; both days are included.

    As CSV it has all receipts, whatever `limit` is.
    """

    key_id: str | None = None
    model: str | None = None
    end_user: EndUser | None = None
    start_date: Day | None = None
    end_date: Day | None = None
    format: Literal["json", "csv"] = "json"


BALANCE: Final = Operation(
    id="billing_balance",
    method="GET",
    path=f"{BILLING}/balance",
    summary="The account's balance, holds, debt, and what it may still spend.",
    audience="account",
    reply=BalanceView,
    query=Nothing,
    body=Nothing,
)
LOTS: Final = Operation(
    id="billing_lots",
    method="GET",
    path=f"{BILLING}/lots",
    summary="The account's lots with something left, in draw order.",
    audience="account",
    reply=Page[LotView],
    query=LotQuery,
    body=Nothing,
)
USAGE: Final = Operation(
    id="billing_usage",
    method="GET",
    path=f"{BILLING}/usage",
    summary="Sum up the account's usage and charges by UTC day, model or key.",
    audience="account",
    reply=UsageView,
    query=UsageQuery,
    body=Nothing,
    table=True,
)
RECEIPTS: Final = Operation(
    id="billing_receipts",
    method="GET",
    path=f"{BILLING}/receipts",
    summary="The account's receipts of calls, with charge lines and basis, the newest first.",
    audience="account",
    reply=Page[ReceiptView],
    query=OwnReceiptQuery,
    body=Nothing,
    table=True,
)
RECEIPT: Final = Operation(
    id="billing_receipt",
    method="GET",
    path=f"{BILLING}/receipts/{{call_id}}",
    summary="The receipt of one of the account's calls.",
    audience="account",
    reply=ReceiptView,
    query=Nothing,
    body=Nothing,
)
COUNTERS: Final = Operation(
    id="billing_counters",
    method="GET",
    path=f"{BILLING}/counters",
    summary="What the account has used of its allowances and tiers in the periods of now.",
    audience="account",
    reply=CountersView,
    query=Nothing,
    body=Nothing,
)
ENTRIES: Final = Operation(
    id="billing_entries",
    method="GET",
    path=f"{BILLING}/entries",
    summary="The entries of the account's books, the newest first.",
    audience="account",
    reply=Page[EntryView],
    query=PageQuery,
    body=Nothing,
)
NOTIFICATIONS: Final = Operation(
    id="billing_notifications",
    method="GET",
    path=f"{BILLING}/notifications",
    summary="What has happened to the account, the newest first: the events that webhooks are sent.",
    audience="account",
    reply=Page[EventView],
    query=EventQuery,
    body=Nothing,
)

OPERATIONS: Final[tuple[Operation[Any, Any, Any], ...]] = (
    *(BALANCE, LOTS, USAGE, RECEIPTS, RECEIPT, COUNTERS, ENTRIES, NOTIFICATIONS),
    *billing_spending.OPERATIONS,
    *plans.OPERATIONS,
    *billing_vouchers.OPERATIONS,
    *fee_receipts.OPERATIONS,
    *billing_runs.OPERATIONS,
    levels.LEVELS,
    *invoices.OF_ACCOUNTS,
    *credit_notes.OF_ACCOUNTS,
    *organization_routes.OPERATIONS,
    *inspection.OPERATIONS,
    *billing_top_ups.OPERATIONS,
    *auto_top_ups.OPERATIONS,
    *own_webhooks.OPERATIONS,
)


def billing_routes(
    *,
    ledger: Commands,
    store: Store,
    clock: Clock,
    settings: Callable[[], ApiSettings],
    providers: Providers,
    is_draining: Callable[[], bool] = lambda: False,
    run_streams: billing_runs.StreamBounds = billing_runs.BOUNDS,
) -> list[web.RouteDef]:
    """All routes of the billing API. Streams end soon once the process `is_draining`."""

    async def gate(request: web.Request) -> Key:
        return await account_key(request, store=store, clock=clock)

    async def gate_of_all(request: web.Request) -> Key | None:
        return await account_or_admin(request, store=store, clock=clock, admin_key=settings().admin.key)

    reader = EventReader(ledger=ledger, store=store, clock=clock)
    run_reader = RunReader(ledger=ledger, store=store, clock=clock)
    turns = Turns()
    bind = Binder(gate, settings, turns)
    run_events = billing_runs.RunEvents(
        reader=run_reader,
        gate=gate,
        unit=lambda: settings().unit,
        is_draining=is_draining,
        bounds=run_streams,
    )
    return [
        *billing_runs.Runs(reader=run_reader).routes(bind),
        *levels.Levels(reader=run_reader, store=store).routes(bind),
        *run_events.routes(),
        *Billing(reader=reader, clock=clock).routes(bind),
        *billing_spending.Spending(ledger=ledger, reader=reader, clock=clock).routes(bind),
        *plans.Plans(ledger=ledger, reader=reader, clock=clock).routes(bind),
        *billing_vouchers.Redemptions(ledger=ledger, clock=clock).routes(bind),
        *inspection.Inspection(reader=reader, clock=clock).routes(bind),
        *organization_routes.Organization(reader=reader, clock=clock).routes(
            Binder(gate_of_all, settings, turns)
        ),
        *auto_top_ups.AutoTopUps(
            ledger=ledger,
            reader=TopUpReader(ledger=ledger, store=store, clock=clock),
            clock=clock,
            providers=providers,
        ).routes(bind),
        *billing_top_ups.Purchases(
            top_ups=TopUps(ledger=ledger, clock=clock, providers=providers),
            reader=TopUpReader(ledger=ledger, store=store, clock=clock),
            clock=clock,
        ).routes(bind),
        *FeeReceipts(reader).routes(bind),
        *own_webhooks.OwnWebhooks(ledger=ledger, reader=reader, clock=clock, sender=HttpSender()).routes(
            bind
        ),
        *OwnInvoices(
            Invoices(ledger=ledger, store=store, clock=clock, policy=lambda: settings().invoices)
        ).routes(bind),
        *credit_notes.OwnCreditNotes(
            CreditNotes(command=ledger.command, store=store, clock=clock, policy=lambda: settings().invoices)
        ).routes(bind),
        bind.nowhere(BILLING),
    ]


class Billing:
    """Shows an account its own books only."""

    def __init__(self, *, reader: EventReader, clock: Clock) -> None:
        self._reader = reader
        self._clock = clock

    def routes(self, bind: Binder[Key]) -> list[web.RouteDef]:
        """A route for each operation."""
        return [
            bind(BALANCE, self.balance),
            bind(LOTS, self.lots),
            bind(USAGE, self.usage),
            bind(RECEIPTS, self.receipts),
            bind(RECEIPT, self.receipt),
            bind(COUNTERS, self.counters),
            bind(ENTRIES, self.entries),
            bind(NOTIFICATIONS, self.notifications),
        ]

    async def balance(self, incoming: Incoming[Key, Nothing, Nothing]) -> BalanceView:
        """The account's balance."""
        account = await self._reader.account(incoming.caller.account_id)
        return BalanceView(
            account_id=account.id,
            status=account.status,
            balance=usd_string(account.balance_nano),
            held=usd_string(account.held_nano),
            available=usd_string(account.available_nano),
            debt=usd_string(account.whole_debt_nano),
            credit_limit=usd_string(account.credit_limit_nano),
            display=display(
                incoming.settings.unit,
                balance=account.balance_nano,
                held=account.held_nano,
                available=account.available_nano,
                debt=account.whole_debt_nano,
                credit_limit=account.credit_limit_nano,
            ),
        )

    async def lots(self, incoming: Incoming[Key, LotQuery, Nothing]) -> Page[LotView]:
        """A page of the account's lots."""
        account = await self._reader.account(incoming.caller.account_id)
        unit = incoming.settings.unit
        now_us = self._clock.now_us()
        return await lots_page(self._reader, account.id, incoming.query, unit, now_us=now_us)

    async def usage(self, incoming: Incoming[Key, UsageQuery, Nothing]) -> UsageView | Csv:
        """The account's usage by group."""
        view = await usage_report(
            self._reader,
            incoming.query,
            account_id=incoming.caller.account_id,
            unit=incoming.settings.unit,
            now_us=self._clock.now_us(),
            whole=incoming.wants_csv,
        )
        return usage_table(view) if incoming.wants_csv else view

    async def receipts(self, incoming: Incoming[Key, OwnReceiptQuery, Nothing]) -> Page[ReceiptView] | Csv:
        """A page of the account's receipts, or all of them as a table."""
        query, unit = incoming.query, incoming.settings.unit
        before, spans = place_of(query, str), spans_of(query.start_date, query.end_date)

        def read(before: str, limit: int, down_to: str) -> Awaitable[list[SeenReceipt]]:
            return self._reader.receipts(
                account_id=incoming.caller.account_id,
                key_id=query.key_id or "",
                model=query.model or "",
                before=before,
                limit=limit,
                down_to=down_to,
                end_user=query.end_user or "",
            )

        rows = partial(receipts_in, spans, read)
        if incoming.wants_csv:
            return receipts_table(rows, before)
        found = await rows(before, query.limit + 1)
        return page_of(found, query.limit, lambda row: receipt_view(row, unit), lambda row: row.call.id)

    async def receipt(self, incoming: Incoming[Key, Nothing, Nothing]) -> ReceiptView:
        """One receipt. Raises Refusal `not_found`, also for another account's, which must not show."""
        call_id = incoming.path["call_id"]
        row = await self._reader.receipt(call_id)
        if row.call.account_id != incoming.caller.account_id:
            raise Refusal("not_found", f"There is no call {call_id}.")
        return receipt_view(row, incoming.settings.unit)

    async def counters(self, incoming: Incoming[Key, Nothing, Nothing]) -> CountersView:
        """The account's counters in the periods of now."""
        account = await self._reader.account(incoming.caller.account_id)
        return await counters_now(self._reader, account, incoming.settings, self._clock.now_us())

    async def entries(self, incoming: Incoming[Key, PageQuery, Nothing]) -> Page[EntryView]:
        """A page of the account's entries."""
        account = await self._reader.account(incoming.caller.account_id)
        return await entries_page(self._reader, account.id, incoming.query, incoming.settings.unit)

    async def notifications(self, incoming: Incoming[Key, EventQuery, Nothing]) -> Page[EventView]:
        """A page of the account's events."""
        return await events_page(self._reader, incoming.query, incoming.caller.account_id)
