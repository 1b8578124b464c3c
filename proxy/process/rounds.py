"""What a process does again and again beside its calls, by the name under which it is told of."""

from collections.abc import Callable, Coroutine
from typing import Any

from proxy.billing.credit_notes import CreditNoteRounds, CreditNotes
from proxy.billing.early_invoices import EarlyInvoices
from proxy.billing.expiries import ExpiryRounds
from proxy.billing.invoice_rounds import InvoiceRounds
from proxy.billing.invoices import Invoices
from proxy.billing.level_rounds import LevelRounds
from proxy.billing.levels import LevelCharges
from proxy.billing.providers import Providers
from proxy.billing.rounds import DueRounds
from proxy.billing.session_rounds import SessionRounds
from proxy.billing.sessions import Sessions
from proxy.billing.top_up_rounds import TopUpRounds
from proxy.billing.top_ups import TopUps
from proxy.billing.webhooks import Deliveries
from proxy.call.renewals import Renewals
from proxy.clock import Clock
from proxy.config.load import Settings
from proxy.jobs.end_users import EndUserRounds
from proxy.jobs.retention import Retention
from proxy.jobs.windows import WindowRetention
from proxy.ledger.ledger import Ledger
from proxy.ledger.store import Store
from proxy.telemetry import Telemetry
from proxy.upstream.webhooks import HttpSender

Rounds = dict[str, Callable[[], Coroutine[Any, Any, None]]]


def rounds_of(
    *,
    store: Store,
    ledger: Ledger,
    renewals: Renewals,
    clock: Clock,
    providers: Providers,
    settings: Callable[[], Settings],
    telemetry: Telemetry,
) -> Rounds:
    """All of them; each goes on until it is cancelled. `settings` are those in force."""
    on_fault = telemetry.fault
    retention = Retention(
        store=store,
        ledger=ledger,
        clock=clock,
        keep_days=lambda: settings().objects.keep_days,
        on_fault=on_fault,
    )
    windows = WindowRetention(store=store, ledger=ledger, clock=clock, on_fault=on_fault)
    end_users = EndUserRounds(store=store, ledger=ledger, clock=clock, on_fault=on_fault)
    dues = DueRounds(
        store=store, renewals=renewals, clock=clock, groups=lambda: settings().groups, on_fault=on_fault
    )
    deliveries = Deliveries(
        store=store,
        ledger=ledger,
        sender=HttpSender(),
        clock=clock,
        webhooks=lambda: settings().webhooks,
        on_fault=on_fault,
        observer=telemetry.webhooks,
    )
    expiries = ExpiryRounds(
        store=store,
        ledger=ledger,
        clock=clock,
        days=lambda: settings().expiring_days,
        on_fault=on_fault,
    )
    top_ups = TopUpRounds(
        store=store,
        top_ups=TopUps(ledger=ledger, clock=clock, providers=providers),
        clock=clock,
        payments=lambda: settings().payments,
        on_fault=on_fault,
    )
    return {
        "objects": retention.run,
        "windows": windows.run,
        "end-users": end_users.run,
        "dues": dues.run,
        **_of_papers(store=store, ledger=ledger, clock=clock, settings=settings, on_fault=on_fault),
        "webhooks": deliveries.run,
        "expiries": expiries.run,
        "top-ups": top_ups.run,
        **_over_time(store=store, ledger=ledger, clock=clock, settings=settings, on_fault=on_fault),
    }


def _of_papers(
    *,
    store: Store,
    ledger: Ledger,
    clock: Clock,
    settings: Callable[[], Settings],
    on_fault: Callable[[str, BaseException], None],
) -> Rounds:
    """Those that issue invoices and credit notes."""
    made = Invoices(ledger=ledger, store=store, clock=clock, policy=lambda: settings().invoices)
    invoices = InvoiceRounds(
        invoices=made, store=store, clock=clock, policy=lambda: settings().invoices, on_fault=on_fault
    )
    notes = CreditNoteRounds(
        notes=CreditNotes(
            command=ledger.command, store=store, clock=clock, policy=lambda: settings().invoices
        ),
        store=store,
        clock=clock,
        policy=lambda: settings().invoices,
        on_fault=on_fault,
    )
    early = EarlyInvoices(
        invoices=made, store=store, clock=clock, policy=lambda: settings().invoices, on_fault=on_fault
    )
    return {"invoices": invoices.run, "credit-notes": notes.run, "early-invoices": early.run}


def _over_time(
    *,
    store: Store,
    ledger: Ledger,
    clock: Clock,
    settings: Callable[[], Settings],
    on_fault: Callable[[str, BaseException], None],
) -> Rounds:
    """Those of what is used for as long as it is there."""
    levels = LevelRounds(
        levels=LevelCharges(ledger=ledger, store=store, clock=clock, terms=settings),
        store=store,
        clock=clock,
        on_fault=on_fault,
    )
    sessions = SessionRounds(
        sessions=Sessions(ledger=ledger, store=store, clock=clock, terms=settings),
        store=store,
        clock=clock,
        terms=settings,
        on_fault=on_fault,
    )
    return {"levels": levels.run, "sessions": sessions.run}
