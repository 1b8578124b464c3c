"""Rate limits: leaky buckets for requests and tokens a minute, and the count of calls at once.

A level is in units times 60,000,000, so that a limit of N a minute drains exactly N for each microsecond.
"""

from collections.abc import Sequence
from typing import Final, Protocol, TypeGuard

import msgspec

from proxy.ledger.books import Books
from proxy.ledger.commands import RateStatus, Refused
from proxy.ledger.rows import NO_LIMIT, Account, Hold, Key, Limits, Throttle, ThrottleKind

MINUTE_US: Final = 60_000_000
RETRY_US: Final = 1_000_000
"""When to ask again for what the end of another call will free. Nobody knows when it ends."""
_UNITS: Final = {"rpm": "requests", "tpm": "tokens", "newcomers": "new end users"}
"""What limits are of, by the end of their source."""
SKEW_US: Final = MINUTE_US
"""How far the clocks of processes may be apart. What is further ahead has seen a clock that was set back."""


class Demand(msgspec.Struct, frozen=True, gc=False):
    """What a call takes of a rate limit: `amount` of `limit` a minute. `source` is such as `key_rpm`."""

    source: str
    scope_id: str
    kind: ThrottleKind
    limit: int
    amount: int


class Throttles(Protocol):
    """What keeps the throttles: the books those of accounts and keys, a row of an end user its own."""

    throttles: dict[tuple[str, ThrottleKind], Throttle]

    def throttle(self, scope_id: str, kind: ThrottleKind, at_us: int) -> Throttle:
        """A throttle, empty when there is none yet."""
        ...

    def put_throttle(self, throttle: Throttle) -> None:
        """Replace or add a throttle."""
        ...


def demands(key: Key, limits: Limits, tokens: int) -> Sequence[Demand]:
    """What a call of `tokens` takes of its rate limits, the key's before the account's.

    `limits` are the account's in force. A call that exceeds a whole minute's tokens takes all of them, or it
    could never pass.
    """
    own = key.limits
    if own.rpm is None and own.tpm is None and limits.rpm is None and limits.tpm is None:
        return ()
    asked: list[Demand] = []
    if is_set(own.rpm):
        asked.append(Demand("key_rpm", key.id, "requests", own.rpm, 1))
    if is_set(limits.rpm):
        asked.append(Demand("account_rpm", key.account_id, "requests", limits.rpm, 1))
    tokens = capped(tokens, limits.tpm)
    if is_set(own.tpm):
        asked.append(Demand("key_tpm", key.id, "tokens", own.tpm, capped(tokens, own.tpm)))
    if is_set(limits.tpm):
        asked.append(Demand("account_tpm", key.account_id, "tokens", limits.tpm, tokens))
    return asked


def charged_tokens(asked: Sequence[Demand]) -> int:
    """The tokens of a hold: what the account's token limit is charged, else what the key's is."""
    return max((demand.amount for demand in asked if demand.kind == "tokens"), default=0)


def follow(books: Throttles, asked: Sequence[Demand], at_us: int) -> None:
    """Set throttles back to a clock that was set back, with their levels: from now on they drain again.

    No minute counts twice, and nobody waits for the clock to catch up. This is written even if the call is
    refused, as the next one could not know otherwise how long the throttle has been draining.
    """
    for demand in asked:
        throttle = books.throttles.get((demand.scope_id, demand.kind))
        if throttle is not None and throttle.at_us - at_us > SKEW_US:
            books.put_throttle(Throttle(demand.scope_id, demand.kind, throttle.level, at_us))


