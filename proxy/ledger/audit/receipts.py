"""What a receipt must say: its charge follows from its own lines, and its lines from its usage."""

import re
from collections.abc import Iterator
from fractions import Fraction
from functools import lru_cache
from typing import Final

import msgspec

from proxy.ledger.audit.rows import Difference, ReceiptRow, compare
from proxy.pricing.charge import Line
from proxy.pricing.steps import applies, carried, exact_amounts, largest_alone

# The ledger writes no more digits; a longer text would only take time.
_PRICE: Final = re.compile(r"[0-9]{1,40}(\.[0-9]{1,60})?\Z")
_VALUE: Final = re.compile(r"[0-9]{1,40}(\.[0-9]{1,60}|/[1-9][0-9]{0,40})?\Z")
_decode_usage = msgspec.json.Decoder(dict[str, int]).decode
_decode_lines = msgspec.json.Decoder(tuple[Line, ...]).decode


def usage_of(receipt: ReceiptRow) -> dict[str, int] | None:
    """A receipt's quantities by meter, or None when the column holds none."""
    try:
        return _decode_usage(receipt.usage)
    except msgspec.DecodeError:
        return None


def receipt_faults(receipt: ReceiptRow, usage: dict[str, int] | None) -> Iterator[Difference]:
    """Where a receipt, whose usage is `usage`, contradicts itself."""
    if usage is None:
        yield from compare("receipts", receipt.id, "usage", "whole quantities by meter", receipt.usage)
    paid_nano = receipt.charged_nano + receipt.shortfall_nano
    yield from compare("receipts", receipt.id, "charged + shortfall", max(receipt.charge_nano, 0), paid_nano)
    most_nano = 0 if receipt.shortfall_nano else receipt.charged_nano
    if not 0 <= receipt.owed_nano <= most_nano:
        yield Difference("receipts", receipt.id, "owed_nano", f"0 to {most_nano}", str(receipt.owed_nano))
    try:
        lines = _decode_lines(receipt.lines)
    except msgspec.DecodeError:
        yield from compare("receipts", receipt.id, "lines", "lines of a charge", receipt.lines)
        return
    yield from _charge_faults(receipt, lines)
    if usage is not None:
        yield from _quantity_faults(receipt, lines, usage)
        yield from _condition_faults(receipt, lines, usage)
    yield from _discount_faults(receipt, lines)


def _charge_faults(receipt: ReceiptRow, lines: tuple[Line, ...]) -> Iterator[Difference]:
    """The charge is the sum of quantities times rates, rounded once, and its lines sum to it.

    Each line is within one of its exact amount, and exact amounts are summed by denominator.
    """
    if any(line.steps for line in lines):
        yield from _stepped_faults(receipt, lines)
        return
    parts_nano, exact = 0, dict[int, int]()
    for number, line in enumerate(lines):
        unit = _unit_nano(line.price_nano, line.per)
        if unit is None or line.quantity < 0:
            found = f"{line.quantity} at {line.price_nano} for {line.per}"
            yield Difference("receipts", receipt.id, f"lines[{number}]", "a quantity at a price", found)
            return
        numerator, denominator = line.quantity * unit.numerator, unit.denominator
        if abs(numerator - line.amount_nano * denominator) >= denominator:
            amount_nano = round(Fraction(numerator, denominator))
            column = f"lines[{number}].amount_nano"
            yield Difference("receipts", receipt.id, column, str(amount_nano), str(line.amount_nano))
        exact[denominator] = exact.get(denominator, 0) + numerator
        parts_nano += line.amount_nano
    total = sum((Fraction(numerator, denominator) for denominator, numerator in exact.items()), Fraction(0))
    # Fractions round half to even.
    yield from compare("receipts", receipt.id, "charge_nano", round(total), receipt.charge_nano)
    yield from compare("receipts", receipt.id, "sum of lines", receipt.charge_nano, parts_nano)


def _stepped_faults(receipt: ReceiptRow, lines: tuple[Line, ...]) -> Iterator[Difference]:
    """The same, of a charge in which a line has steps."""
    try:
        exact = list(exact_amounts(lines)) if all(map(_is_sane, lines)) else None
    except (ZeroDivisionError, KeyError):  # Blocks of nothing, or not all steps of a tier.
        exact = None
    if exact is None:
        yield Difference("receipts", receipt.id, "lines", "quantities, prices and steps", receipt.lines)
        return
    for number, (line, amount) in enumerate(zip(lines, exact, strict=True)):
        if abs(line.amount_nano - amount) >= 1:
            column = f"lines[{number}].amount_nano"
            yield Difference("receipts", receipt.id, column, str(round(amount)), str(line.amount_nano))
    parts_nano = sum(line.amount_nano for line in lines)
    total = sum(exact, Fraction(0))
    yield from compare("receipts", receipt.id, "charge_nano", round(total), receipt.charge_nano)
    yield from compare("receipts", receipt.id, "sum of lines", receipt.charge_nano, parts_nano)


def _condition_faults(
    receipt: ReceiptRow, lines: tuple[Line, ...], usage: dict[str, int]
) -> Iterator[Difference]:
    """A rate for calls of a certain length, or beside other things, charges no others."""
    for number, line in enumerate(lines):
        if line.steps and not applies(line.steps, usage):
            expected = "a rate for calls that use so much"
            yield Difference("receipts", receipt.id, f"lines[{number}].steps", expected, receipt.usage)


def _discount_faults(receipt: ReceiptRow, lines: tuple[Line, ...]) -> Iterator[Difference]:
    """Where a discount does not count, another one that is as large or larger counts alone."""
    for number, line in enumerate(lines):
        if any(step.kind == "unused" for step in line.steps) and _is_sane(line):
            expected, found = (
                ", ".join(f"{step.kind} {step.value}" for step in steps)
                for steps in (largest_alone(line.steps), line.steps)
            )
            yield from compare("receipts", receipt.id, f"lines[{number}].steps", expected, found)


def _quantity_faults(
    receipt: ReceiptRow, lines: tuple[Line, ...], usage: dict[str, int]
) -> Iterator[Difference]:
    """No more of a meter is charged than was used. A call is one request where the usage has none."""
    charged: dict[str, int] = {}
    for line in lines:
        # The markup of a run is on an amount of money.
        if carried(line) is None:
            charged[line.meter] = charged.get(line.meter, 0) + line.quantity
    for meter, quantity in charged.items():
        used = usage.get(meter, 1 if meter == "requests" else 0)
        if quantity > used:
            yield Difference("receipts", receipt.id, f"lines of {meter}", f"at most {used}", str(quantity))


def _is_sane(line: Line) -> bool:
    values = all(_VALUE.match(step.value) for step in line.steps)
    return values and line.quantity >= 0 and _unit_nano(line.price_nano, line.per) is not None


@lru_cache(maxsize=4096)
def _unit_nano(price: str, per: int) -> Fraction | None:
    """The exact price of one unit; None for a text that is not a price."""
    return Fraction(price) / per if _PRICE.match(price) and per > 0 else None
