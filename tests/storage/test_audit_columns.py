"""An audit notices a change of any column of any table, but for those that anything may stand in."""

import asyncio
import re
from contextlib import closing
from typing import Any

import msgspec
from msgspec.structs import replace

from proxy.ledger.commands import Adjust, CreateKey, Grant, Observe, OpenAccount, Refused, Sweep
from proxy.ledger.dues import ChangePlan, Dues, Fee, Renewal
from proxy.ledger.end_user_rows import EndUserLimits
from proxy.ledger.end_users import LimitEndUser
from proxy.ledger.returns import RefundCall, RefundLot, VoidLot
from proxy.ledger.rows import NEVER_US, Observed
from proxy.ledger.store import Store
from proxy.ledger.top_ups import ConfirmTopUp, NoteTopUp, OpenTopUp, ReverseTopUp, SaveMethod, SetAutoTopUp
from proxy.pricing.charge import Charge
from proxy.pricing.rates import Term
from proxy.storage.database import TOTALS, Database
from proxy.storage.tables import BY_NAME, Column, Table
from tests.storage.changes import Changes, PostgresChanges, SqliteChanges
from tests.storage.engines import Engine, Postgres, Sqlite
from tests.storage.teller import (
    ACCOUNT,
    NOON_US,
    authorize,
    call,
    detach,
    made_by,
    record,
    recover,
    settle,
    top_up,
)
from tests.storage.whole import database_of, differences, fill, honest, tamper

PAYER = "acct_9"

ADMINISTRATION = "The administration may change it at any time, and nothing else follows from it."
OPEN = "The call is in flight: this is what its receipt is made from, and nothing else says it yet."
WHILE_OPEN = "It may change until the call ends, and goes with it."
A_MINUTE = "It is the level of a rate limit, which no other row has, and a minute later it means nothing."
UNUSED = "The account has neither keys nor calls nor credit: there is nothing that it could differ from."
SEEN_ANEW = "Its upstream may say it anew at any time, and what deletes it ends it: no money follows."
BEFORE_SEALS = "A version without seals may have closed it, which leaves a job's seal as it is."
NO_KEY = "No key of the account has sealed the time yet."
DUE = "A lot expires with whatever comes first after it is due, and that may leave no other row."
IN_DEBT = "The grant went into debt as a whole, so that no lot says of which kind it was."

UNNOTICED: dict[tuple[str, str], dict[str, str]] = {
    ("accounts", "without a key"): {"id": UNUSED, "spending": UNUSED, "created_at_us": NO_KEY},
    ("accounts", ""): dict.fromkeys(
        ("name", "status", "credit_limit_nano", "limits", "alerts"), ADMINISTRATION
    ),
    ("keys", ""): dict.fromkeys(
        ("name", "status", "expires_at_us", "models", "limits", "billing"), ADMINISTRATION
    ),
    ("objects", ""): dict.fromkeys(("seen", "expires_at_us"), SEEN_ANEW),
    ("throttles", ""): dict.fromkeys(("level", "at_us"), A_MINUTE),
    ("holds", "open"): {
        **dict.fromkeys(("id", "tokens", "created_at_us", "owner", "call"), OPEN),
        **dict.fromkeys(("observed", "deadline_us"), WHILE_OPEN),
    },
    **{("holds", state): {"seal": BEFORE_SEALS} for state in ("settled", "voided", "expired", "recorded")},
    ("entries", "expire"): {"at_us": DUE},
    ("entries", "grant into debt"): {"note": IN_DEBT},
    ("commands", "grant into debt"): {"digest": IN_DEBT},
}
"""The columns of which a change goes unnoticed, by table and kind of row, each with its reason."""