def refusal(books: Throttles, asked: Sequence[Demand], at_us: int) -> Refused | None:
    """The refusal by the first rate limit that a call exceeds, or None."""
    for demand in asked:
        over = _level(books, demand, at_us) + (demand.amount - demand.limit) * MINUTE_US
        if over <= 0:
            continue
        scope, _, unit = demand.source.rpartition("_")
        what = _UNITS[unit]
        wait_us = None
        hint = "No call can pass."
        if demand.limit:
            standstill_us = max(0, books.throttle(demand.scope_id, demand.kind, at_us).at_us - at_us)
            wait_us = -(-over // demand.limit) + standstill_us
            hint = f"This call fits in {-(-wait_us // 1_000_000)} s."
        return Refused(
            "rate_limit_exceeded",
            f"The {scope.replace('_', ' ')}'s limit of {demand.limit} {what} a minute is reached. {hint}",
            limit_source=demand.source,
            retry_after_us=wait_us,
        )
    return None


def crowded(account: Account, key: Key, limits: Limits) -> Refused | None:
    """The refusal of a call that is one too many at once, or None. `limits` are the account's in force."""
    of_key, of_account = key.limits.concurrency, limits.concurrency
    if of_key is not None and key.open_holds >= of_key:
        return one_too_many("key", of_key)
    if of_account is not None and account.open_holds >= of_account:
        return one_too_many("account", of_account)
    return None


def one_too_many(scope: str, limit: int) -> Refused:
    """The refusal of a call beyond a limit of calls at once."""
    return Refused(
        "concurrency_limit_exceeded",
        f"The {scope.replace('_', ' ')}'s limit of {limit} calls at once is reached.",
        limit_source=f"{scope}_concurrency",
        retry_after_us=RETRY_US,
    )


def charge(books: Throttles, asked: Sequence[Demand], at_us: int) -> None:
    """Charge every rate limit what a call takes of it."""
    for demand in asked:
        level = _level(books, demand, at_us) + demand.amount * MINUTE_US
        latest_us = max(at_us, books.throttle(demand.scope_id, demand.kind, at_us).at_us)
        books.put_throttle(Throttle(demand.scope_id, demand.kind, level, latest_us))


def correct(books: Books, hold: Hold, key: Key, used_tokens: int) -> None:
    """Charge the token limits what a call has used in place of what it was charged at its start.

    If a limit changed while the call was in flight, the correction may be off by as much as that change.
    """
    if not hold.tokens:
        return
    correct_one(books, hold.account_id, hold.tokens, used_tokens)
    correct_one(books, key.id, capped(hold.tokens, key.limits.tpm), used_tokens)


def correct_one(books: Throttles, scope_id: str, tokens: int, used_tokens: int) -> None:
    """Charge one token limit what a call has used in place of what it was charged, if it was."""
    throttle = books.throttles.get((scope_id, "tokens"))
    if throttle is not None and tokens != used_tokens:
        level = max(0, throttle.level + (used_tokens - tokens) * MINUTE_US)
        books.put_throttle(Throttle(scope_id, "tokens", level, throttle.at_us))


def rate_statuses(books: Throttles, asked: Sequence[Demand], at_us: int) -> tuple[RateStatus, ...]:
    """For requests and for tokens, the limit with the least remaining."""
    if not asked:
        return ()
    tightest: dict[ThrottleKind, RateStatus] = {}
    for demand in asked:
        level = _level(books, demand, at_us)
        remaining = max(0, (demand.limit * MINUTE_US - level) // MINUTE_US)
        reset_us = -(-level // demand.limit) if demand.limit else MINUTE_US
        if demand.kind not in tightest or remaining < tightest[demand.kind].remaining:
            tightest[demand.kind] = RateStatus(demand.kind, demand.limit, remaining, reset_us)
    return tuple(tightest.values())


def _level(books: Throttles, demand: Demand, at_us: int) -> int:
    """The level now, under the limit now. By a clock that is a little behind nothing has drained."""
    throttle = books.throttles.get((demand.scope_id, demand.kind))
    if throttle is None:
        return 0
    return max(0, throttle.level - demand.limit * max(0, at_us - throttle.at_us))


def is_set(limit: int | None) -> TypeGuard[int]:
    """Whether there is such a limit."""
    return limit is not None and limit != NO_LIMIT


def capped(tokens: int, limit: int | None) -> int:
    """What a call of so many tokens takes of a limit: no more than all of it."""
    # A limit of nothing caps nothing, so that it refuses the call; capped to nothing the call would pass.
    return min(tokens, limit) if limit else tokens
