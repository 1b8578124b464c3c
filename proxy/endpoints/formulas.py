"""Quantities that are worked out of several figures of a call: products and sums, exact to the end."""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from math import prod
from types import MappingProxyType
from typing import Final, Literal

import msgspec

from proxy.endpoints.reading.fields import text_of
from proxy.endpoints.reading.steps import Text, first_byte, items
from proxy.endpoints.sources import Source, shown, wrong
from proxy.metering.quantities import counted, number_of
from proxy.money import decimal_string

Known = tuple[Fraction | None, ...]
"""What is known of each part of a formula, in order."""
WANTED: Final = "a decimal number from 0 on, of 30 digits at most, or an array, whose items count"
NOTHING_KNOWN: Final[Mapping[str, Known]] = MappingProxyType({})


class Part(msgspec.Struct, frozen=True):
    """One figure of a formula: `most` at most, and `otherwise` where it is not told.

    With `chunk_characters` it is how many chunks of so many characters a text has, one at least, or all texts
    of an array together.
    """

    source: Source
    most: Fraction | None = None
    otherwise: Fraction | None = None
    chunk_characters: int = 0

    def value(self, told: str | None, *, zero_counts: bool = False) -> Fraction:
        """What is said of it, where that alone decides. A 0 says nothing unless `zero_counts`.

        Raises Refusal `invalid_value` where nothing is said and nothing is assumed; for more than it may be,
        and for what is no sane number.
        """
        number = None if told is None else number_of(told)
        if told is None or (number == 0 and not zero_counts):
            if self.otherwise is None:
                nothing = "missing" if zero_counts else "missing or 0"
                raise wrong(self.source, f"is {nothing}, and what the call costs depends on it")
            return self.otherwise
        if number is None:
            raise wrong(self.source, f"is {shown(told)}, which is no quantity; it must be {WANTED}")
        if self.most is not None and number > self.most:
            most = decimal_string(self.most)
            raise wrong(self.source, f"is {shown(told)}, which is more than {most}, the most that it may be")
        return number

    def chunks(self, value: Text | None) -> str | None:
        """How many chunks a JSON text has, or all texts of an array together; None for nothing.

        Raises Refusal `invalid_value` for what is no text.
        """
        if value is None:
            return None
        chunks = 0
        for each in items(value) if first_byte(value) == b"[" else [value]:
            if (text := text_of(msgspec.Raw(each))) is None:
                raise wrong(self.source, "must be a text, or an array of texts")
            chunks += max(1, -(-len(text) // self.chunk_characters))
        return str(chunks)


class Formula(msgspec.Struct, frozen=True):
    """The product or the sum of its parts, divided by `per`. Every part of an answer has a `most`."""

    kind: Literal["product", "sum"]
    parts: tuple[Part, ...]
    per: int = 1

    @property
    def sign(self) -> str:
        """What stands between its parts where it is told."""
        return "x" if self.kind == "product" else "+"

    def quantity(self, values: Sequence[Fraction], meter: str) -> int | None:
        """What a meter counts for these values of all parts; None for more than any call may use.

        Only the end of it is made whole: what has begun counts, where a meter counts whole units.
        """
        whole = prod(values, start=Fraction(1)) if self.kind == "product" else sum(values, Fraction(0))
        return counted(whole / self.per, meter)

    def filled(self, known: Known, *, assumed: bool = False) -> list[Fraction]:
        """The values of all parts: for those that are not known the most, or what is `assumed` of them."""
        filled = []
        for part, value in zip(self.parts, known, strict=True):
            most = part.otherwise if assumed and part.otherwise is not None else part.most
            filled.append(value if value is not None else most or Fraction(0))
        return filled
