"""Whole ledgers of storage tests: filled by real batches, read by an audit, and tampered with.

Run as `python -m tests.storage.whole PATH`, it writes calls into a file until its standard input ends.
"""

import asyncio
import sqlite3
import sys
from collections.abc import Iterable
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
from msgspec.structs import replace

from proxy.billing.invoice_lines import InvoiceEntry, InvoiceSums
from proxy.ledger.alerts import Alerts
from proxy.ledger.audit.accounts import audit
from proxy.ledger.audit.rows import Difference
from proxy.ledger.commands import (
    Adjust,
    ChangeAccount,
    Command,
    Detach,
    Done,
    Observe,
    Refused,
    Settle,
)
from proxy.ledger.credit_notes import IssueCreditNote
from proxy.ledger.deliveries import RouteEvent
from proxy.ledger.events import Receiver, event_id
from proxy.ledger.invoice_rows import CreditNote, Invoice, Parties
from proxy.ledger.invoices import IssueInvoice
from proxy.ledger.level_rows import Told
from proxy.ledger.levels import ReportLevel
from proxy.ledger.receivers import AddReceiver
from proxy.ledger.records import Record
from proxy.ledger.returns import RefundCall
from proxy.ledger.rows import Limits, Observed, Outcome, Voucher
from proxy.ledger.store import Row, Store
from proxy.ledger.top_ups import NoteTopUp, OpenTopUp, SetAutoTopUp
from proxy.ledger.vouchers import ClaimVoucher, MakeVoucher
from proxy.pricing.cards import RateCard
from proxy.pricing.charge import Charge, Line, price
from proxy.pricing.rates import Rate
from proxy.pricing.runs import in_run
from proxy.pricing.tiers import Tier, Tiers
from proxy.storage.audit import ledger_of
from proxy.storage.database import Database
from proxy.storage.locations import database_at
from proxy.storage.sqlite.store import SqliteStore
from tests.storage.engines import Engine, Postgres, Sqlite, apart
from tests.storage.teller import (
    ACCOUNT,
    KEY,
    NOON_US,
    authorize,
    call,
    grant,
    made_by,
    opening,
    settle,
    top_up,
    void,
)

FUNDS_NANO = 10**9
TIERS = Tiers("all", "month", (Tier(100, "7"), Tier(0, "5")))
VOLUME_TIERS = Tiers("own", "total", (Tier(15, "9"), Tier(0, "4")), is_volume=True)
ROLLING = Tiers("rolling", "day", (Tier(25, "0"), Tier(0, "5")), rolls=10)
COUNTED = {
    6: ("input_tokens", TIERS, 60),
    8: ("input_tokens", TIERS, 70),
    10: ("output_tokens", VOLUME_TIERS, 12),
    12: ("output_tokens", VOLUME_TIERS, 20),
    20: ("input_tokens", ROLLING, 30),
    22: ("input_tokens", ROLLING, 11),
}
"""The calls of one account that are charged by tiers, by their number."""
IN_RUN = (16, 18)
FOR_JANE: dict[str, Any] = {"end_user": "jane", "metadata": '{"team":"fares"}', "counts_user": True}
PER_CALL = RateCard("tool", (), (Rate("requests", Fraction("101.5"), 1),))


def database_of(engine: Engine) -> Database:
    """The database of an engine under test, as commands about all of it see it."""
    return database_at(engine.path if isinstance(engine, Sqlite) else location_of(engine))


def location_of(engine: Engine) -> str:
    """Its URL."""
    assert isinstance(engine, Sqlite | Postgres)
    return f"sqlite:///{engine.path}" if isinstance(engine, Sqlite) else engine.location


def differences(database: Database) -> list[Difference]:
    """What an audit of a database finds."""
    return list(apart(_differences(database)))


async def _differences(database: Database) -> list[Difference]:
    def found() -> list[Difference]:
        with database.snapshot() as scan:
            return list(audit(ledger_of(scan, lambda _: None)))

    return await asyncio.to_thread(found)


