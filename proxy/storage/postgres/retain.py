"""Deletes receipts of old months: first their holds, in chunks, then each month at once."""

from datetime import date
from typing import Final

import asyncpg

from proxy.storage.postgres.migrate import HURRIED, STATEMENTS, months_after

HOLDS_AT_ONCE: Final = 5_000
# The lock lasts until the connection is closed, which the caller does.
ALONE: Final = "SELECT pg_try_advisory_lock(hashtextextended('farebox retention ' || current_schema(), 0))"
_EPOCH: Final = date(1970, 1, 1)


async def retain(connection: asyncpg.Connection, months: int) -> int:
    """Delete what `PostgresStore.retain` says; how many receipts went. `months` is not negative.

    A call's id finds its receipt by its hold: if the receipt went first, a repeat of the call's close would
    find a hold without a call. Each hold that is deleted here has a receipt, so none is open. Raises what
    the server raises.
    """
    if not await connection.fetchval(ALONE):
        return 0
    first_kept = months_after(await connection.fetchval(STATEMENTS["this_month"]), -months)
    first_day, count = (first_kept - _EPOCH).days, 0
    # Before the first receipt goes, an audit has to know that a charge may have none.
    await connection.execute(STATEMENTS["note_retention"], first_day)
    for row in await connection.fetch(STATEMENTS["month_partitions"]):
        name: str = row["name"]
        if name < f"receipts_{first_kept:%Y_%m}":
            count += await _drop_month(connection, name)
    while went := await connection.fetchval(STATEMENTS["delete_other_receipts"], first_day, HOLDS_AT_ONCE):
        count += went
    return count


async def _drop_month(connection: asyncpg.Connection, name: str) -> int:
    """Drop one month's partition. Its name comes from `month_partitions`, and is safe in SQL."""
    count, last = 0, ("", "")
    holds_of = STATEMENTS["delete_holds_of_month"].replace("receipts_month", name)
    while True:
        row = await connection.fetchrow(holds_of, *last, HOLDS_AT_ONCE)
        if row is None or not row["receipts"]:
            break
        count, last = count + row["receipts"], (row["account_id"], row["id"])
    async with connection.transaction(isolation="read_committed"):
        await connection.execute(HURRIED)
        await connection.execute(f"DROP TABLE {name}")
    return count