KINDS: dict[str, dict[str, str]] = {
    "accounts": {"": "id = 'acct_1'", "without a key": "id = 'acct_4'"},
    "keys": {"": "id = 'key_1'"},
    "key_digests": {"": "key_id = 'key_2'"},
    "lots": {
        "": "id = 'lot_of_acct_1_grant_1'",
        "expired": "id = 'lot_4'",
        "of an adjustment": "id = 'lot_of_adjust_2'",
        "of a refund": "id = 'lot_of_refund_2'",
    },
    "buckets": {"": "scope_id = 'acct_2' AND \"window\" = 'day' AND start_day = 20000"},
    "throttles": {"": "scope_id = 'acct_1' AND kind = 'requests'"},
    "holds": {
        "settled": "id = 'call_02'",
        "voided": "id = 'call_04'",
        "expired": "id = 'call_98'",
        "recorded": "id = 'event_1'",
        "open": "id = 'call_99'",
        "of a job": "id = 'call_96'",
    },
    "entries": {
        "grant": "ref = 'grant_4'",
        "charge": "ref = 'call_02' AND kind = 'charge'",
        "expire": "kind = 'expire'",
        "adjust": "ref = 'adjust_1'",
        "grant into debt": "ref = 'grant_3'",
        "void": "kind = 'void'",
        "refund of a lot": "kind = 'refund' AND amount_nano < 0",
        "refund": "ref = 'call_02' AND kind = 'refund'",
        "refund into a new lot": "ref = 'call_95' AND kind = 'refund'",
        "fee": "kind = 'fee'",
        "owed of a top-up": "ref = 'top-up topup_3 reversed by 2000 beyond credit'",
    },
    "commands": {
        "grant": "command_id = 'grant_4'",
        "adjust": "command_id = 'adjust_1'",
        "grant into debt": "command_id = 'grant_3'",
        "void": "command_id = 'void_1'",
        "refund of a lot": "command_id = 'repay_1'",
        "refund": "command_id = 'refund_1'",
        "fee": "command_id = 'plan_1'",
        "top-up": "command_id = 'top-up topup_1'",
        "bonus of a top-up": "command_id = 'top-up topup_1 bonus'",
        "reversal of a top-up": "command_id = 'top-up topup_3 reversed by 2000'",
    },
    "receipts": {
        "settled": "id = 'call_02'",
        "in a run": "id = 'call_18'",
        "voided": "id = 'call_04'",
        "expired": "id = 'call_98'",
        "recorded": "id = 'event_1'",
    },
    "objects": {
        "": "id = 'object_1'",
        "of a job": "id = 'object_of_a_job'",
        "of an event": "id = 'event event_1'",
    },
    "memberships": {"": "account_id = 'acct_6'"},
    "vouchers": {"": "id = 'vch_1'"},
    "counters": {
        "of tiers": "name = 'all'",
        "of volume tiers": "name = 'own'",
        "of a run": "name = '/trip'",
        "of what rolls over": "name = 'rolling'",
    },
    "invoices": {"": "id = 'inv_1'"},
    "credit_notes": {"": "id = 'cn_1'"},
    "receivers": {"": "id = 'whk_1'"},
    "voucher_claims": {"": "account_id = 'acct_1'"},
    "events": {"": "type = 'limit.threshold' AND account_id = 'acct_2'"},
    "top_ups": {
        "pending": "id = 'topup_2'",
        "paid": "id = 'topup_1'",
        "paid back": "id = 'topup_3'",
    },
    "top_up_references": {"": "reference = 'wire 1'"},
    "deliveries": {"": "endpoint = 'crm'"},
    "levels": {"": "thing = 'v1'"},
    "auto_top_ups": {"": "account_id = 'acct_9'"},
    "end_users": {"": "id = 'ann'"},
    "usage_days": {"": "account_id = 'acct_2' AND day = 20000"},
    "usage_totals": {"": "id = 'acct_2' AND day = 20000"},
}
"""One row of each kind of each table."""


async def fill_all_kinds(store: Store) -> None:
    """Rows of every kind that there is in `KINDS`."""
    await fill(store, in_flight=True)
    gone, owed = call("call_98"), call("call_97", account_id="acct_3", key_id="key_3")
    job = call("call_96")
    cost = Observed({"requests": 1}, Charge(60, (), ""), (Term("requests", "60.00", 1),))
    begins = replace(detach(job, NOON_US + 10**9), observed=cost, objects=(made_by(job, "object_of_a_job"),))
    await store.apply(
        [
            OpenAccount("acct_3", "Eve", NOON_US, 100),
            CreateKey("acct_3", "key_3", "phone", "digest of key_3", "wxyz", NOON_US),
            OpenAccount("acct_4", "Eli", NOON_US),
        ]
    )
    await store.apply(
        [
            Adjust(ACCOUNT, "adjust_2", "lot_of_adjust_2", 9, "another reason", NOON_US),
            authorize(gone, 500, owner=store.owner, tokens=3),
            honest(Observe("call_98", ACCOUNT, Observed({"requests": 1}, Charge(60, (), "")))),
            recover(gone),
            authorize(job, 500, owner=store.owner, tokens=3),
            honest(begins),
            authorize(owed, 50, owner=store.owner),
            honest(settle(owed, 50)),
            Grant("acct_3", "grant_3", "lot_3", 20, NOON_US, note="a note"),
            Grant("acct_2", "grant_4", "lot_4", 5, NOON_US, "promo", 7, NOON_US + 60, "a note"),
            Sweep("acct_2", NOON_US + 90),
        ]
    )
    event = call("event_1", key_id="", at_us=NOON_US + 9_000_000_000)
    await store.apply([honest(record(event, 30, at_us=NOON_US + 300_000_000_000))])
    await take_and_give_back(store)
    dues = Dues(Renewal(20), Fee(50, included_nano=5))
    await store.apply(
        [
            OpenAccount("acct_6", "Eda", NOON_US, group="free"),
            Grant("acct_6", "grant_6", "lot_of_acct_6", 90, NOON_US),
            ChangePlan("acct_6", "plan_1", "pro", dues, NOON_US, "free"),
        ]
    )
    await pay_in(store)
    await count_a_user(store)


