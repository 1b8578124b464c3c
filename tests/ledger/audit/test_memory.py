"""An audit reads rows as it needs them, and keeps none."""

from collections.abc import Iterator

from msgspec.structs import replace

from proxy.ledger.audit.accounts import audit
from proxy.ledger.audit.rows import AccountRow, LedgerRows
from proxy.ledger.spending import NOTHING_SPENT
from proxy.storage.columns import text

NOTHING = LedgerRows(*((),) * 18)


def test_rows_are_taken_as_they_are_needed_and_none_is_kept() -> None:
    """The first difference is told before the last row is read."""
    read = 0

    def accounts() -> Iterator[AccountRow]:
        nonlocal read
        for number in range(1000):
            read += 1
            yield AccountRow(f"account_{number:04}", 0, 0, 5, 0, 9, 0, 0, 2**62, text(NOTHING_SPENT))

    first = next(audit(replace(NOTHING, accounts=accounts())))
    assert (first.id, first.column) == ("account_0000", "held_nano")
    assert read == 2