def honest(command: Command) -> Command:
    """The command with a charge that follows from its line, and with the time at which its call ended."""
    if isinstance(command, Settle | Record):
        ended = replace(command.outcome, ended_at_us=command.at_us)
        return replace(command, outcome=ended, charge=_charge(command.charge.total_nano))
    if isinstance(command, Observe | Detach) and command.observed is not None:
        charge = _charge(command.observed.charge.total_nano)
        return replace(command, observed=Observed(command.observed.usage, charge))
    return command


async def fill(store: Store, *, in_flight: bool = False) -> None:
    """Rows for every table: two accounts, calls of several days, settled or voided, and perhaps one open."""
    store.alerts = Alerts()
    others = opening(FUNDS_NANO, account_id="acct_2", key_id="key_2", limits=Limits(total_nano=2_000))
    await store.apply([*opening(FUNDS_NANO, limits=Limits(rpm=10_000, tpm=10_000)), *others])
    await store.apply([grant(70, command_id="grant_2", expires_at_us=NOON_US + 40)])
    for number in range(24):
        account_id, key_id = ((ACCOUNT, KEY), ("acct_2", "key_2"))[number % 2]
        at_us = NOON_US + number * 9_000_000_000
        made = call(f"call_{number:02}", account_id=account_id, key_id=key_id, at_us=at_us)
        made = replace(made, **FOR_JANE) if number == 2 else made
        made = replace(made, run_id="trip") if number in IN_RUN else made
        end = void(made) if number % 5 == 4 else settle(made, 100 + number)
        end = replace(end, objects=(made_by(made),)) if number == 2 else end
        begin, ends = map(honest, (authorize(made, 500, owner=store.owner, tokens=3), end))
        if number in COUNTED and isinstance(ends, Settle):
            ends = replace(ends, charge=_counted(*COUNTED[number]))
        if number in IN_RUN and isinstance(ends, Settle):
            ends = replace(ends, charge=price(in_run(PER_CALL, "trip", "0.15"), {"requests": 1}))
        await store.apply([begin, ends])
    await store.apply([ChangeAccount("acct_2", NOON_US, group="vip")])
    told = event_id(ACCOUNT, "credits.granted", "1")
    await store.apply([RouteEvent(ACCOUNT, told, ("crm",), NOON_US)])
    await store.apply([Adjust(ACCOUNT, "adjust_1", "lot_of_adjust_1", -5, "a reason", NOON_US)])
    voucher = Voucher("digest of vch_1", "vch_1", "spring", "voucher", 5, 3, 30, NOON_US)
    await store.apply([MakeVoucher(voucher), ClaimVoucher(voucher.digest, ACCOUNT, NOON_US)])
    there = Told(NOON_US, 12_000_000, (("class", "hot"),))
    volume = call("event_2", key_id="", model="volume")
    outcome = Outcome("complete", 200, "reported", {}, NOON_US)
    named = Record(volume, "event event_2", "digest", NOON_US, NOON_US, outcome)
    await store.apply([ReportLevel(named, "v1", there)])
    asked = NoteTopUp(ACCOUNT, "topup_0", NOON_US, "manual", "page 0", "https://pay.example")
    off = SetAutoTopUp(ACCOUNT, NOON_US, "off")
    await store.apply([OpenTopUp(ACCOUNT, top_up("topup_0")), asked, off])
    (issued,) = await store.apply([invoice_of(ACCOUNT, await entries_of(store))])
    assert not isinstance(issued, Refused), issued
    await note_a_refund(store)
    wants = Receiver(ACCOUNT, "whk_1", "https://receiver.example/1", ("credits.*",), 1, NOON_US, NOON_US)
    await store.apply([AddReceiver(ACCOUNT, wants, NOON_US, 1)])
    if in_flight:
        await store.apply([authorize(call("call_99"), 500, owner=store.owner)])


