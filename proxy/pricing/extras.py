"""Extras: what a card says of members of requests that Farebox does not know."""

from typing import Literal

import msgspec


class Extra(msgspec.Struct, frozen=True):
    """What a member of a request turns on that Farebox does not know, in units of a meter.

    `counted` says how many: one, or one for each address in the request, `most` at most.
    """

    member: str
    meter: str
    counted: Literal["once", "addresses"] = "once"
    most: int = 1

    @property
    def counts_addresses(self) -> bool:
        """Whether it has to be looked for in the request how many it is."""
        return self.counted == "addresses"
