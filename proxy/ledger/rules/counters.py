"""The rules of counters: what an account has used in a window decides what its next units cost."""

from typing import cast

from msgspec.structs import replace

from proxy.ledger.books import Books
from proxy.ledger.kinds import CounterRowKey
from proxy.ledger.rows import Counter, Hold
from proxy.ledger.windows import DAY_US, starts_of_day
from proxy.pricing.charge import Charge
from proxy.pricing.counting import counted, counter_keys, let_go, volume_after
from proxy.pricing.tiers import Count


def count(books: Books, hold: Hold, charge: Charge) -> Charge:
    """What the charge of a call comes to, whose counters go on by what it has used.

    Windows are those of the day on which it was authorized, as those of spending are.
    """
    first_days = dict(starts_of_day(hold.created_at_us // DAY_US))
    rows = {
        key: books.counters.get((hold.account_id, *key)) or Counter(hold.account_id, *key, 0)
        for key in counter_keys(charge, first_days)
    }
    counts = {key: Count(row.quantity, row.volume) for key, row in rows.items()}
    charge, after = counted(charge, counts, first_days)
    for key, counter in after.items():
        books.counters.put(replace(rows[key], quantity=counter.quantity, volume=counter.volume))
    return charge


def forgive(books: Books, hold: Hold, charge: Charge, shortfall_nano: int) -> None:
    """Take out of the counters what nobody pays for, of a charge that they have just counted.

    Where a cheaper tier is reached later, only what was paid is given back.
    """
    for line, gone in let_go(charge.lines, shortfall_nano):
        said = {step.kind: step for step in line.steps}
        key = (hold.account_id, said["counted"].name, said["window"].name, int(said["window"].value))
        counter = books.counters[cast("CounterRowKey", key)]
        books.counters.put(replace(counter, volume=volume_after(line, gone)))