async def count_a_user(store: Store) -> None:
    """An end user with limits of its own, a call that has ended, and one in flight."""
    calls = [
        replace(call(id_, account_id="acct_5", key_id="key_5"), end_user="ann", counts_user=True)
        for id_ in ("call_93", "call_94")
    ]
    results = await store.apply(
        [
            LimitEndUser("acct_5", "ann", EndUserLimits(month_nano=900, tpm=1_000), NOON_US),
            *(authorize(each, 4, owner=store.owner, tokens=3) for each in calls),
            honest(settle(calls[0], 3)),
        ]
    )
    assert not any(isinstance(result, Refused) for result in results), results


async def take_and_give_back(store: Store) -> None:
    """A lot is voided and another paid back, a call is refunded to a lot, and another to a new one."""
    ids = {"account_id": ACCOUNT, "call_id": "call_02"}
    (charge,) = await store.query("charge_of_call", ids)
    of_call, later_us = int(str(charge["seq"])), NOON_US + 5 * 10**11
    drawn = tuple(lot_id for lot_id, _ in msgspec.json.decode(str(charge["draws"])))
    dated, lots = call("call_95", account_id="acct_5", key_id="key_5"), ("lot_5", "lot_6")
    ends = (NOON_US + 2_000, NEVER_US)
    await store.apply(
        [
            OpenAccount("acct_5", "Eva", NOON_US),
            CreateKey("acct_5", "key_5", "phone", "digest of key_5", "wxyz", NOON_US),
            *(
                Grant("acct_5", f"grant_{lot_id}", lot_id, 90, NOON_US, expires_at_us=end)
                for lot_id, end in zip(lots, ends, strict=True)
            ),
            authorize(dated, 60, owner=store.owner),
            honest(settle(dated, 60)),
        ]
    )
    results = await store.apply(
        [
            RefundCall(ACCOUNT, "refund_1", "lot_7", "call_02", 7, "slow", later_us, of_call, drawn),
            RefundCall("acct_5", "refund_2", "lot_of_refund_2", "call_95", 9, "bad", later_us, 3, ("lot_5",)),
            RefundLot("acct_5", "repay_1", "lot_6", "sent back", later_us, 8),
            VoidLot("acct_5", "void_1", "lot_6", "an error", later_us),
        ]
    )
    assert not any(isinstance(result, Refused) for result in results), results


async def pay_in(store: Store) -> None:
    """A top-up that is pending, one that was paid, and one that was paid back when some of it was used."""
    opened = (OpenTopUp(PAYER, top_up(f"topup_{n}", 2_000, account_id=PAYER)) for n in (1, 2, 3))
    at_us = NOON_US + 60
    lots = ("lot_of_topup_3", "lot_of_bonus_3")
    results = await store.apply(
        [
            OpenAccount(PAYER, "Pia", NOON_US),
            *opened,
            NoteTopUp(PAYER, "topup_1", at_us, "manual", "wire 1", "https://pay.example"),
            ConfirmTopUp(
                PAYER, "topup_1", at_us, "manual", "wire 1", 2_000, "lot_of_topup_1", "lot_of_bonus_1"
            ),
            ConfirmTopUp(PAYER, "topup_3", at_us, "manual", "", 2_000, *lots),
            Adjust(PAYER, "adjust_of_payer", "", -30_000_000_000, "used", at_us),
            SetAutoTopUp(PAYER, at_us, "on", 5, 10**9),
            SaveMethod(PAYER, at_us, "cus_1", "pm_1"),
            ReverseTopUp(PAYER, "topup_3", at_us, 0, 2_000, "a dispute"),
        ]
    )
    assert not any(isinstance(result, Refused) for result in results), results


def changed(table: Table, column: Column, value: Any) -> Any:
    """Another value of the column's kind, which the database would take from anybody."""
    if (table.name, column.name) in _OTHER:
        one, other = _OTHER[table.name, column.name]
        return other if value == one else one
    if column.kind == "boolean":
        return 1 - value
    if column.kind == "integer":
        return 1 if value is None else value + 1
    if column.kind == "json":
        return _another(column, value)
    return f"{value}x"


