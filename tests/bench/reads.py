"""What the APIs read about calls, asked of a ledger with many: how long each takes, and by which plan."""

import asyncio
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from time import perf_counter
from typing import Any, Final

import msgspec

from proxy.api.admin.receipts import SEARCHED_CALLS
from proxy.api.paging import MAX_LIMIT
from proxy.ids import new_id
from proxy.ledger.store import LedgerUnavailable, Row, Store
from proxy.ledger.windows import DAY_US
from proxy.storage.locations import store_for
from proxy.storage.postgres.read import READS as POSTGRES_READS
from proxy.storage.postgres.session import Timeouts, connect
from proxy.storage.sqlite.store import READS as SQLITE_READS
from proxy.tasks import Tasks
from tests.bench.engines import SQLITE
from tests.bench.history import ACCOUNTS, DAYS, MODELS, RARE_KEY, RARE_MODEL, History, account_id, key_id

TIMES: Final = 9
PATIENCE_SECONDS: Final = 5.0
"""What takes longer in all is asked no more."""
LIMIT: Final = MAX_LIMIT + 1
PLAN_SECONDS: Final = 60.0
"""Counting the rows of a plan takes longer than the read."""
DEFAULT_DAYS: Final = 30
ONLY_OF_AN_ACCOUNT: Final = frozenset({"a model nobody used", "another's key"})
"""What says nothing new where it is asked about all accounts."""


class Ask(msgspec.Struct, frozen=True):
    """A named read with its parameters, and in which words a table tells of it."""

    title: str
    read: str
    params: dict[str, Any]


class Timing(msgspec.Struct, frozen=True):
    """How long one read took. `failed` is why it did not come to its end, if it did not."""

    engine: str
    title: str
    read: str
    rows: int
    p50_ms: float
    worst_ms: float
    plan: list[str]
    failed: str = ""


def asks_of(history: History, down_to: str) -> list[Ask]:
    """What is asked about a ledger with a history: pages are of the most rows an answer has.

    `down_to` is the call at which a page ends that looks for a model in all accounts.
    """
    last, middle = history.until_us // DAY_US, new_id("req", (history.since_us + history.until_us) // 2)
    busy, usual = account_id(0), account_id(ACCOUNTS // 2)
    asks = []
    for days in (DEFAULT_DAYS, DAYS):
        span = {"first_day": last - days + 1, "last_day": last}
        for group in ("day", "model", "key"):
            title = f"usage by {group}, busy account, {days} days"
            asks.append(Ask(title, f"usage_by_{group}", {"account_id": busy, **span}))
        for group in ("day", "model", "key", "account"):
            title = f"usage by {group}, all accounts, {days} days"
            asks.append(Ask(title, f"usage_of_all_by_{group}", span))
    filters: tuple[tuple[str, dict[str, str]], ...] = (
        ("first page", {}),
        ("page in the middle", {"cursor": middle}),
        ("one key", {"key_id": key_id(0, 1)}),
        ("one key, from the middle", {"key_id": key_id(0, 1), "cursor": middle}),
        ("one model", {"model": MODELS[-1]}),
        ("one key and model", {"key_id": key_id(0, 1), "model": MODELS[-1]}),
        ("a key of long ago", {"key_id": key_id(*RARE_KEY)}),
        ("a model of long ago", {"model": RARE_MODEL}),
        ("a model nobody used", {"model": "no-model"}),
        ("another's key", {"key_id": key_id(1, 0)}),
    )
    for title, chosen in filters:
        params = {"key_id": "", "model": "", "cursor": "", "limit": LIMIT, "down_to": "", **chosen}
        asks.append(Ask(f"log of the busy account: {title}", "receipts_page", {"account_id": busy, **params}))
        if title not in ONLY_OF_AN_ACCOUNT:
            place = down_to if params["model"] and not params["key_id"] else ""
            asks.append(Ask(f"log of all accounts: {title}", "receipts_of_all", {**params, "down_to": place}))
    params = {"key_id": "", "model": "", "cursor": "", "limit": LIMIT, "down_to": ""}
    asks.append(Ask("log of another account", "receipts_page", {"account_id": usual, **params}))
    for who, account in (("busy account", busy), ("all accounts", "")):
        for state in ("", "open", "voided"):
            params = {"account_id": account, "state": state, "cursor": "", "limit": LIMIT}
            asks.append(Ask(f"holds, {who}{state and f', {state}'}", "holds_page", params))
    entries = {"account_id": busy, "cursor": history.calls // 20, "limit": LIMIT}
    return [*asks, Ask("entries of the busy account, from the middle", "entries_page", entries)]


def timings(engine: str, location: str, history: History) -> list[Timing]:
    """All reads of a ledger with a history, and one call by its id. Raises what opening a store raises."""
    return asyncio.run(_timings(engine, location, history))


async def _timings(engine: str, location: str, history: History) -> list[Timing]:
    faults: list[BaseException] = []
    store = store_for(location, tasks=Tasks(lambda _, error: faults.append(error)))
    await store.open()
    try:
        newest = {
            "account_id": account_id(0),
            "key_id": "",
            "model": "",
            "cursor": "",
            "limit": 1,
            "down_to": "",
        }
        (call,) = await store.query("receipts_page", newest)
        looks = Ask(
            "how far a page searches for a model", "receipt_place", {"cursor": "", "calls": SEARCHED_CALLS}
        )
        places = await store.query(looks.read, looks.params)
        down_to = str(places[0]["id"]) if places else ""
        asks = [
            *asks_of(history, down_to),
            looks,
            Ask("one call by its id", "receipt_by_id", {"call_id": call["id"]}),
        ]
        found = [await timing(store, engine, location, ask) for ask in asks]
    finally:
        await store.close()
    if faults:
        raise faults[0]
    return found


async def timing(store: Store, engine: str, location: str, ask: Ask) -> Timing:
    """One read, asked up to `TIMES` times."""
    took: list[float] = []
    rows: list[Row] = []
    failed = ""
    while len(took) < TIMES and sum(took) < PATIENCE_SECONDS and not failed:
        began = perf_counter()
        try:
            rows = await store.query(ask.read, ask.params)
        except LedgerUnavailable as error:
            failed = str(error)
        took.append(perf_counter() - began)
    ordered = sorted(took)
    plan = [] if failed else await plan_of(engine, location, ask.read, ask.params)
    return Timing(
        engine=engine,
        title=ask.title,
        read=ask.read,
        rows=len(rows),
        p50_ms=ordered[len(ordered) // 2] * 1e3,
        worst_ms=ordered[-1] * 1e3,
        plan=plan,
        failed=failed,
    )


async def plan_of(engine: str, location: str, name: str, params: Mapping[str, Any]) -> list[str]:
    """The lines of an engine's plan for a read; PostgreSQL carries it out for that, and counts rows."""
    if engine == SQLITE:
        query = SQLITE_READS[name]
        with closing(sqlite3.connect(location.removeprefix("sqlite:///"))) as connection:
            steps = connection.execute(f"EXPLAIN QUERY PLAN {query.sql}", dict(params)).fetchall()
        return [step for *_, step in steps]
    read = POSTGRES_READS[name]
    session = await connect(location, Timeouts(statement_seconds=PLAN_SECONDS))
    try:
        explain = f"EXPLAIN (ANALYZE, BUFFERS, COSTS OFF, TIMING OFF) {read.sql}"
        return [line for (line,) in await session.fetch(explain, *(params[each] for each in read.names))]
    finally:
        await session.close()
