"""The rows of invoices, and what they are made of."""

from typing import Final, Literal

import msgspec

from proxy.money import MAX_NANO

_MOST_NANO: Final = 2 * MAX_NANO + 1
"""What a column holds: sums over a month may be larger than one amount can be."""

LineKind = Literal["usage", "shortfall", "other_usage", "credit", "debit"]
"""Usage by its price; what of usage was let go; usage without a receipt; money put in; money taken."""


class InvoiceLine(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One line. Usage is `quantity` units of a meter at a price for each `per`, in `count` calls.

    `name` is the model of usage, and else what the money was: the kind of its lot or of its entry. Amounts
    are as the account sees them: what it was charged is below zero, what it got above.
    """

    kind: LineKind
    name: str
    amount_nano: int
    count: int = 0
    price_id: str = ""
    meter: str = ""
    quantity: int = 0
    price_nano: str = ""
    per: int = 0


class Paid(msgspec.Struct, frozen=True, gc=False):
    """What paid for usage: lots of one kind, or none, which is debt."""

    kind: str
    amount_nano: int


class Parties(msgspec.Struct, frozen=True, omit_defaults=True):
    """Who issued an invoice, as the configuration said then, and the account's name."""

    account: str = ""
    seller: str = ""
    address: tuple[str, ...] = ()
    tax_id: str = ""


class InvoiceHead(msgspec.Struct, frozen=True):
    """An invoice as lists show it: its figures, see `Invoice`, without what it is made of."""

    id: str
    number: str
    account_id: str
    period: str
    opening_nano: int
    credits_nano: int
    charges_nano: int
    closing_nano: int
    debt_nano: int
    issued_at_us: int
    part: int = 0
    noted_nano: int = 0


class Invoice(msgspec.Struct, frozen=True):
    """The entries of an account from `first_seq` to `last_seq`, for the month `period`, such as `2027-03`.

    `opening_nano + noted_nano + credits_nano - charges_nano = closing_nano`: the balance less all debt
    before and after them. The lines sum to credits less charges, and `paid` to what was charged for usage.
    What credit notes are of sums to `noted_nano`, and is in no line. `debt_nano` is all debt after them.

    An early invoice is the `part` of its month with this number, from 1 on; 0 ends the month.
    """

    account_id: str
    period: str
    id: str
    number: str
    first_seq: int
    last_seq: int
    opening_nano: int
    credits_nano: int
    charges_nano: int
    closing_nano: int
    debt_nano: int
    issued_at_us: int
    lines: tuple[InvoiceLine, ...] = ()
    paid: tuple[Paid, ...] = ()
    parties: Parties = Parties()
    part: int = 0
    noted_nano: int = 0

    @property
    def usage_nano(self) -> int:
        """What usage was charged."""
        return -sum(line.amount_nano for line in self.lines if line.kind not in ("credit", "debit"))

    @property
    def adds_up(self) -> bool:
        """Whether its figures, its lines and what paid for them agree."""
        change_nano = self.closing_nano - self.opening_nano - self.noted_nano
        return (
            self.first_seq <= self.last_seq
            and self.credits_nano - self.charges_nano == change_nano
            and sum(line.amount_nano for line in self.lines) == change_nano
            and sum(paid.amount_nano for paid in self.paid) == self.usage_nano
            and abs(self.opening_nano) + abs(self.noted_nano) <= _MOST_NANO
            and abs(self.opening_nano) + max(self.credits_nano, self.charges_nano) <= _MOST_NANO
            and self.part >= 0
        )


class CreditNote(msgspec.Struct, frozen=True):
    """What was refunded by the entry `seq`, of what the entry `of_seq` has on an invoice.

    `amount_nano` is that of the refund's entry: above zero for a call of which something was given back, and
    below for a lot of which something was paid back. `ref` is that call or lot, `name` the call's model or
    the lot's kind. `serial` counts the credit notes of the account, from 1 on.
    """

    account_id: str
    seq: int
    id: str
    number: str
    serial: int
    invoice_id: str
    invoice_number: str
    of_seq: int
    amount_nano: int
    ref: str
    name: str
    reason: str
    issued_at_us: int
    parties: Parties = Parties()
