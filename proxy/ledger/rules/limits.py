"""Funds: how much a call may hold, and the limit to name when that is too little."""

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Final

import msgspec

from proxy.ledger.books import Books
from proxy.ledger.commands import Refused
from proxy.ledger.rows import UNLIMITED, Account, Key, Limits
from proxy.ledger.rules.throttles import RETRY_US
from proxy.ledger.spending import Bucket
from proxy.ledger.windows import DAY_US, Window, ends_us, iso, starts_of_day
from proxy.money import usd_string

CODES: Final[dict[Window, str]] = {
    "day": "daily_limit_exceeded",
    "week": "weekly_limit_exceeded",
    "month": "monthly_limit_exceeded",
    "total": "total_limit_exceeded",
}
"""The codes of refusals by spending limits; those of a key share one of their own."""
NAMES: Final[dict[Window, str]] = {
    "day": "daily spending limit",
    "week": "weekly spending limit",
    "month": "monthly spending limit",
    "total": "total spending limit",
}


class Constraint(msgspec.Struct, frozen=True):
    """One bound of what a call may hold: `headroom_nano` is left of it beside `held_nano` for other calls.

    `limit_nano` and `spent_nano` are None for the balance, `resets_at_us` for a bound that never resets.
    """

    source: str
    code: str
    what: str
    headroom_nano: int
    held_nano: int
    limit_nano: int | None = None
    spent_nano: int | None = None
    resets_at_us: int | None = None


def in_force(own: Limits, defaults: Limits) -> Limits:
    """An account's limits in force: its own, with the defaults where it sets none."""
    return defaults if own is UNLIMITED else _over(own, defaults)


@lru_cache(maxsize=1024)
def _over(own: Limits, defaults: Limits) -> Limits:
    return own.over(defaults)


def headroom_nano(books: Books, account: Account, key: Key, limits: Limits, at_us: int) -> int:
    """The most a call may hold now: the least of what is available and what spending limits leave.

    `limits` are the account's in force. Negative where a limit was lowered or overshot.
    """
    left_nano = account.available_nano
    if limits is UNLIMITED and key.limits is UNLIMITED:
        return left_nano
    for _, _, limit_nano, bucket in limited(books, account, key, limits, at_us):
        of_limit_nano = limit_nano - bucket.spent_nano - bucket.held_nano
        left_nano = left_nano if left_nano < of_limit_nano else of_limit_nano
    return left_nano


def least_nano(left_nano: int, constraints: Iterable[Constraint]) -> int:
    """The most a call may hold that other constraints bound as well."""
    return min((left_nano, *(each.headroom_nano for each in constraints)))


def shortage(
    books: Books,
    account: Account,
    key: Key,
    limits: Limits,
    at_us: int,
    *,
    required_nano: int,
    of_user: Sequence[Constraint] = (),
) -> Refused:
    """The refusal of a call that needs more than its headroom, by the constraint that is to blame.

    That is the tightest of those that would refuse it even if no call were in flight. If there is none, it is
    the tightest of all, and only then is it worth asking again soon. `of_user` are those of the call's end
    user. The refusal's `available_nano` is what a
    call could hold now.
    """
    short = [
        constraint
        for constraint in (*_constraints(books, account, key, limits, at_us), *of_user)
        if constraint.headroom_nano < required_nano
    ]
    lasting = [
        constraint for constraint in short if constraint.headroom_nano + constraint.held_nano < required_nano
    ]
    blamed = min(lasting or short, key=lambda constraint: constraint.headroom_nano)
    left_nano = max(0, min(constraint.headroom_nano for constraint in short))
    return Refused(
        blamed.code if lasting else "in_flight_budget_exhausted",
        _message(blamed, required_nano, lasting=bool(lasting)),
        limit_source=blamed.source,
        limit_nano=blamed.limit_nano,
        spent_nano=blamed.spent_nano,
        held_nano=blamed.held_nano,
        required_nano=required_nano,
        available_nano=left_nano,
        resets_at_us=blamed.resets_at_us,
        retry_after_us=None if lasting else RETRY_US,
    )


def limited(
    books: Books, account: Account, key: Key | None, limits: Limits, at_us: int
) -> Sequence[tuple[str, Window, int, Bucket]]:
    """Each spending limit that is set: its scope, its window, the limit, and the bucket that it bounds."""
    limited: list[tuple[str, Window, int, Bucket]] = []
    if limits is not UNLIMITED:
        for window, start_day, limit_nano in _set_on(limits, at_us // DAY_US):
            limited.append(("account", window, limit_nano, books.bucket(account.id, window, start_day)))
    if key is not None and key.limits is not UNLIMITED:
        for window, start_day, limit_nano in _set_on(key.limits, at_us // DAY_US):
            limited.append(("key", window, limit_nano, books.bucket(key.id, window, start_day)))
    return limited


@lru_cache(maxsize=1024)
def _set_on(limits: Limits, day: int) -> tuple[tuple[Window, int, int], ...]:
    """The windows of a day that have a spending limit, each with its first day and the limit."""
    found = ((window, start_day, limits.window_nano(window)) for window, start_day in starts_of_day(day))
    return tuple((window, start_day, nano) for window, start_day, nano in found if nano is not None)


def _constraints(
    books: Books, account: Account, key: Key, limits: Limits, at_us: int
) -> Iterator[Constraint]:
    available, held = account.available_nano, account.held_nano
    # What is only held is not gone: it may come back.
    code = "request_exceeds_balance" if available + held > 0 else "credit_balance_exhausted"
    yield Constraint("balance", code, "balance", available, held)
    for scope, window, limit_nano, bucket in limited(books, account, key, limits, at_us):
        yield Constraint(
            f"{scope}_{window}",
            CODES[window] if scope == "account" else "key_limit_exceeded",
            f"{scope}'s {NAMES[window]}",
            limit_nano - bucket.spent_nano - bucket.held_nano,
            bucket.held_nano,
            limit_nano,
            bucket.spent_nano,
            ends_us(window, bucket.start_day),
        )


def _message(blamed: Constraint, required_nano: int, *, lasting: bool) -> str:
    needs = f"this call needs at least {usd_string(required_nano)} USD"
    held = f"{usd_string(blamed.held_nano)} USD are held for calls in flight"
    left = f"{usd_string(max(0, blamed.headroom_nano))} USD are left"
    if not lasting:
        return f"Of the {blamed.what}, {held} and {left}; {needs} and may fit when one of them ends."
    if blamed.limit_nano is None or blamed.spent_nano is None:
        if blamed.headroom_nano + blamed.held_nano <= 0:
            return f"The balance is used up; {needs}. Add credit to go on."
        return f"The balance is too low: {left}, {held}; {needs}."
    limit = f"{blamed.what} of {usd_string(blamed.limit_nano)} USD"
    spent = f"{usd_string(blamed.spent_nano)} USD are spent"
    if required_nano > blamed.limit_nano:
        return f"The {limit} is too low for this call: {spent}, {held}; {needs}."
    resets = f" It resets at {iso(blamed.resets_at_us)}." if blamed.resets_at_us is not None else ""
    return f"The {limit} is reached: {spent}, {held}; {needs}.{resets}"
