"""An engine carries out any history as books in memory do, row for row, whichever store has the turn."""

import asyncio
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import astuple, replace

from proxy.ledger.books import Books
from proxy.ledger.commands import (
    Adjust,
    ChangeAccount,
    ChangeKey,
    Command,
    CreateKey,
    Detach,
    Extend,
    Observe,
    OpenAccount,
    Reroute,
    Sweep,
)
from proxy.ledger.kinds import ENDED_BUCKET, ENTRY, KINDS
from proxy.ledger.rows import NEVER_US, Limits, Observed
from proxy.ledger.windows import DAY_US
from proxy.storage import columns
from proxy.storage.codecs import row_of
from tests.ledger.memory import MemoryStore
from tests.storage.engines import ENGINES, Dump, Engine
from tests.storage.teller import authorize, call, charge, grant, made_by, recover, settle, void

MIDNIGHT_US = 20_000 * DAY_US
KEYS = {"key_1": "acct_1", "key_2": "acct_1", "key_3": "acct_2"}
DAYS_LATER = (0, 0, 0, 0, 0, 0, 0, 0, 1, 8, 40, 400)
"""The day of each call's beginning: those of a later one may come first, and go on in either order."""
LIMITS = (
    Limits(week_nano=400),
    Limits(day_nano=250),
    Limits(rpm=3, tpm=200),
    Limits(concurrency=2, total_nano=900),
)

Step = tuple[str, int, int, int]
"""A verb, a number that picks what it is about, an amount, and how much later it is."""

VERBS = (
    *("authorize", "authorize", "authorize", "settle", "settle", "void", "extend", "observe", "recover"),
    *("detach", "reroute", "make", "begin"),
    *("grant", "adjust", "sweep", "limit account", "limit key", "credit"),
)
STEPS = st.tuples(st.sampled_from(VERBS), st.integers(0, 11), st.integers(1, 200), st.integers(0, 3))
BATCHES = st.lists(st.tuples(st.integers(0, 1), st.lists(STEPS, min_size=1, max_size=8)), max_size=12)


def opening() -> list[Command]:
    accounts = sorted(set(KEYS.values()))
    return [
        *(OpenAccount(account_id, account_id, MIDNIGHT_US - 9) for account_id in accounts),
        *(
            CreateKey(account_id, key_id, "", f"digest of {key_id}", "", MIDNIGHT_US - 9)
            for key_id, account_id in KEYS.items()
        ),
    ]


def commands_of(steps: Iterable[Step], at_us: int) -> list[Command]:
    """The commands that steps stand for, the first of them at `at_us`. Every call id has its key and time."""
    commands = []
    for verb, number, amount, later_us in steps:
        at_us += later_us
        key_id = sorted(KEYS)[number % 3]
        commands.append(command_of(verb, number, amount, key_id, at_us))
    return commands


def command_of(verb: str, number: int, amount: int, key_id: str, at_us: int) -> Command:
    account_id = KEYS[key_id]
    began_us = MIDNIGHT_US - 5 + number + DAYS_LATER[number] * DAY_US
    made = call(f"call_{number:02}", account_id=account_id, key_id=key_id, at_us=began_us)
    observed = Observed({"output_tokens": amount}, charge(amount))
    dated_us = at_us + amount // 20 if number % 2 else NEVER_US
    id_ = f"{verb}_{number}"
    commands: dict[str, Command] = {
        "make": replace(settle(made, amount), at_us=at_us, objects=(made_by(made, f"object_{amount % 3}"),)),
        "begin": Detach(
            made, made.started_at_us, at_us, at_us + amount, observed, (made_by(made, "object_1"),)
        ),
        "authorize": authorize(made, amount, owner="any", tokens=amount),
        "settle": replace(settle(made, amount), at_us=at_us),
        "void": replace(void(made), at_us=at_us),
        "recover": replace(recover(made), at_us=at_us),
        "extend": Extend(made, made.started_at_us, at_us, amount),
        "observe": Observe(made.id, account_id, observed),
        "detach": Detach(made, made.started_at_us, at_us, at_us + amount - 20),
        "reroute": Reroute(replace(made, upstream=f"upstream {amount % 3}")),
        "grant": replace(
            grant(5 * amount, account_id=account_id, command_id=id_, expires_at_us=dated_us), at_us=at_us
        ),
        "adjust": Adjust(account_id, id_, f"lot_{id_}", amount - 100, "", at_us),
        "sweep": Sweep(account_id, at_us),
        "limit account": ChangeAccount(account_id, at_us, limits=LIMITS[amount % 4]),
        "limit key": ChangeKey(account_id, key_id, at_us, limits=LIMITS[amount % 4]),
        "credit": ChangeAccount(account_id, at_us, credit_limit_nano=amount),
    }
    return commands[verb]


def rows_of(books: Books) -> Dump:
    """The rows that a database with these books should have."""
    receipts = [(row, books.holds[row.call.id]) for row in books.new_receipts]
    rows: dict[str, Iterable[tuple[Any, ...]]] = {
        "accounts": map(columns.account_row, books.accounts.values()),
        "keys": map(columns.key_row, books.keys.values()),
        "lots": (astuple(lot) for lots in books.lots.values() for lot in lots.values()),
        "key_digests": (columns.key_digest_row(books, key) for key in books.keys.values()),
        "buckets": (columns.bucket_row(books, key) for key in books.buckets),
        "throttles": (columns.throttle_row(books, key) for key in books.throttles),
        "holds": map(columns.hold_row, books.holds.values()),
        "entries": map(columns.entry_row, books.new_entries),
        "receipts": (columns.receipt_row(row, hold) for row, hold in receipts),
        "usage_days": columns.usage_day_rows(receipts),
        **{
            kind.name: map(row_of, getattr(books, kind.member).values())
            for kind in KINDS
            if kind not in (ENDED_BUCKET, ENTRY)
        },
    }
    return {table: sorted(values, key=repr) for table, values in rows.items()}


async def carry_out(engine: Engine, batches: Sequence[tuple[int, Sequence[Step]]]) -> None:
    memory, stores = MemoryStore(owner="any"), [engine.store(), engine.store()]
    try:
        for store in stores:
            await store.open()
        assert await stores[0].apply(opening()) == memory.commit(opening())
        at_us = MIDNIGHT_US - 5
        for turn, steps in batches:
            commands = commands_of(steps, at_us)
            at_us += sum(later_us for *_, later_us in steps)
            assert await stores[turn].apply(commands) == memory.commit(commands)
    finally:
        for store in stores:
            await store.close()
    assert engine.dump() == rows_of(memory.books)


@pytest.mark.parametrize("name", sorted(ENGINES))
@given(batches=BATCHES)
@settings(max_examples=25)
def test_two_stores_in_turns_do_what_books_in_memory_do(
    name: str, batches: list[tuple[int, list[Step]]]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(carry_out(ENGINES[name](Path(folder)), batches))
