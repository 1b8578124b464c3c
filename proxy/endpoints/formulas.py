"""Quantities that are worked out of several figures of a call: products and sums, exact to the end."""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from math import prod
from types import MappingProxyType
from typing import Final, Literal

import msgspec

from proxy.endpoints.sources import Source
from proxy.metering.quantities import counted

Known = tuple[Fraction | None, ...]
"""What is known of each part of a formula, in order."""
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
