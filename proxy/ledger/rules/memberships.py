"""The rules of what a group gives its accounts and asks of them: renewals, and the fees of plans.

What is posted goes by the rules of grants, fees and voids, as if each had been a command of its own.
"""

from collections.abc import Iterator
from typing import Final

from msgspec.structs import replace

from proxy.ledger.books import Books
from proxy.ledger.commands import Done, Grant, Refused
from proxy.ledger.dues import PLAN_KIND, ChangePlan, OfMembership, Renew, Renewal, TakeFee, renewal_id
from proxy.ledger.periods import Span, day_text, period_at, periods_before
from proxy.ledger.returns import VoidLot
from proxy.ledger.rows import NEVER_US, Account, Membership
from proxy.ledger.rules import alerts, commitments, lots
from proxy.ledger.rules.accounts import move, no_account
from proxy.ledger.rules.bills import Bill, bill_of, is_paid_ahead
from proxy.ledger.rules.commitments import RETRY_US
from proxy.ledger.rules.credit import grant
from proxy.ledger.rules.fees import take_fee, unpayable
from proxy.ledger.rules.registry import carries_out
from proxy.ledger.rules.returns import void_lot
from proxy.ledger.windows import iso

REFUND_KIND: Final = "refund"


class _Ids:
    """The ids under which a command posts: its own first, so that this one tells whether it has posted."""

    def __init__(self, command_id: str) -> None:
        self._command_id = command_id
        self._used = 0

    @property
    def free(self) -> str:
        """The next id."""
        return f"{self._command_id}:{self._used}" if self._used else self._command_id

    def use(self, result: Done | Refused) -> None:
        """Note that something was posted under it, unless that was refused."""
        self._used += isinstance(result, Done)


@carries_out(Renew)
def renew(books: Books, command: Renew) -> Done | Refused:
    """Do what is due for an account of a group; one that cannot pay in time is moved to another."""
    account = books.accounts.get(command.account_id)
    if account is None:
        return no_account(command.account_id)
    membership = books.memberships.get(account.id)
    if membership is None or account.group != command.group:
        return Done(account, membership=membership)
    account = lots.swept(books, account, command.at_us)
    after = _on_time(membership, command)
    bill = _bill(books, account, after, command)
    if bill is not None and _can_pay(books, account, after, command, bill):
        after = _paid(books, after, command, bill)
    elif bill is not None:
        after = replace(after, unpaid_us=after.unpaid_us or command.at_us)
    fee = command.dues.fee
    if fee is not None and after.unpaid_us and command.at_us >= after.unpaid_us + fee.grace_us:
        before = books.accounts[account.id]
        account = replace(before, group=fee.falls_to)
        books.put_account(account)
        _tell_unpaid(books, membership, command, bill)
        membership = move(books, before, fee.falls_to, command.at_us, reason="unpaid")
        return Done(account, membership=membership)
    done = _renewed(books, membership, after, command)
    if after.unpaid_us:
        _tell_unpaid(books, membership, command, bill)
    return done


@carries_out(ChangePlan)
def change_plan(books: Books, command: ChangePlan) -> Done | Refused:
    """Move an account to another plan at once, if it can pay for that."""
    account = books.accounts.get(command.account_id)
    if account is None:
        return no_account(command.account_id)
    if account.group != command.left or command.group == command.left:
        return Refused("conflict", f"The account is in the group {account.group!r} now.")
    account = lots.swept(books, account, command.at_us)
    before = books.memberships.get(account.id) or Membership(account.id, account.group, command.at_us)
    after = replace(
        _on_time(before, command), group=command.group, since_us=command.at_us, due_us=0, unpaid_us=0
    )
    bill = _bill(books, account, after, command)
    if bill is not None and not _can_pay(books, account, after, command, bill):
        return unpayable(bill.amount_nano, _payable_nano(books, account, after, command))
    books.put_account(replace(account, group=command.group))
    if bill is not None:
        after = _paid(books, after, command, bill)
    done = _renewed(books, before, after, command)
    alerts.plan_changed(
        *(books, account.id), left=command.left, group=command.group, reason="request", at_us=command.at_us
    )
    return done


