"""What entries come to on an invoice: usage by its price, money put in and taken, and what paid for usage."""

from collections import Counter
from collections.abc import Mapping
from typing import Final

import msgspec

from proxy.ledger.invoice_rows import InvoiceLine, LineKind, Paid
from proxy.ledger.invoices import LINES_MAX
from proxy.ledger.rows import Draw
from proxy.pricing.charge import Line

OWN_LINES: Final = 40
"""How many lines are kept for what is no usage, and for usage beyond all lines."""
KINDS: Final = 5
"""How many kinds of lines there are: each may have one without a name for what has no other."""
DEBT: Final = "debt"
"""What paid for usage where no lot did."""

_UsageKey = tuple[str, str, str, str, int]
_decode_lines: Final = msgspec.json.Decoder(tuple[Line, ...]).decode
_decode_draws: Final = msgspec.json.Decoder(tuple[Draw, ...]).decode


class InvoiceEntry(msgspec.Struct, frozen=True):
    """An entry, and what the receipt that it is the charge of says, where it has one."""

    seq: int
    kind: str
    amount_nano: int
    balance_after_nano: int
    debt_after_nano: int
    at_us: int
    draws: str
    model: str | None = None
    price_id: str | None = None
    lines: str | None = None
    charge_nano: int | None = None

    @property
    def worth_after_nano(self) -> int:
        """The balance less all debt after it."""
        return self.balance_after_nano - self.debt_after_nano


class InvoiceSums:
    """Sums up entries one by one. Memory holds the lines, which are bounded, and no entries."""

    def __init__(self, lot_kinds: Mapping[str, str]) -> None:
        self._lot_kinds = lot_kinds
        self._usage: dict[_UsageKey, list[int]] = {}
        self._others: dict[tuple[LineKind, str], list[int]] = {}
        self._paid: Counter[str] = Counter()
        self.credits_nano = self.charges_nano = 0

    def add(self, entry: InvoiceEntry) -> None:
        """Add the next entry."""
        if entry.amount_nano > 0:
            self.credits_nano += entry.amount_nano
        else:
            self.charges_nano -= entry.amount_nano
        if entry.kind == "charge":
            self._add_charge(entry)
        else:
            kind: LineKind = "credit" if entry.amount_nano > 0 else "debit"
            self._add_other(kind, self._name_of(entry), entry.amount_nano)

    def lines(self) -> tuple[InvoiceLine, ...]:
        """Usage by model and price, then what else there was."""
        usage = (
            InvoiceLine("usage", model, -amount, count, price_id, meter, quantity, price, per)
            for (model, price_id, meter, price, per), (quantity, amount, count) in sorted(self._usage.items())
        )
        others = (
            InvoiceLine(kind, name, amount, count)
            for (kind, name), (amount, count) in sorted(self._others.items())
        )
        return (*usage, *others)

    def paid(self) -> tuple[Paid, ...]:
        """What paid for usage, by the kind of lots, the most first."""
        return tuple(Paid(kind, amount) for kind, amount in self._paid.most_common())

    def _add_charge(self, entry: InvoiceEntry) -> None:
        charged_nano = -entry.amount_nano
        drawn_nano = 0
        for draw in _decode_draws(entry.draws):
            self._paid[self._lot_kinds.get(draw.lot_id, "")] -= draw.amount_nano
            drawn_nano -= draw.amount_nano
        if charged_nano > drawn_nano:
            self._paid[DEBT] += charged_nano - drawn_nano
        if entry.model is None or entry.lines is None or entry.charge_nano is None:
            self._add_other("other_usage", "", -charged_nano)
            return
        for line in _decode_lines(entry.lines):
            self._add_usage(entry.model, entry.price_id or "", line)
        if entry.charge_nano != charged_nano:
            self._add_other("shortfall", entry.model, entry.charge_nano - charged_nano)

    def _add_usage(self, model: str, price_id: str, line: Line) -> None:
        key = (model, price_id, line.meter, line.price_nano, line.per)
        sums = self._usage.get(key)
        if sums is None:
            if len(self._usage) >= LINES_MAX - OWN_LINES:
                self._add_other("other_usage", "", -line.amount_nano)
                return
            sums = self._usage[key] = [0, 0, 0]
        sums[0] += line.quantity
        sums[1] += line.amount_nano
        sums[2] += 1

    def _add_other(self, kind: LineKind, name: str, amount_nano: int) -> None:
        if (kind, name) not in self._others and len(self._others) >= OWN_LINES - KINDS:
            name = ""
        sums = self._others.setdefault((kind, name), [0, 0])
        sums[0] += amount_nano
        sums[1] += 1

    def _name_of(self, entry: InvoiceEntry) -> str:
        """What money was: the kind of the lot that a grant made, and else the kind of the entry."""
        if entry.kind != "grant":
            return entry.kind
        draws = _decode_draws(entry.draws)
        return self._lot_kinds.get(draws[0].lot_id, entry.kind) if draws else entry.kind
