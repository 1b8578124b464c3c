"""The rules of end users: what each of an account's may spend, ask for in a minute, and have in flight.

A call is counted where limits of end users are in force for its account or key, and its end user's row has
been loaded. Windows are those of its authorization, as with accounts and keys.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from msgspec.structs import replace

from proxy.ledger.books import Books
from proxy.ledger.commands import Authorize, Done, RateStatus, Refused, Regrouped
from proxy.ledger.end_user_rows import (
    NEW_A_MINUTE,
    NEWCOMERS,
    RATES_US,
    UNLIMITED_USER,
    EndUser,
    EndUserLimits,
    EndUserTerms,
    UserLevel,
    end_us,
    kept_until_us,
    moved,
    summed_until_us,
    windows_of,
)
from proxy.ledger.end_users import ForgetEndUsers, LimitEndUser
from proxy.ledger.rows import UNLIMITED, Call, Hold, Key, Limits, Throttle, ThrottleKind
from proxy.ledger.rules import alerts, throttles
from proxy.ledger.rules.accounts import no_account
from proxy.ledger.rules.limits import CODES, NAMES, Constraint, in_force
from proxy.ledger.rules.registry import carries_out
from proxy.ledger.rules.throttles import Demand
from proxy.ledger.windows import DAY_US

_NO_TERMS: Final = EndUserTerms()
_REQUIRED: Final = Refused(
    "end_user_required",
    "Say whom the call is for, as `safety_identifier` or `user`, or as `end_user` of an event: "
    "the account has to.",
)


class Levels:
    """The leaky buckets of a row, as the rules of rate limits use them."""

    def __init__(self, row: EndUser | None) -> None:
        id_, levels = ("", ()) if row is None else (row.id, row.levels)
        self.throttles: dict[tuple[str, ThrottleKind], Throttle] = {
            (id_, each.kind): Throttle(id_, each.kind, each.level, each.at_us) for each in levels
        }

    def throttle(self, scope_id: str, kind: ThrottleKind, at_us: int) -> Throttle:
        """A throttle, empty when there is none yet."""
        return self.throttles.get((scope_id, kind)) or Throttle(scope_id, kind, 0, at_us)

    def put_throttle(self, throttle: Throttle) -> None:
        """Replace or add a throttle."""
        self.throttles[throttle.scope_id, throttle.kind] = throttle

    def told(self) -> tuple[UserLevel, ...]:
        """As a row has them."""
        found = sorted(self.throttles.values(), key=lambda each: each.kind)
        return tuple(UserLevel(each.kind, each.level, each.at_us) for each in found)


class CountedCall:
    """A call where limits of end users are in force: its end user's row, and those of its limits.

    `tokens` is what it takes of every limit on tokens. One that says of nobody has no row, and nothing bounds
    it. One that is `barred` passes in no case.
    """

    def __init__(
        self,
        tokens: int,
        row: EndUser | None = None,
        limits: EndUserLimits = UNLIMITED_USER,
        *,
        barred: Refused | Regrouped | None = None,
        newcomers: Demand | None = None,
    ) -> None:
        """`newcomers` is what an end user that is not known takes of the account's limit on these."""
        self.tokens = tokens
        self.row = row
        self.limits = limits
        self.barred = barred
        self.newcomers = newcomers
        self.levels = Levels(row)
        self.asked = () if row is None else _demands(row.id, limits, tokens)

    def constraints(self, at_us: int) -> Sequence[Constraint]:
        """Each spending limit of the end user, with what is left of it."""
        return () if self.row is None else constraints(self.row, self.limits, at_us)

    def rate_statuses(self, others: tuple[RateStatus, ...], at_us: int) -> tuple[RateStatus, ...]:
        """For requests and for tokens the limit with the least remaining, of these and of others."""
        tightest = {each.kind: each for each in others}
        for mine in throttles.rate_statuses(self.levels, self.asked, at_us):
            other = tightest.get(mine.kind)
            if other is None or mine.remaining < other.remaining:
                tightest[mine.kind] = mine
        return tuple(tightest.values())


@lru_cache(maxsize=1024)
def terms_of(limits: Limits, of_key: Limits) -> EndUserTerms:
    """The terms of a key's calls: the key's own, with the account's in force where it sets none."""
    terms = limits.end_users or _NO_TERMS
    return terms if of_key.end_users is None else of_key.end_users.over(terms)