def _tell_unpaid(books: Books, before: Membership, command: Renew, bill: Bill | None) -> None:
    """Tell that a bill cannot be paid, unless that was so before."""
    fee = command.dues.fee
    if bill is not None and fee is not None and not before.unpaid_us:
        asked = {"amount_nano": bill.amount_nano, "at_us": command.at_us}
        alerts.plan_unpaid(books, before.account_id, group=command.group, fee=fee, **asked)


def _on_time(membership: Membership, command: OfMembership) -> Membership:
    """The membership, without what a clock has paid or given that was far ahead."""
    at_us = command.at_us
    if is_paid_ahead(membership, at_us):
        # What was paid then counts for now: nobody pays twice because of a clock.
        span = period_at("month", at_us)
        membership = replace(membership, paid_from_us=span.start_us, paid_until_us=span.end_us)
    return membership


def _bill(books: Books, account: Account, membership: Membership, command: OfMembership) -> Bill | None:
    """The bill that is due now, if there is one, and if nothing has been posted under the command's id."""
    if (account.id, command.command_id) in books.commands:
        return None
    # What calls in flight were promised stays, so that nothing is given back for it.
    left_nano = lots.free_of_kinds_nano(books, account, (PLAN_KIND,), command.at_us)
    return bill_of(membership, command, left_nano)


def _can_pay(
    books: Books, account: Account, membership: Membership, command: OfMembership, bill: Bill
) -> bool:
    """Whether the funds pay a bill."""
    return bill.amount_nano <= 0 or bill.amount_nano <= _payable_nano(books, account, membership, command)


def _payable_nano(books: Books, account: Account, membership: Membership, command: OfMembership) -> int:
    """What is there for a bill: neither credit that a plan includes, nor what goes as one is left."""
    is_left = membership.plan not in ("", command.group)
    kinds = command.dues.ended_with(membership.plan) if is_left else (PLAN_KIND,)
    return account.available_nano - lots.free_of_kinds_nano(books, account, kinds, command.at_us)


def _paid(books: Books, membership: Membership, command: OfMembership, bill: Bill) -> Membership:
    """The membership once a bill is paid: what the plan before included goes, what this one does comes."""
    account_id, group, at_us = command.account_id, command.group, command.at_us
    ids = _Ids(command.command_id)
    if membership.plan not in ("", group):
        for lot in lots.of_kinds(books, account_id, command.dues.ended_with(membership.plan)):
            void = VoidLot(account_id, ids.free, lot.id, f"{membership.plan} is left", at_us)
            # Calls in flight may have been promised all of it.
            ids.use(void_lot(books, void))
    if bill.amount_nano > 0:
        assert bill.paid is not None, bill
        reason = f"{group}: {iso(bill.paid.start_us)} to {iso(bill.paid.end_us)}"
        taken = take_fee(books, TakeFee(account_id, ids.free, bill.amount_nano, reason, at_us))
        assert isinstance(taken, Done), taken
        ids.use(taken)
    elif bill.amount_nano < 0:
        note, lot_id = f"{membership.plan} is left", f"lot_{ids.free}"
        back = Grant(account_id, ids.free, lot_id, -bill.amount_nano, at_us, REFUND_KIND, note=note)
        ids.use(grant(books, back))
    if bill.paid is None:
        return replace(membership, plan="", paid_nano=0, included_nano=0, unpaid_us=0)
    fee = command.dues.fee
    assert fee is not None, command
    included_nano = _up_to(fee.included_most_nano, bill.included_nano, PLAN_KIND, books, account_id)
    if included_nano:
        terms = (PLAN_KIND, fee.included_priority, bill.included_until_us, group)
        lot_id = f"lot_{ids.free}"
        ids.use(grant(books, Grant(account_id, ids.free, lot_id, included_nano, at_us, *terms)))
    return replace(
        membership,
        plan=group,
        anchor_us=bill.anchor_us,
        paid_from_us=bill.paid.start_us,
        paid_until_us=bill.paid.end_us,
        paid_nano=bill.worth_nano,
        included_nano=bill.included_nano,
        unpaid_us=0,
    )


