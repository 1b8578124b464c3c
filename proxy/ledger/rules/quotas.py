"""The rules of quotas, which are counted in the membership, and of holdings, which decide about the group."""

from msgspec.structs import replace

from proxy.ledger.books import Books
from proxy.ledger.commands import Done, Refused
from proxy.ledger.quotas import Quota, SetHoldings
from proxy.ledger.rows import Account, Hold, Membership, Observed
from proxy.ledger.rules.accounts import move, no_account
from proxy.ledger.rules.registry import carries_out
from proxy.ledger.windows import DAY_US, iso
from proxy.pricing.charge import NO_CHARGE


def refusal(books: Books, account: Account, quota: Quota, at_us: int) -> Refused | None:
    """The refusal of a call that is one more than a quota has for its day, or None."""
    membership = _today(books, account, at_us)
    used = dict(membership.used).get(quota.name, 0)
    if used < quota.limit:
        return None
    resets_at_us = (membership.quota_day + 1) * DAY_US
    return Refused(
        "quota_exceeded",
        f"Of the {quota.limit} calls of {quota.name!r} in a day {used} are used. "
        f"They begin anew at {iso(resets_at_us)}.",
        limit_source=f"quota_{quota.name}",
        resets_at_us=resets_at_us,
    )


def take(books: Books, account: Account, quota: Quota, at_us: int) -> None:
    """Count a call, as it is let through: so no two calls at once can have the last one."""
    membership = _today(books, account, at_us)
    _put(books, membership, quota.name, 1)


def note(books: Books, hold: Hold, quota: Quota) -> None:
    """Note on a hold which quota its call counts to, for whoever closes it."""
    books.put_hold(replace(hold, observed=Observed({}, NO_CHARGE, quota=quota.name)))


def keep(hold: Hold, observed: Observed | None) -> Observed | None:
    """What is observed of a call now, with the quota that its hold says it counts to."""
    known = hold.observed
    if known is None or not known.quota or observed is None:
        return observed or known
    return replace(observed, quota=known.quota)


def give_back(books: Books, hold: Hold, name: str | None) -> None:
    """Count a call no more that came to nothing, unless its day is over; without a name as its hold says."""
    membership = books.memberships.get(hold.account_id)
    if name is None:
        name = hold.observed.quota if hold.observed is not None else ""
    if (
        membership is not None
        and membership.quota_day == hold.created_at_us // DAY_US
        and dict(membership.used).get(name)
    ):
        _put(books, membership, name, -1)


@carries_out(SetHoldings)
def set_holdings(books: Books, command: SetHoldings) -> Done | Refused:
    """Keep what was said last, and move the account where its group is another one for that."""
    account = books.accounts.get(command.account_id)
    if account is None:
        return no_account(command.account_id)
    membership = books.memberships.get(account.id) or Membership(account.id, account.group, command.at_us)
    if command.as_of_us < membership.held_at_us:
        return Done(account, replayed=True, membership=membership)
    if account.group and account.group not in command.groups:
        return Refused(
            "conflict", f"The account is in the group {account.group!r}, which no holdings decide."
        )
    books.memberships.put(replace(membership, held=command.held, held_at_us=command.as_of_us))
    if account.group != command.group:
        move(books, account, command.group, command.at_us, reason="holdings")
        account = replace(account, group=command.group)
        books.put_account(account)
    return Done(account, membership=books.memberships[account.id])


def _today(books: Books, account: Account, at_us: int) -> Membership:
    """The membership with nothing used yet on a new day. A clock that is behind counts to the latest day."""
    membership = books.memberships.get(account.id) or Membership(account.id, account.group, at_us)
    day = at_us // DAY_US
    return membership if membership.quota_day >= day else replace(membership, quota_day=day, used=())


def _put(books: Books, membership: Membership, name: str, change: int) -> None:
    used = dict(membership.used)
    used[name] = used.get(name, 0) + change
    books.memberships.put(replace(membership, used=tuple(sorted(used.items()))))
