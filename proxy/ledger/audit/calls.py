"""What must hold of each call: one hold, one receipt once it is closed, and one entry if it was charged."""

from collections.abc import Iterable, Iterator, Mapping
from operator import attrgetter
from typing import Any, Final

from msgspec.structs import astuple

from proxy.ledger.audit.counters import AccountCounters
from proxy.ledger.audit.end_user_rows import EndUserRow
from proxy.ledger.audit.end_users import AccountEndUsers
from proxy.ledger.audit.feed import Feed, keys_of
from proxy.ledger.audit.receipts import receipt_faults, usage_of
from proxy.ledger.audit.refunds import refund_faults
from proxy.ledger.audit.rows import Difference, HoldRow, LotRow, ObjectRow, PostedRow, ReceiptRow, compare
from proxy.ledger.audit.spending import AccountSpending
from proxy.ledger.seals import newer_values, seal_of
from proxy.ledger.windows import DAY_US

_BASES: Final[Mapping[str, tuple[str, ...]]] = {
    "settled": ("reported", "counted", "per_call"),
    "voided": ("void",),
    "expired": ("recovered",),
}
"""The bases that the receipt of a hold in each closed state can have."""


class Calls:
    """The calls of one account, counted as they are read.

    `held_nano` and `open_by_key` are of its open holds, `keys` those that its calls name: usage that was only
    recorded may name none. `owed` is what charges added to what is owed, each with the number of its entry.
    """

    def __init__(
        self,
        account_id: str,
        lots: Mapping[str, LotRow],
        end_users: Iterable[EndUserRow],
        *,
        receipts_since_day: int,
    ) -> None:
        self.held_nano = 0
        self.open_by_key: dict[str, int] = {}
        self.keys: set[str] = set()
        self.owed: list[tuple[int, int]] = []
        self.spending = AccountSpending(account_id, receipts_since_day=receipts_since_day)
        self.counters = AccountCounters(account_id, receipts_since_day=receipts_since_day)
        self.end_users = AccountEndUsers(account_id, end_users, receipts_since_day=receipts_since_day)
        self._since_day = receipts_since_day
        self._lots = lots

    def faults(
        self,
        holds: Iterable[HoldRow],
        receipts: Iterable[ReceiptRow],
        charges: Iterable[PostedRow],
        objects: Iterable[ObjectRow],
        refunds: Iterable[PostedRow],
    ) -> Iterator[Difference]:
        """Where holds, receipts, objects, and entries of charges and refunds contradict one another.

        All are by call id.
        """
        by_id = attrgetter("id")
        feeds: tuple[Feed[Any], ...] = (
            Feed(holds, by_id),
            Feed(receipts, by_id),
            Feed(charges, attrgetter("ref")),
            Feed(objects, attrgetter("call_id")),
            Feed(refunds, attrgetter("ref")),
        )
        for call_id in keys_of(*feeds):
            hold, receipt, posted, made, refunded = (list(feed.of(call_id)) for feed in feeds)
            if hold or receipt or posted:
                yield from self._call_faults(call_id, hold[0] if hold else None, receipt, posted)
            if refunded:
                yield from refund_faults(call_id, posted[0] if posted else None, refunded, self._lots)
            for row in made:
                yield from self._object_faults(row, next(iter((*hold, *receipt)), None))

    def _call_faults(
        self, call_id: str, hold: HoldRow | None, receipts: list[ReceiptRow], posted: list[PostedRow]
    ) -> Iterator[Difference]:
        receipt = receipts[0] if receipts else None
        for other in receipts[1:]:
            yield Difference("receipts", call_id, "row", "one", f"another of day {other.day}")
        if hold is not None:
            if hold.key_id:
                self.keys.add(hold.key_id)
            if hold.state == "open":
                yield from self._open_faults(hold, receipt)
            elif receipt is not None:
                yield from _pair_faults(hold, receipt)
            else:
                yield Difference("receipts", call_id, "row", f"one, as the hold is {hold.state}", "none")
        elif receipt is not None:
            # Where old receipts are dropped, their holds go first.
            if receipt.day >= self._since_day:
                yield Difference("holds", call_id, "row", "one, as the call has a receipt", "none")
        elif all(entry.at_us // DAY_US <= self._since_day for entry in posted):
            # Hold and receipt have been dropped. A call may end a day after it was authorized.
            return
        yield from _posted_faults(call_id, receipt, posted)
        if receipt is not None:
            if receipt.owed_nano:
                self.owed += ((entry.seq, receipt.owed_nano) for entry in posted[:1])
            yield from self._receipt_faults(receipt)

    def _object_faults(self, row: ObjectRow, call: HoldRow | ReceiptRow | None) -> Iterator[Difference]:
        """An object is of a call of its account, and was made with the same key."""
        if call is not None:
            yield from compare("objects", row.id, "key_id", call.key_id, row.key_id)
        elif row.created_at_us // DAY_US >= self._since_day:
            yield Difference("objects", row.id, "call_id", "a call of the account", row.call_id)
        if row.seal is not None:
            *sealed, _seen, _expires_at_us, seal = astuple(row)
            yield from compare("objects", row.id, "seal", seal_of(*sealed), seal)

    def _receipt_faults(self, receipt: ReceiptRow) -> Iterator[Difference]:
        if receipt.key_id:
            self.keys.add(receipt.key_id)
        usage = usage_of(receipt)
        yield from receipt_faults(receipt, usage)
        yield from self.spending.add_receipt(receipt, usage or {})
        yield from self.counters.add_receipt(receipt)
        self.end_users.add_receipt(receipt)

    def _open_faults(self, hold: HoldRow, receipt: ReceiptRow | None) -> Iterator[Difference]:
        self.held_nano += hold.amount_nano
        self.open_by_key[hold.key_id] = self.open_by_key.get(hold.key_id, 0) + 1
        yield from self.spending.add_hold(hold)
        self.end_users.add_hold(hold)
        if receipt is not None:
            yield Difference("receipts", hold.id, "row", "none, as the hold is open", "one")
        if not hold.has_call:
            yield Difference("holds", hold.id, "call", "a call that can be closed", "what cannot be read")
        if hold.seal is not None:
            *sealed, seal, _has_call, _end_user = astuple(hold)
            expected = None if hold.deadline_us is None else seal_of(*sealed)
            yield from compare("holds", hold.id, "seal", expected, seal)


def _pair_faults(hold: HoldRow, receipt: ReceiptRow) -> Iterator[Difference]:
    """A receipt repeats what its hold says, and is of a kind that its hold's last state allows."""
    yield from compare("receipts", hold.id, "key_id", hold.key_id, receipt.key_id)
    yield from compare("receipts", hold.id, "hold_nano", hold.amount_nano, receipt.hold_nano)
    yield from compare("receipts", hold.id, "day", hold.created_at_us // DAY_US, receipt.day)
    bases = _BASES.get(hold.state, ())
    if receipt.basis not in bases:
        found = f"{receipt.basis}, and the hold is {hold.state}"
        yield Difference("receipts", hold.id, "basis", " or ".join(bases) or "of a state there is", found)
    if hold.has_call:
        yield Difference("holds", hold.id, "call", f"none, as the hold is {hold.state}", "one")
    if receipt.seal is not None:
        *sealed, seal, metadata, run_id = astuple(receipt)
        newer = newer_values(metadata, run_id)
        expected = seal_of(*sealed, hold.tokens, hold.created_at_us, hold.owner, *newer)
        yield from compare("receipts", hold.id, "seal", expected, seal)
    if hold.state == "voided":
        yield from compare("receipts", hold.id, "charge_nano of a voided call", 0, receipt.charge_nano)


def _posted_faults(call_id: str, receipt: ReceiptRow | None, posted: list[PostedRow]) -> Iterator[Difference]:
    """A charge is one entry, made when the call ended, and a charge of nothing is none."""
    charged_nano = receipt.charged_nano if receipt else 0
    if charged_nano and not posted:
        yield Difference("entries", call_id, "row", f"a charge of {charged_nano}", "none")
    for place, entry in enumerate(posted):
        id_ = f"{entry.account_id}/{entry.seq}"
        if place or not charged_nano:
            yield Difference("entries", id_, "row", f"no such charge for {call_id}", str(entry.amount_nano))
        else:
            yield from compare("entries", id_, "amount_nano", -charged_nano, entry.amount_nano)
            if receipt is not None:
                yield from compare("entries", id_, "at_us", receipt.ended_at_us, entry.at_us)
