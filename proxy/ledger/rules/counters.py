"""The rules of counters: what an account has used in a window decides what its next units cost."""

from msgspec.structs import replace

from proxy.ledger.books import Books
from proxy.ledger.rows import Counter, Hold
from proxy.ledger.windows import DAY_US, starts_of_day
from proxy.pricing.charge import Charge
from proxy.pricing.counting import counted, counter_keys
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