def _renewed(books: Books, before: Membership, after: Membership, command: OfMembership) -> Done:
    """Give the renewals that are due, take what was not spent, and say when to look again."""
    dues, at_us = command.dues, command.at_us
    due_us = NEVER_US
    if dues.is_any:
        # Once a day, as the configuration may say something else by then.
        due_us = period_at("day", at_us).end_us
    if dues.renewal is not None:
        after = _give(books, after, command, dues.renewal)
    if dues.fee is not None:
        due_us = min(due_us, after.paid_until_us if not after.unpaid_us else at_us + RETRY_US)
    if dues.minimum_nano:
        after, later_us = commitments.settled(books, after, command)
        due_us = min(due_us, later_us)
    elif after.settled_us:
        after = replace(after, settled_us=0)
    after = replace(after, due_us=due_us)
    if after != before:
        books.memberships.put(after)
    return Done(books.accounts[command.account_id], membership=after)


def _give(books: Books, membership: Membership, command: OfMembership, renewal: Renewal) -> Membership:
    """Give each renewal that is due, the earliest first. Each counts from the beginning of its period."""
    account_id, at_us = command.account_id, command.at_us
    current = period_at(renewal.every, at_us)
    following = renewal_id(renewal.every, period_at(renewal.every, current.end_us))
    if (account_id, following) in books.commands:
        # Clocks may be apart, so that somebody has begun the next period already.
        return membership
    if renewal.most_nano and membership.due_us and membership.renewed_us == current.end_us:
        # Its group has given it what there was room for, which may have been nothing.
        return membership
    for span in reversed(list(_missed(membership, current, renewal, at_us))):
        expires_at_us = _expiry_us(renewal, span)
        command_id = renewal_id(renewal.every, span)
        if (account_id, command_id) in books.commands or expires_at_us <= at_us:
            continue
        lot_id = f"lot_{account_id}_{renewal.every}_{day_text(span.start_us).replace('-', '')}"
        terms = (renewal.kind, renewal.priority, expires_at_us, command.group)
        amount_nano = _up_to(renewal.most_nano, renewal.amount_nano, renewal.kind, books, account_id)
        if amount_nano:
            grant(books, Grant(account_id, command_id, lot_id, amount_nano, at_us, *terms))
    return replace(membership, renewed_us=current.end_us)


def _missed(membership: Membership, current: Span, renewal: Renewal, at_us: int) -> Iterator[Span]:
    """The current period, and those before it in which the account was in its group and got nothing.

    A membership that is renewed until long after the current period has seen a clock that was ahead.
    """
    yield current
    if 0 < membership.renewed_us < current.end_us:
        for span in periods_before(renewal.every, at_us, renewal.back_fill + 1):
            if (
                membership.renewed_us <= span.start_us < current.start_us
                and span.end_us > membership.since_us
            ):
                yield span


def _expiry_us(renewal: Renewal, span: Span) -> int:
    if renewal.lasts_us >= NEVER_US:
        return NEVER_US
    return span.start_us + renewal.lasts_us if renewal.lasts_us else span.end_us


def _up_to(most_nano: int, amount_nano: int, kind: str, books: Books, account_id: str) -> int:
    """How much credit of a kind is given, where an account has no more than so much of it; 0 is no bound."""
    if not most_nano:
        return amount_nano
    left_nano = sum(lot.remaining_nano for lot in lots.of_kinds(books, account_id, (kind,)))
    return min(amount_nano, max(0, most_nano - left_nano))