_OBSERVED = '{"usage":{},"charge":{"total_nano":1,"lines":[],"price_id":""}}'
_OTHER: dict[tuple[str, str], tuple[str | None, str]] = {
    ("accounts", "status"): ("active", "suspended"),
    ("keys", "status"): ("active", "disabled"),
    ("keys", "billing"): ("", "read"),
    ("receivers", "types"): ('["credits.*"]', '["*"]'),
    ("holds", "state"): ("settled", "voided"),
    ("holds", "observed"): (None, _OBSERVED),
    ("buckets", "window"): ("week", "month"),
    ("throttles", "kind"): ("requests", "tokens"),
    ("top_ups", "state"): ("pending", "failed"),
    ("auto_top_ups", "state"): ("on", "off"),
    ("receipts", "basis"): ("reported", "counted"),
    ("receipts", "inferred"): ('{"output_tokens":"total"}', '{"output_tokens":"parts"}'),
}
"""Columns that hold one of a few words, or JSON of which not every change can be read."""


def _another(column: Column, value: str | None) -> str:
    """JSON in which a figure has changed, or to which something was added."""
    if value in (None, "{}"):
        return '{"rpm":1}'
    if value == "[]":
        return '["x"]'
    assert value is not None
    assert re.search("[0-9]", value), (column, value)
    return re.sub("[0-9]+", lambda found: str(int(found[0]) + 1), value, count=1)


def literal(value: Any) -> str:
    """A value in SQL."""
    if value is None:
        return "NULL"
    return str(int(value)) if isinstance(value, int) else "'" + str(value).replace("'", "''") + "'"


def row_of(changes: Changes, table: Table, condition: str) -> dict[str, Any]:
    """The one row that there is of a kind."""
    names = [column.name for column in table.columns]
    columns = ", ".join(column.quoted for column in table.columns)
    row = changes.rows(f"SELECT {columns} FROM {table.name} WHERE {condition}")[0]  # noqa: S608 - it is made of tables' own names.
    return dict(zip(names, row, strict=True))


def update_of(table: Table, row: dict[str, Any], column: Column, value: Any) -> str:
    """The statement that gives one column of one row another value."""
    where = " AND ".join(f"{each.quoted} = {literal(row[each.name])}" for each in table.key)
    return f"UPDATE {table.name} SET {column.quoted} = {literal(value)} WHERE {where}"  # noqa: S608 - it is made of tables' own names.


def unexpected(engine: Engine) -> list[tuple[str, str, str]]:
    """The columns whose change goes unnoticed unless they are listed, or is noticed if they are."""
    assert isinstance(engine, Sqlite | Postgres)
    wrong: list[tuple[str, str, str]] = []
    with closing(SqliteChanges(engine) if isinstance(engine, Sqlite) else PostgresChanges(engine)) as changes:
        for table in BY_NAME.values():
            if table.name == TOTALS and isinstance(engine, Postgres):
                continue
            for kind, condition in KINDS[table.name].items():
                row = row_of(changes, table, condition)
                listed = {**UNNOTICED.get((table.name, ""), {}), **UNNOTICED.get((table.name, kind), {})}
                for column in table.columns:
                    update = update_of(table, row, column, changed(table, column, row[column.name]))
                    if changes.is_noticed(update) == (column.name in listed):
                        wrong.append((table.name, kind, column.name))
    return wrong


async def prepared(engine: Engine) -> Database:
    store = engine.store()
    await store.open()
    try:
        await fill_all_kinds(store)
    finally:
        await store.close()
    return database_of(engine)


async def test_a_change_of_any_column_is_noticed_but_for_those_that_are_listed(engine: Engine) -> None:
    """Each column of one row of each kind, one after the other; what is listed goes unnoticed indeed."""
    database = await prepared(engine)
    wrong = await asyncio.to_thread(unexpected, engine)
    assert not wrong, repr(wrong)
    assert differences(database) == []


def test_every_table_has_a_row_that_is_changed_and_every_exception_a_reason() -> None:
    """So that a new table, a new column or a column that went is covered, or fails."""
    assert KINDS.keys() == BY_NAME.keys()
    for (table, kind), listed in UNNOTICED.items():
        assert kind in KINDS[table] or kind == ""
        assert listed.keys() <= {column.name for column in BY_NAME[table].columns}
        assert all(listed.values())


async def test_a_row_of_an_earlier_version_has_no_seal_and_no_difference(engine: Engine) -> None:
    database = await prepared(engine)
    tables = ("receipts", "key_digests", "objects", "holds")
    tamper(engine, *(f"UPDATE {table} SET seal = NULL" for table in tables))  # noqa: S608 - tables' own names.
    assert differences(database) == []
