"""What must hold of end users: they hold what open holds count to them, and spent no more than receipts."""

from collections.abc import Iterable, Iterator

import msgspec
from msgspec.structs import astuple

from proxy.ledger.audit.end_user_rows import EndUserRow
from proxy.ledger.audit.rows import Difference, HoldRow, ReceiptRow, compare
from proxy.ledger.end_user_rows import UserSums, UserWindow, windows_of
from proxy.ledger.seals import seal_of
from proxy.ledger.windows import DAY_US

_decode = msgspec.json.Decoder(tuple[UserSums, ...]).decode
WindowKey = tuple[str, UserWindow, int]
"""An end user, a window, and its first day."""


class AccountEndUsers:
    """The end users of one account, and what its calls come to in the windows that their rows have.

    Limits may be set and lifted, and rows are forgotten: what was spent while nothing was counted is in no
    row, so that a row has no more than receipts say. What calls in flight hold it has exactly.
    """

    def __init__(self, account_id: str, rows: Iterable[EndUserRow], *, receipts_since_day: int) -> None:
        self._account_id = account_id
        self._rows = list(rows)
        self._since_day = receipts_since_day
        self._sums = {row.id: _sums_of(row) for row in self._rows}
        self._charged: dict[WindowKey, int] = {}
        self._held: dict[WindowKey, int] = {}
        self._open: dict[str, int] = {}

    def add_receipt(self, receipt: ReceiptRow) -> None:
        """Count a receipt, if there is a row of its end user."""
        if receipt.charged_nano and receipt.end_user in self._sums:
            for key in _keys(receipt.end_user, receipt.day):
                self._charged[key] = self._charged.get(key, 0) + receipt.charged_nano

    def add_hold(self, hold: HoldRow) -> None:
        """Count an open hold, if it counts to an end user."""
        if hold.end_user:
            self._open[hold.end_user] = self._open.get(hold.end_user, 0) + 1
            for key in _keys(hold.end_user, hold.created_at_us // DAY_US):
                self._held[key] = self._held.get(key, 0) + hold.amount_nano

    def faults(self) -> Iterator[Difference]:
        """Where rows are not what calls make them."""
        for row in self._rows:
            yield from self._row_faults(row)
        for end_user in sorted(self._open.keys() - self._sums.keys()):
            yield Difference("end_users", self._id(end_user), "row", "one, as calls count to it", "none")

    def _row_faults(self, row: EndUserRow) -> Iterator[Difference]:
        id_, sums = self._id(row.id), self._sums[row.id]
        *sealed, seal = astuple(row)
        yield from compare("end_users", id_, "seal", seal_of(*sealed), seal)
        yield from compare("end_users", id_, "open_holds", self._open.get(row.id, 0), row.open_holds)
        if sums is None:
            yield Difference("end_users", id_, "sums", "sums of windows", row.sums)
            return
        found = {(row.id, each.window, each.start_day): each for each in sums}
        held = {key: nano for key, nano in self._held.items() if key[0] == row.id and nano}
        for key in sorted(found.keys() | held.keys()):
            name = f"{id_}/{key[1]}/{key[2]}"
            one = found.get(key, UserSums("day", key[2]))
            yield from compare("end_users", name, "held_nano", held.get(key, 0), one.held_nano)
            most_nano = self._charged.get(key, 0)
            if key[2] >= self._since_day and not 0 <= one.spent_nano <= most_nano:
                yield Difference(
                    "end_users", name, "spent_nano", f"0 to {most_nano}, as receipts say", str(one.spent_nano)
                )

    def _id(self, end_user: str) -> str:
        return f"{self._account_id}/{end_user}"


def _keys(end_user: str, day: int) -> Iterator[WindowKey]:
    return ((end_user, window, start_day) for window, start_day in windows_of(day))


def _sums_of(row: EndUserRow) -> tuple[UserSums, ...] | None:
    try:
        return _decode(row.sums)
    except msgspec.DecodeError:
        return None
