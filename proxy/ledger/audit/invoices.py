"""What must hold of invoices: each is what the entries from its first to its last come to."""

from collections.abc import Collection, Iterable, Iterator
from typing import Final

import msgspec
from msgspec.structs import astuple

from proxy.ledger.audit.invoice_rows import InvoiceRow
from proxy.ledger.audit.rows import Difference, EntryRow, compare
from proxy.ledger.invoice_rows import Invoice
from proxy.ledger.seals import newer_values, seal_of

_FIGURES: Final = ("opening_nano", "credits_nano", "charges_nano", "closing_nano", "debt_nano", "noted_nano")
_NEWER: Final = 2
"""The last columns before the seal, which is of them as far as they have anything."""
_JSON: Final = ("lines", "paid", "parties")


class Invoiced:
    """The invoices of one account, compared with its entries as these pass by in their order.

    `noted` are the numbers of entries that credit notes are of.
    """

    def __init__(self, invoices: Iterable[InvoiceRow], noted: Collection[int] = ()) -> None:
        self._noted = noted
        self._left = sorted(invoices, key=lambda each: each.first_seq)
        self._worth_nano = 0
        self._charged_nano = 0
        self._sums = dict.fromkeys(_FIGURES, 0)
        self._next_seq = 0

    @property
    def is_over(self) -> bool:
        """Whether there is none left, so that no entry has to be looked at."""
        return not self._left

    def pass_by(self, entry: EntryRow) -> Iterator[Difference]:
        """Add the next entry. Yields what is wrong with the invoice that ends with it."""
        invoice = self._left[0]
        if entry.seq == invoice.first_seq:
            yield from self._start_faults(invoice)
            self._charged_nano = 0
            self._sums = dict.fromkeys(_FIGURES, 0) | {"opening_nano": self._worth_nano}
        self._worth_nano = entry.balance_after_nano - entry.debt_after_nano
        if entry.seq in self._noted:
            self._sums["noted_nano"] += entry.amount_nano
        else:
            side = "credits_nano" if entry.amount_nano > 0 else "charges_nano"
            self._sums[side] += abs(entry.amount_nano)
        if entry.kind == "charge":
            self._charged_nano -= entry.amount_nano
        if entry.seq == invoice.last_seq:
            self._sums |= {"closing_nano": self._worth_nano, "debt_nano": entry.debt_after_nano}
            yield from self._end_faults(self._left.pop(0))

    def rest_faults(self) -> Iterator[Difference]:
        """What is left when all entries have passed by."""
        for invoice in self._left:
            yield Difference(
                "invoices", invoice.id, "last_seq", "the number of an entry", str(invoice.last_seq)
            )
            yield from _seal_faults(invoice)

    def _start_faults(self, invoice: InvoiceRow) -> Iterator[Difference]:
        if self._next_seq:
            yield from compare("invoices", invoice.id, "first_seq", self._next_seq, invoice.first_seq)
        self._next_seq = invoice.last_seq + 1

    def _end_faults(self, invoice: InvoiceRow) -> Iterator[Difference]:
        for name, expected in self._sums.items():
            yield from compare("invoices", invoice.id, name, expected, getattr(invoice, name))
        yield from _seal_faults(invoice)
        try:
            made = invoice_of(invoice)
        except (msgspec.DecodeError, msgspec.ValidationError):
            return  # The seal tells.
        change_nano = sum(line.amount_nano for line in made.lines)
        expected_nano = self._sums["credits_nano"] - self._sums["charges_nano"]
        yield from compare("invoices", invoice.id, "sum of lines", expected_nano, change_nano)
        yield from compare("invoices", invoice.id, "usage", self._charged_nano, made.usage_nano)
        paid_nano = sum(paid.amount_nano for paid in made.paid)
        yield from compare("invoices", invoice.id, "sum of paid", self._charged_nano, paid_nano)


def invoice_of(row: InvoiceRow) -> Invoice:
    """An invoice from its row. Raises msgspec.DecodeError or ValidationError."""
    values = {name: getattr(row, name) for name in Invoice.__struct_fields__}
    decoded = {name: msgspec.json.decode(getattr(row, name)) for name in _JSON}
    return msgspec.convert({**values, **decoded}, Invoice)


def _seal_faults(invoice: InvoiceRow) -> Iterator[Difference]:
    *sealed, seal = astuple(invoice)
    values = (*sealed[:-_NEWER], *newer_values(*sealed[-_NEWER:]))
    yield from compare("invoices", invoice.id, "seal", seal_of(*values), seal)
