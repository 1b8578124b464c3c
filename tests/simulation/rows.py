"""The rows that are looked at after a batch, by account."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from proxy.storage.tables import ACCOUNTS, KEYS
from tests.simulation.model import Model, Touched
from tests.simulation.stages import Stage
from tests.storage.engines import Dump

Row = tuple[Any, ...]

ACCOUNT_PLACE: dict[str, int] = {
    "accounts": 0,
    "keys": 1,
    "key_digests": 1,
    "lots": 1,
    "buckets": 0,
    "throttles": 0,
    "holds": 1,
    "entries": 0,
    "commands": 0,
    "receipts": 1,
    "objects": 0,
    "memberships": 0,
    "counters": 0,
    "invoices": 0,
    "credit_notes": 0,
    "receivers": 0,
    "usage_days": 0,
    "events": 0,
    "top_ups": 0,
    "top_up_references": 2,
    "deliveries": 0,
    "auto_top_ups": 0,
    "levels": 0,
    "end_users": 0,
}
"""Where an account's id stands in a row."""
TABLES = tuple(ACCOUNT_PLACE)
OF_ACCOUNTS = (
    *("key_digests", "buckets", "throttles", "objects", "memberships", "counters"),
    *("top_ups", "top_up_references", "auto_top_ups", "invoices", "credit_notes", "receivers", "deliveries"),
    *("levels", "end_users"),
)
"""Those that are looked up by their account alone."""


class Look(msgspec.Struct):
    """Rows of one account. `since` entries are not among them, nor are calls that the batch had no part in.

    `whole` says that they are all there are.
    """

    account_id: str
    since: int
    rows: dict[str, list[Row]]
    whole: bool = False
    times: tuple[int, ...] = ()


async def look_at(stage: Stage, model: Model, touched: Mapping[str, Touched]) -> list[Look]:
    """What the database shows of the accounts that a batch was about."""
    ids = [account_id for account_id in touched if account_id in model.parties]
    calls = [call_id for each in touched.values() for call_id in each.holds]
    flight = [call_id for account_id in ids for call_id in model.parties[account_id].history.flight]
    days = {day: None for each in touched.values() for day in each.days}
    commands = {id_: None for each in touched.values() for id_ in each.commands}
    looks = {
        id_: Look(id_, touched[id_].since, {table: [] for table in TABLES}, times=tuple(touched[id_].times))
        for id_ in ids
    }
    _share(looks, "accounts", await stage.rows("accounts", {"id": ids}))
    _share(looks, "keys", await stage.rows("keys", {"account_id": ids}))
    _share(looks, "lots", await stage.rows("lots", {"account_id": ids}))
    _share(looks, "holds", await stage.rows("holds", {"id": list(dict.fromkeys(calls + flight))}))
    _share(looks, "receipts", await stage.rows("receipts", {"id": calls, "account_id": ids}))
    for table in OF_ACCOUNTS:
        _share(looks, table, await stage.rows(table, {"account_id": ids}))
    if days:
        found = await stage.rows("usage_days", {"account_id": ids, "day": list(days)})
        _share(looks, "usage_days", found)
    times = {at_us: None for each in touched.values() for at_us in each.times}
    if times:
        _share(looks, "events", await stage.rows("events", {"account_id": ids, "at_us": list(times)}))
    if commands:
        found = await stage.rows("commands", {"account_id": ids, "command_id": list(commands)})
        _share(looks, "commands", found)
    for id_, look in looks.items():
        # One more than there should be would be an entry that nobody knows of.
        numbers = range(look.since + 1, len(model.parties[id_].history.lines) + 2)
        look.rows["entries"] = sorted(await stage.rows("entries", {"account_id": [id_], "seq": numbers}))
    return list(looks.values())


def look_at_all(dump: Dump, model: Model) -> list[Look]:
    """The same for every account and every row."""
    looks = {id_: Look(id_, 0, {table: [] for table in TABLES}, whole=True) for id_ in model.parties}
    for table in TABLES:
        _share(looks, table, dump[table])
    for look in looks.values():
        look.rows["entries"].sort()
    return list(looks.values())


def buckets_in(rows: Mapping[str, list[Row]]) -> Iterator[Row]:
    """All buckets: those of windows that have ended, and those that lie with accounts and keys."""
    yield from (row[1:] for row in rows["buckets"])
    spending = [(row[0], row[ACCOUNTS.place("spending")]) for row in rows["accounts"]]
    spending += ((row[0], row[KEYS.place("spending")]) for row in rows["keys"])
    for scope_id, text in spending:
        day, sums = msgspec.json.decode(text)
        for window, (spent_nano, held_nano) in zip(first_days(day).items(), sums, strict=True):
            yield scope_id, *window, spent_nano, held_nano


def first_days(day: int) -> dict[str, int]:
    """Where the windows of a day begin, by their names."""
    date = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=day)
    return {"day": day, "week": day - date.isoweekday() + 1, "month": day - date.day + 1, "total": 0}


def strangers(dump: Dump, model: Model) -> Iterator[str]:
    """Rows of accounts that nobody opened."""
    for table, place in ACCOUNT_PLACE.items():
        yield from (f"{table}: {row}" for row in dump[table] if row[place] not in model.parties)


def _share(looks: Mapping[str, Look], table: str, rows: Iterable[Row]) -> None:
    for row in rows:
        account_id = row[ACCOUNT_PLACE[table]]
        if account_id in looks:
            looks[account_id].rows[table].append(row)
