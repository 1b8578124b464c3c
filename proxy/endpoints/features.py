"""What a request can turn on that costs more than its text shows, and what of a rate card would price it."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

import msgspec
from msgspec.structs import replace

from proxy.metering.usage import Usage

NOTHING: Final[Usage] = {}
ALLOWANCE: Final = "input_allowance_tokens"
"""The key of a rate card that says how much an input can take that a request only refers to."""

NO_PARAMETERS: Final[Mapping[str, str]] = MappingProxyType({})
"""The parameters of a request that no price depends on."""

_INPUT: Final = "input_tokens"


WITHIN: Final = ".item"
"""What the kind of something within an object is called, after the object's own."""


class ObjectName(msgspec.Struct, frozen=True, gc=False):
    """An object that a request names, such as an earlier response: its kind, and the id that was written."""

    kind: str
    id: str


class Feature(msgspec.Struct, frozen=True, gc=False):
    """One thing that a request turns on.

    `member` says where in the body, `name` is the body's member that holds it. `needs` are the keys of a rate
    card that price it, all of them; without any, no rate card can. `surcharges` is what it uses by meter,
    `hidden` how many inputs it only refers to, by the meter they are counted in, `tier` the service tier.
    `allowed` is the most it can use of a meter beyond that, charged as far as the answer reports it.
    `known` is False for a member that Farebox does not know. What is `optional` costs no more than the usual
    rates, and is charged otherwise only where a card says so. `refers` is an object that it is about: only
    the account that has it may name it, and the call goes where that is. `kept`: it is something that the
    upstream keeps for nobody knows whom, so that only an operator can allow it. `changes`: the call changes
    what it refers to, so that it must not be made twice.
    """

    member: str
    name: str
    needs: tuple[str, ...] = ()
    surcharges: Usage = NOTHING
    hidden: Usage = NOTHING
    allowed: Usage = NOTHING
    tier: str | None = None
    known: bool = True
    optional: bool = False
    refers: ObjectName | None = None
    kept: bool = False
    changes: bool = False


def kept(member: str, name: str, hidden: int = 0) -> Feature:
    """What an upstream keeps, and nobody can tell whose it is: refused, unless it forwards `name`.

    `hidden` is how many inputs that are.
    """
    return Feature(member, name, hidden={_INPUT: hidden} if hidden else NOTHING, kept=True)


def unpaid(features: Iterable[Feature]) -> tuple[Feature, ...]:
    """What of some features matters where nothing is carried out: which objects it names, what is refused."""
    return tuple(
        each if each.refers is None else replace(each, needs=(), hidden=NOTHING, optional=True)
        for each in features
        if each.refers is not None or not (each.needs or each.optional)
    )


def hidden_input(member: str, name: str, count: int = 1) -> Feature:
    """Input that the body only refers to: nothing in it tells the size."""
    return Feature(member, name, (ALLOWANCE,), hidden={_INPUT: count})


def surcharged(member: str, name: str, meter: str, count: int = 1) -> Feature:
    """Something that the upstream does and bills beside the tokens; what it finds is read as input."""
    return Feature(member, name, (rate_key(meter), ALLOWANCE), {meter: count}, {_INPUT: count})


def rated(member: str, name: str, meter: str) -> Feature:
    """Something that the upstream reports and bills at a rate of its own."""
    return Feature(member, name, (rate_key(meter),))


def at_tier(member: str, name: str, tier: str) -> Feature:
    """A service tier whose rates are others than the usual ones."""
    return Feature(member, name, (tier_key(tier),), tier=tier)


def rate_key(meter: str) -> str:
    """The key of a rate card for the rate of a meter."""
    return f"rates.{meter}"


def tier_key(tier: str) -> str:
    """The key of a rate card for the multiplier of a service tier."""
    return f"service_tiers.{tier}"
