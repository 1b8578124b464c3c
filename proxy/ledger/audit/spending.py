"""What the calls of one account sum to: its usage days, and the buckets of its spending limits."""

from collections.abc import Iterable, Iterator
from datetime import date
from itertools import chain
from typing import Final

import msgspec

from proxy.ledger.audit.rows import BucketRow, DayRow, Difference, HoldRow, ReceiptRow, compare
from proxy.ledger.ended import KEPT_DAYS
from proxy.ledger.spending import Spending
from proxy.ledger.windows import DAY_US, EPOCH, starts_of_day

LAST_DAY: Final = (date.max - EPOCH).days
"""No calendar goes further."""
_decode: Final = msgspec.json.Decoder(Spending).decode
_FIGURES: Final = ("requests", "input_tokens", "cached_input_tokens", "output_tokens", "charged_nano")

DayKey = tuple[int, str, str]
BucketKey = tuple[str, str, int]


class AccountSpending:
    """Sums by day, key and model: as many as the account has usage days, whatever the number of its calls."""

    def __init__(self, account_id: str, *, receipts_since_day: int) -> None:
        self._account_id = account_id
        self._since_day = receipts_since_day
        self._days: dict[DayKey, list[int]] = {}
        self._held: dict[tuple[int, str], int] = {}
        self._own: list[BucketRow] = []
        self._first_days: dict[tuple[str, str], int] = {}
        self.latest_day = 0

    def add_receipt(self, receipt: ReceiptRow, usage: dict[str, int]) -> Iterator[Difference]:
        """Count a receipt with its usage. Yields what is wrong with its day, if anything is."""
        if not 0 <= receipt.day <= LAST_DAY:
            yield Difference("receipts", receipt.id, "day", f"0 to {LAST_DAY}", str(receipt.day))
            return
        key = (receipt.day, receipt.key_id, receipt.model)
        figures = self._days.get(key)
        if figures is None:
            figures = self._days[key] = [0, 0, 0, 0, 0]
        figures[0] += receipt.basis != "void"
        for place, meter in enumerate(_FIGURES[1:4], 1):
            figures[place] += usage.get(meter, 0)
        figures[4] += receipt.charged_nano

    def add_hold(self, hold: HoldRow) -> Iterator[Difference]:
        """Count an open hold. Yields what is wrong with its time, if anything is."""
        day = hold.created_at_us // DAY_US
        if not 0 <= day <= LAST_DAY:
            found = str(hold.created_at_us)
            yield Difference("holds", hold.id, "created_at_us", "an instant since 1970", found)
            return
        key = (day, hold.key_id)
        self._held[key] = self._held.get(key, 0) + hold.amount_nano

    def day_faults(self, rows: Iterable[DayRow]) -> Iterator[Difference]:
        """Where usage days are not the sums of their receipts. A row that is missing counts as zeros.

        Days whose receipts may be gone are not checked.
        """
        missing = dict(self._days)
        for row in rows:
            if row.day < self._since_day:
                missing.pop((row.day, row.key_id, row.model), None)
                self._days[row.day, row.key_id, row.model] = [getattr(row, name) for name in _FIGURES]
                continue
            figures = missing.pop((row.day, row.key_id, row.model), [0, 0, 0, 0, 0])
            for name, expected in zip(_FIGURES, figures, strict=True):
                found = getattr(row, name)
                yield from compare(
                    "usage_days", self._day_id(row.day, row.key_id, row.model), name, expected, found
                )
        for key, figures in sorted(missing.items()):
            for name, expected in zip(_FIGURES, figures, strict=True):
                yield from compare("usage_days", self._day_id(*key), name, expected, 0)

    def own_faults(self, table: str, scope_id: str, json: str) -> Iterator[Difference]:
        """Take the latest buckets from their account or key. Yields what is wrong with their JSON."""
        try:
            found = _decode(json)
        except msgspec.DecodeError:
            found = None
        if found is None or not 0 <= found.day <= LAST_DAY:
            yield Difference(table, scope_id, "spending", "a day and the sums of its windows", json)
            return
        self.latest_day = max(self.latest_day, found.day)
        for one in found.buckets(scope_id):
            self._first_days[scope_id, one.window] = one.start_day
            sums = (one.spent_nano, one.held_nano)
            self._own.append(BucketRow(self._account_id, scope_id, one.window, one.start_day, *sums, table))

    def bucket_faults(self, rows: Iterable[BucketRow]) -> Iterator[Difference]:
        """Where buckets are not the sums of the calls authorized in them. A missing one counts as zeros.

        One that has ended long before the account's latest day may be gone. A window that lies apart from its
        account or key has ended before theirs; nobody would read another.
        """
        missing = self._buckets()
        for row in chain(self._own, rows):
            spent_nano, held_nano = missing.pop((row.scope_id, row.window, row.start_day), (0, 0))
            id_ = f"{row.scope_id}/{row.window}/{row.start_day}"
            if row.table == "buckets" and row.start_day >= self._first_days.get(
                (row.scope_id, row.window), 0
            ):
                yield Difference("buckets", id_, "row", "none, as it has not ended", "one")
            yield from compare(row.table, id_, "spent_nano", spent_nano, row.spent_nano)
            yield from compare(row.table, id_, "held_nano", held_nano, row.held_nano)
        for (scope_id, window, start_day), (spent_nano, held_nano) in sorted(missing.items()):
            if start_day <= self.latest_day - KEPT_DAYS and not held_nano:
                continue  # It may have been deleted: its days are there.
            id_ = f"{scope_id}/{window}/{start_day}"
            yield from compare("buckets", id_, "spent_nano", spent_nano, 0)
            yield from compare("buckets", id_, "held_nano", held_nano, 0)

    def _buckets(self) -> dict[BucketKey, tuple[int, int]]:
        """What the account and its keys have spent and hold in each window."""
        moves = [(day, key_id, figures[4], 0) for (day, key_id, _), figures in self._days.items()]
        moves += [(day, key_id, 0, held_nano) for (day, key_id), held_nano in self._held.items()]
        buckets: dict[BucketKey, tuple[int, int]] = {}
        for day, key_id, spent_nano, held_nano in moves:
            for window, start_day in starts_of_day(day):
                for scope_id in (self._account_id, key_id) if key_id else (self._account_id,):
                    key = (scope_id, window, start_day)
                    spent, held = buckets.get(key, (0, 0))
                    buckets[key] = (spent + spent_nano, held + held_nano)
        return buckets

    def _day_id(self, day: int, key_id: str, model: str) -> str:
        return f"{self._account_id}/{day}/{key_id}/{model}"
