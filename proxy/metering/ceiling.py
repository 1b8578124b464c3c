"""The ceiling of a call: the most that a request can use, by meter, before any of it is used."""

from collections.abc import Container

import msgspec
from msgspec.structs import replace

from proxy.metering.usage import Usage


class Ceiling(msgspec.Struct, frozen=True, gc=False):
    """The most that a request can use.

    `fixed` is what the request itself amounts to, by meter, whatever the answer is. `elastic` is the meter of
    the answer, if there is one: an upstream can be told to use less of it. Each of `choices` may use `bound`
    of it; None where the client names no bound, so that the rate card's applies. `beside` is what all choices
    together may use of it beyond their bounds, such as tokens of a prediction that the model rejects.
    What is `firm` cannot be clamped: no upstream could be told. What is `either` is billed by some of its
    meters only, by those that have a price.
    """

    fixed: Usage
    elastic: str | None = None
    bound: int | None = None
    choices: int = 1
    beside: int = 0
    firm: bool = False
    either: bool = False

    def bounded(self, bound: int) -> "Ceiling":
        """The same, with `bound` where the client names none."""
        return self if self.elastic is None or self.bound is not None else replace(self, bound=bound)

    def clamped(self, bound: int) -> "Ceiling":
        """The same, with no more than `bound` for each choice."""
        if self.elastic is None or self.firm or (self.bound is not None and self.bound <= bound):
            return self
        return replace(self, bound=bound)

    def priced_by(self, meters: Container[str]) -> "Ceiling":
        """The same without the meters that are none of these, where it is billed by some of its own only."""
        fixed = {meter: quantity for meter, quantity in self.fixed.items() if meter in meters}
        return replace(self, fixed=fixed, elastic=self.elastic if self.elastic in meters else None)

    def allowing(self, more: Usage) -> "Ceiling":
        """The same, with so much more that the request does not show, by meter."""
        if not more or not any(more.values()):
            return self
        fixed = dict(self.fixed)
        for meter, quantity in more.items():
            fixed[meter] = fixed.get(meter, 0) + quantity
        return replace(self, fixed=fixed)

    @property
    def elastic_total(self) -> int:
        """How much of the elastic meter all choices may use together; 0 without one, or without a bound."""
        return (self.bound or 0) * self.choices + self.beside

    @property
    def usage(self) -> dict[str, int]:
        """All of it by meter."""
        usage = dict(self.fixed)
        if self.elastic is not None:
            usage[self.elastic] = self.elastic_total
        return usage