async def note_a_refund(store: Store) -> None:
    """A call that is on the invoice is refunded, on a credit note."""
    (charge,) = await store.query("charge_of_call", {"account_id": ACCOUNT, "call_id": "call_00"})
    of_seq, draws = int(str(charge["seq"])), msgspec.json.decode(str(charge["draws"]))
    drawn = tuple(lot_id for lot_id, _ in draws)
    refund = RefundCall(ACCOUNT, "refund_0", "lot_0", "call_00", 3, "slow", NOON_US, of_seq, drawn)
    (refunded,) = await store.apply([refund])
    assert isinstance(refunded, Done), refunded
    assert refunded.entry is not None
    about = ("INV-1", of_seq, 3, "call_00", "demo", "slow", NOON_US, Parties("Ada", "Seller 1"))
    note = CreditNote(ACCOUNT, refunded.entry.seq, "cn_1", "CN-1", 1, "inv_1", *about)
    (noted,) = await store.apply([IssueCreditNote(note, "2024-10", 0)])
    assert isinstance(noted, Done), noted


async def entries_of(store: Store) -> list[Row]:
    """The first entries of an account, in their order."""
    return await store.query("invoice_entries", {"account_id": ACCOUNT, "after": 0, "limit": 9})


def invoice_of(account_id: str, rows: list[Row]) -> IssueInvoice:
    """An invoice of all these entries, which are an account's first."""
    sums = InvoiceSums({})
    entries = [msgspec.convert(row, InvoiceEntry) for row in rows]
    for entry in entries:
        sums.add(entry)
    last = entries[-1]
    figures = (0, sums.credits_nano, sums.charges_nano, last.worth_after_nano)
    named = (account_id, "2024-10", "inv_1", "INV-1", entries[0].seq, last.seq)
    shown = (sums.lines(), sums.paid(), Parties("Ada", "Seller 1"))
    return IssueInvoice(Invoice(*named, *figures, last.debt_after_nano, NOON_US, *shown))


async def filled(engine: Engine, *, in_flight: bool = False) -> Database:
    """A database that a process has filled, and left open or not."""
    store = engine.store()
    await store.open()
    try:
        await fill(store, in_flight=in_flight)
    finally:
        await store.close()
    return database_of(engine)


def tamper(engine: Engine, *statements: str) -> None:
    """Carry out SQL that no trigger and no constraint on figures hinders."""
    if isinstance(engine, Sqlite):
        with closing(sqlite3.connect(engine.path, isolation_level=None)) as connection:
            connection.execute("PRAGMA synchronous = OFF")
            connection.execute("PRAGMA ignore_check_constraints = ON")
            connection.execute("DROP TRIGGER IF EXISTS entries_never_change")
            connection.execute("DROP TRIGGER IF EXISTS entries_never_go")
            for statement in statements:
                assert connection.execute(statement).rowcount, statement
    else:
        apart(_tamper(location_of(engine), statements))


async def _tamper(location: str, statements: Iterable[str]) -> None:
    connection: Any = await asyncpg.connect(location)
    try:
        await connection.execute("SET session_replication_role = replica")
        for statement in statements:
            assert not (await connection.execute(statement)).endswith(" 0"), statement
    finally:
        await connection.close()


def _charge(nano: int) -> Charge:
    return Charge(nano, (Line("requests", 1, f"{nano}.00", 1, nano),) if nano else (), "card@1")


def _counted(meter: str, tiers: Tiers, quantity: int) -> Charge:
    dearest = max(Fraction(tier.price_nano) for tier in tiers.tiers)
    return price(RateCard("counted", (), (Rate(meter, dearest, 1, (), tiers),)), {meter: quantity})


async def _write_on(path: Path) -> None:
    """Write calls, a few at a time, until standard input ends; print a line after the first."""
    store = SqliteStore(path)
    await store.open()
    ended = asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    number = 0
    while not ended.done():
        made = [call(f"call_{store.owner}_{number + place:06}") for place in range(4)]
        await store.apply([authorize(one, 100, owner=store.owner) for one in made])
        await store.apply([honest(settle(one, 60)) for one in made])
        if not number:
            print("writing", flush=True)  # noqa: T201 - it is what the test waits for.
        number += len(made)
    print(number, flush=True)  # noqa: T201 - it is the answer.
    await store.close()


if __name__ == "__main__":
    asyncio.run(_write_on(Path(sys.argv[1])))