def counted(books: Books, command: Authorize, limits: Limits, of_key: Limits) -> CountedCall:
    """A call with what is known of its end user.

    One that has to count but was not made so is for the caller to make anew.
    """
    call, terms = command.call, terms_of(limits, of_key)
    if not call.end_user:
        return CountedCall(command.tokens, barred=_REQUIRED if terms.is_required else None)
    if not call.counts_user:
        return CountedCall(command.tokens, barred=Regrouped(command.group, counts_user=True))
    known = books.end_users.get((call.account_id, call.end_user))
    row = known or EndUser(call.account_id, call.end_user)
    in_force = row.limits.over(terms.limits)
    newcomers = None
    if known is None and in_force != UNLIMITED_USER:
        most = NEW_A_MINUTE if terms.new_rpm is None else terms.new_rpm
        newcomers = Demand("account_newcomers", NEWCOMERS, "requests", most, 1)
    tokens = throttles.capped(throttles.capped(command.tokens, in_force.tpm), limits.tpm)
    return CountedCall(tokens, row, in_force, newcomers=newcomers)


def constraints(row: EndUser, limits: EndUserLimits, at_us: int) -> list[Constraint]:
    """Each spending limit of an end user, with what is left of it in the window of an instant."""
    found = []
    for window, start_day in windows_of(at_us // DAY_US):
        limit_nano = limits.window_nano(window)
        if limit_nano is None:
            continue
        sums = row.sums_of(window, start_day)
        left_nano = limit_nano - sums.spent_nano - sums.held_nano
        found.append(
            Constraint(
                *(f"end_user_{window}", CODES[window], f"end user's {NAMES[window]}", left_nano),
                *(sums.held_nano, limit_nano, sums.spent_nano, end_us(sums)),
            )
        )
    return found


def of_hold(books: Books, hold: Hold, limits: Limits, of_key: Limits) -> list[Constraint]:
    """The spending limits of the end user of an open hold, in the windows in which it was made."""
    row = books.end_users[hold.account_id, hold.call.end_user]
    in_force = row.limits.over(terms_of(limits, of_key).limits)
    return constraints(row, in_force, hold.created_at_us)


def refusal(books: Books, user: CountedCall, at_us: int) -> Refused | None:
    """The refusal of a call by its end user's rates and calls in flight, or by how many are new; or None."""
    row, most = user.row, user.limits.concurrency
    if row is None:
        return None
    throttles.follow(user.levels, user.asked, at_us)
    if user.levels.told() != row.levels:
        user.row = row = replace(row, levels=user.levels.told())
        books.end_users.put(row)
    refused = throttles.refusal(user.levels, user.asked, at_us)
    if refused is None and most is not None and row.open_holds >= most:
        refused = throttles.one_too_many("end_user", most)
    if refused is None and user.newcomers is not None:
        _, levels = _newcomers(books, row.account_id, user.newcomers, at_us)
        refused = throttles.refusal(levels, [user.newcomers], at_us)
    return refused


def take(books: Books, user: CountedCall, hold: Hold, at_us: int) -> None:
    """Count a call that was let through, and one more end user if it is new."""
    row = user.row
    if row is None:
        return
    throttles.charge(user.levels, user.asked, at_us)
    books.end_users.put(
        replace(
            row,
            open_holds=row.open_holds + 1,
            kept_until_us=max(row.kept_until_us, kept_until_us(user.limits, at_us)),
            sums=moved(row.sums, at_us // DAY_US, at_us, held_nano=hold.amount_nano),
            levels=user.levels.told(),
        )
    )
    if user.newcomers is not None:
        of_all, levels = _newcomers(books, row.account_id, user.newcomers, at_us)
        throttles.charge(levels, [user.newcomers], at_us)
        books.end_users.put(replace(of_all, kept_until_us=at_us + RATES_US, levels=levels.told()))
    tokens = throttles.charged_tokens(user.asked)
    if tokens > hold.tokens:
        books.put_hold(replace(hold, tokens=tokens))


def extend(books: Books, hold: Hold, amount_nano: int, at_us: int) -> None:
    """Hold more for the end user of an open hold."""
    row = books.end_users[hold.account_id, hold.call.end_user]
    sums = moved(row.sums, hold.created_at_us // DAY_US, at_us, held_nano=amount_nano)
    books.end_users.put(replace(row, sums=sums))


def close(books: Books, hold: Hold, at_us: int, *, charged_nano: int, used_tokens: int) -> None:
    """Count a call no more that has ended, but for what it was charged and the tokens that it used."""
    row = books.end_users[hold.account_id, hold.call.end_user]
    day, held_nano = hold.created_at_us // DAY_US, -hold.amount_nano
    levels = Levels(row)
    if hold.tokens:
        throttles.correct_one(levels, row.id, hold.tokens, used_tokens)
    after = replace(
        row,
        open_holds=row.open_holds - 1,
        sums=moved(row.sums, day, at_us, spent_nano=charged_nano, held_nano=held_nano),
        levels=levels.told(),
    )
    books.end_users.put(after)
    if charged_nano:
        _tell(books, hold.call, row, after, at_us)


def recorded_for(books: Books, call: Call, key: Key | None, limits: Limits) -> EndUserLimits | None:
    """The limits in force for the end user of what was used without a hold; None where none counts it."""
    of_key = UNLIMITED if key is None else key.limits
    if not call.end_user or not (limits.end_users or of_key.end_users or call.counts_user):
        return None
    known = books.end_users.get((call.account_id, call.end_user))
    own = UNLIMITED_USER if known is None else known.limits
    return own.over(terms_of(limits, of_key).limits)


def spend(
    books: Books, call: Call, limits: EndUserLimits, used_at_us: int, at_us: int, *, charged_nano: int
) -> None:
    """Count what was used without a hold. Nothing refuses it, and it is no call of any rate.

    Who is not known gets a row only where there is something that a spending limit still counts.
    """
    known = books.end_users.get((call.account_id, call.end_user))
    until_us = summed_until_us(limits, used_at_us)
    if not charged_nano or (known is None and until_us <= at_us):
        return
    row = known or EndUser(call.account_id, call.end_user)
    sums = moved(row.sums, used_at_us // DAY_US, at_us, spent_nano=charged_nano)
    after = replace(row, kept_until_us=max(row.kept_until_us, until_us), sums=sums)
    books.end_users.put(after)
    _tell(books, call, row, after, at_us)


@carries_out(LimitEndUser)
def limit_end_user(books: Books, command: LimitEndUser) -> Done | Refused:
    """Set an end user's own limits. From then on every call of the account is looked at for whom it is."""
    account = books.accounts.get(command.account_id)
    if account is None:
        return no_account(command.account_id)
    known = books.end_users.get((account.id, command.end_user))
    row = replace(known or EndUser(account.id, command.end_user), limits=command.limits)
    if known is not None or row.limits != UNLIMITED_USER:
        books.end_users.put(row)
    if account.limits.end_users is None:
        account = replace(account, limits=replace(account.limits, end_users=_NO_TERMS))
        books.put_account(account)
    return Done(account, end_user=row)


@carries_out(ForgetEndUsers)
def forget_end_users(books: Books, command: ForgetEndUsers) -> Done | Refused:
    """Delete the rows of end users of whom nothing is left to count; the others stay."""
    account = books.accounts.get(command.account_id)
    if account is None:
        return no_account(command.account_id)
    for each in command.end_users:
        row = books.end_users.get((account.id, each))
        if row is not None and row.may_go(command.at_us):
            books.end_users.drop(row)
    return Done(account)


def _tell(books: Books, call: Call, before: EndUser, after: EndUser, at_us: int) -> None:
    """Tell which parts of its limits an end user has passed, by those that are in force by now."""
    if not books.alerts.records:
        return
    account, key = books.accounts[call.account_id], books.keys.get(call.key_id)
    limits = in_force(account.limits, books.alerts.groups.of(account.group).limits)
    terms = terms_of(limits, UNLIMITED if key is None else key.limits)
    alerts.user_spent(books, account, before, after, after.limits.over(terms.limits), at_us=at_us)


def _newcomers(books: Books, account_id: str, demand: Demand, at_us: int) -> tuple[EndUser, Levels]:
    """The row that counts the end users of an account that are not known, and its level now."""
    row = books.end_users.get((account_id, NEWCOMERS)) or EndUser(account_id, NEWCOMERS)
    levels = Levels(row)
    throttles.follow(levels, [demand], at_us)
    if levels.told() != row.levels:
        row = replace(row, levels=levels.told())
        books.end_users.put(row)
    return row, levels


def _demands(id_: str, limits: EndUserLimits, tokens: int) -> Sequence[Demand]:
    asked = []
    if throttles.is_set(limits.rpm):
        asked.append(Demand("end_user_rpm", id_, "requests", limits.rpm, 1))
    if throttles.is_set(limits.tpm):
        asked.append(Demand("end_user_tpm", id_, "tokens", limits.tpm, tokens))
    return asked
