"""The auditor's rate limits: how full each minute is, as an exact fraction of calls or tokens."""

from collections.abc import Iterator
from fractions import Fraction
from math import ceil, floor
from typing import NamedTuple

from proxy.ledger.commands import RateStatus
from proxy.ledger.rows import NO_LIMIT, Key, Limits, ThrottleKind

MINUTE_US = 60_000_000
EMPTY = Fraction(0)


class Ask(NamedTuple):
    """What a call asks of one rate limit."""

    source: str
    scope_id: str
    kind: ThrottleKind
    limit: int
    amount: int


class Gauge(NamedTuple):
    """How much of a minute's worth is used up, and the latest instant that is known of it."""

    full: Fraction
    at_us: int


class Gauges:
    """Every rate limit of every account and key."""

    def __init__(self) -> None:
        self.of: dict[tuple[str, ThrottleKind], Gauge] = {}

    def follow(self, asked: list[Ask], now_us: int) -> None:
        """Take a clock that is more than a minute behind a gauge for one that was set back."""
        for ask in asked:
            gauge = self.of.get((ask.scope_id, ask.kind))
            if gauge is not None and gauge.at_us > now_us + MINUTE_US:
                self.of[ask.scope_id, ask.kind] = Gauge(gauge.full, now_us)

    def full(self, ask: Ask, now_us: int) -> Fraction:
        """How full a gauge is, drained at the limit of now. A clock that is behind drains nothing."""
        gauge = self.of.get((ask.scope_id, ask.kind))
        if gauge is None:
            return EMPTY
        drained = Fraction(ask.limit * max(0, now_us - gauge.at_us), MINUTE_US)
        return max(EMPTY, gauge.full - drained)

    def over(self, ask: Ask, now_us: int) -> tuple[Fraction, int | None]:
        """By how much a call does not fit, and in how many microseconds it would; None is never."""
        over = self.full(ask, now_us) + ask.amount - ask.limit
        if over <= 0 or not ask.limit:
            return over, None
        gauge = self.of.get((ask.scope_id, ask.kind))
        ahead_us = max(0, gauge.at_us - now_us) if gauge else 0
        return over, ceil(over * MINUTE_US / ask.limit) + ahead_us

    def fill(self, asked: list[Ask], now_us: int) -> None:
        """Note a call that was let through."""
        for ask in asked:
            gauge = self.of.get((ask.scope_id, ask.kind))
            latest_us = max(now_us, gauge.at_us) if gauge else now_us
            self.of[ask.scope_id, ask.kind] = Gauge(self.full(ask, now_us) + ask.amount, latest_us)

    def correct(self, scope_id: str, asked: int, used: int) -> None:
        """Make a token gauge stand as if a call had asked for what it used."""
        gauge = self.of.get((scope_id, "tokens"))
        if gauge is not None:
            self.of[scope_id, "tokens"] = Gauge(max(EMPTY, gauge.full + used - asked), gauge.at_us)

    def rate_statuses(self, asked: list[Ask], now_us: int) -> tuple[RateStatus, ...]:
        """Where a caller stands: of each kind, the first limit with the least remaining."""
        found: dict[ThrottleKind, RateStatus] = {}
        for ask in asked:
            full = self.full(ask, now_us)
            remaining = max(0, floor(ask.limit - full))
            reset_us = ceil(full * MINUTE_US / ask.limit) if ask.limit else MINUTE_US
            if ask.kind not in found or remaining < found[ask.kind].remaining:
                found[ask.kind] = RateStatus(ask.kind, ask.limit, remaining, reset_us)
        return tuple(found.values())


def asked_of(key: Key, limits: Limits, tokens: int) -> list[Ask]:
    """What a call asks, of the key's limits and of `limits`, the account's in force."""
    own = key.limits
    of_account = at_most(tokens, limits.tpm)
    wanted: list[tuple[str, str, ThrottleKind, int | None, int]] = [
        ("key_rpm", key.id, "requests", own.rpm, 1),
        ("account_rpm", key.account_id, "requests", limits.rpm, 1),
        ("key_tpm", key.id, "tokens", own.tpm, at_most(of_account, own.tpm)),
        ("account_tpm", key.account_id, "tokens", limits.tpm, of_account),
    ]
    return list(_set(wanted))


def at_most(tokens: int, limit: int | None) -> int:
    """Tokens as a limit counts them: a call larger than a whole minute's asks for all of these, if any."""
    return tokens if not limit else min(tokens, limit)


def _set(wanted: list[tuple[str, str, ThrottleKind, int | None, int]]) -> Iterator[Ask]:
    for source, scope_id, kind, limit, amount in wanted:
        if limit is not None and limit != NO_LIMIT:
            yield Ask(source, scope_id, kind, limit, amount)
