"""The admin API under /admin/v1: accounts, keys, credit, usage, upstreams. For the admin key only."""

from collections.abc import Callable
from typing import Final

from aiohttp import web

from proxy.api import credit_notes, invoices, levels
from proxy.api.admin import accounts as admin_accounts
from proxy.api.admin import counters as admin_counters
from proxy.api.admin import credit as admin_credit
from proxy.api.admin import end_users as admin_end_users
from proxy.api.admin import jobs as admin_jobs
from proxy.api.admin import keys as admin_keys
from proxy.api.admin import notifications as admin_notifications
from proxy.api.admin import plans as admin_plans
from proxy.api.admin import receipts as admin_receipts
from proxy.api.admin import runs as admin_runs
from proxy.api.admin import top_ups as admin_top_ups
from proxy.api.admin import upstreams as admin_upstreams
from proxy.api.admin import vouchers as admin_vouchers
from proxy.api.admin import webhooks as admin_webhooks
from proxy.api.billing import auto_top_ups
from proxy.api.event_reader import EventReader
from proxy.api.invoices import AllInvoices
from proxy.api.operations import ADMIN, ApiSettings, Binder, Commands
from proxy.api.run_reader import RunReader
from proxy.api.top_up_reader import TopUpReader
from proxy.billing.credit_notes import CreditNotes
from proxy.billing.invoices import Invoices
from proxy.billing.providers import Providers
from proxy.billing.top_ups import TopUps
from proxy.clock import Clock
from proxy.edge.auth import require_admin
from proxy.ledger.store import Store
from proxy.upstream.webhooks import HttpSender

OPERATIONS: Final = (
    *admin_accounts.OPERATIONS,
    *admin_plans.OPERATIONS,
    *admin_keys.OPERATIONS,
    *admin_end_users.OPERATIONS,
    *admin_credit.OPERATIONS,
    *admin_vouchers.OPERATIONS,
    *admin_counters.OPERATIONS,
    *admin_runs.OPERATIONS,
    *admin_notifications.OPERATIONS,
    *admin_top_ups.OPERATIONS,
    *auto_top_ups.ADMIN_OPERATIONS,
    *invoices.OF_ADMIN,
    *credit_notes.OF_ADMIN,
    levels.LIST_LEVELS,
    *admin_webhooks.OPERATIONS,
    *admin_receipts.OPERATIONS,
    *admin_jobs.OPERATIONS,
    *admin_upstreams.OPERATIONS,
)


def admin_routes(
    *,
    ledger: Commands,
    store: Store,
    clock: Clock,
    settings: Callable[[], ApiSettings],
    providers: Providers,
) -> list[web.RouteDef]:
    """All routes of the admin API."""

    async def gate(request: web.Request) -> None:
        require_admin(request, settings().admin.key)

    bind: Binder[None] = Binder(gate, settings)
    reader = EventReader(ledger=ledger, store=store, clock=clock)
    return [
        *admin_accounts.Accounts(ledger=ledger, reader=reader, clock=clock).routes(bind),
        *admin_plans.AccountPlans(reader=reader).routes(bind),
        *admin_keys.Keys(ledger=ledger, reader=reader, clock=clock).routes(bind),
        *admin_end_users.EndUsers(ledger=ledger, reader=reader, clock=clock).routes(bind),
        *admin_credit.Credit(ledger=ledger, reader=reader, clock=clock).routes(bind),
        *admin_vouchers.Vouchers(ledger=ledger, reader=reader, clock=clock).routes(bind),
        *admin_counters.Counters(reader=reader, clock=clock).routes(bind),
        *admin_runs.Runs(reader=RunReader(ledger=ledger, store=store, clock=clock)).routes(bind),
        *admin_notifications.Notifications(reader=reader).routes(bind),
        *auto_top_ups.AutoTopUps(
            ledger=ledger,
            reader=TopUpReader(ledger=ledger, store=store, clock=clock),
            clock=clock,
            providers=providers,
        ).admin_routes(bind),
        *admin_top_ups.AdminTopUps(
            top_ups=TopUps(ledger=ledger, clock=clock, providers=providers),
            reader=TopUpReader(ledger=ledger, store=store, clock=clock),
        ).routes(bind),
        *admin_webhooks.WebhookRoutes(ledger=ledger, reader=reader, clock=clock, sender=HttpSender()).routes(
            bind
        ),
        *levels.Levels(reader=reader, store=store).admin_routes(bind),
        *admin_receipts.Receipts(reader=reader, clock=clock).routes(bind),
        *admin_jobs.RunningJobs(reader=reader).routes(bind),
        *admin_upstreams.upstream_routes(bind),
        *credit_notes.AllCreditNotes(
            CreditNotes(command=ledger.command, store=store, clock=clock, policy=lambda: settings().invoices)
        ).routes(bind),
        *AllInvoices(
            Invoices(ledger=ledger, store=store, clock=clock, policy=lambda: settings().invoices)
        ).routes(bind),
        bind.nowhere(ADMIN),
    ]
