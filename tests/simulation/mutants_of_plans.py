"""Deliberate faults of the rules of renewals and plans."""

from msgspec.structs import replace

from proxy.ledger import rules
from proxy.ledger.books import Books
from proxy.ledger.commands import Authorize, Command, Recover, Result, Void
from proxy.ledger.dues import RENEWAL, ChangePlan, OfMembership, Renew
from proxy.ledger.quotas import SetHoldings
from proxy.ledger.windows import DAY_US


def renews_again_who_moves(books: Books, command: Command) -> Result:
    """Nobody remembers which days have been renewed."""
    if isinstance(command, OfMembership):
        # What the batch itself has put is still to be written.
        known = books.commands.keys() - books.commands.changed
        for key in [key for key in known if key[1].startswith(RENEWAL)]:
            del books.commands[key]
        membership = books.memberships.get(command.account_id)
        if membership is not None:
            books.memberships[membership.account_id] = replace(membership, renewed_us=0)
    return rules.apply(books, command)


def takes_a_fee_again(books: Books, command: Command) -> Result:
    """A fee is asked for whether or not it has been paid."""
    if isinstance(command, Renew):
        membership = books.memberships.get(command.account_id)
        if membership is not None:
            books.memberships[membership.account_id] = replace(membership, paid_until_us=0)
    return rules.apply(books, command)


def gives_nothing_back(books: Books, command: Command) -> Result:
    """Who leaves a plan gets nothing for the rest of its time."""
    if isinstance(command, ChangePlan):
        command = replace(command, dues=replace(command.dues, is_prorated=False))
    return rules.apply(books, command)


def keeps_who_cannot_pay(books: Books, command: Command) -> Result:
    """Grace never ends."""
    fee = command.dues.fee if isinstance(command, Renew) else None
    if isinstance(command, Renew) and fee is not None:
        command = replace(command, dues=replace(command.dues, fee=replace(fee, grace_us=3_650 * DAY_US)))
    return rules.apply(books, command)


def counts_from_when_it_gives(books: Books, command: Command) -> Result:
    """A renewal lasts from when it is given, and not from midnight."""
    renewal = command.dues.renewal if isinstance(command, OfMembership) else None
    if isinstance(command, OfMembership) and renewal is not None and renewal.every == "day":
        lasts_us = (renewal.lasts_us or DAY_US) + command.at_us % DAY_US
        command = replace(command, dues=replace(command.dues, renewal=replace(renewal, lasts_us=lasts_us)))
    return rules.apply(books, command)


def lets_everybody_have_the_last_one(books: Books, command: Command) -> Result:
    """A quota is looked at, and not counted."""
    before = dict(books.memberships)
    result = rules.apply(books, command)
    if isinstance(command, Authorize):
        books.memberships.update(before)
    return result


def keeps_what_came_to_nothing(books: Books, command: Command) -> Result:
    """A call that was voided stays one of its day."""
    return rules.apply(books, replace(command, quota="") if isinstance(command, Void) else command)


def keeps_what_a_crash_cut_off(books: Books, command: Command) -> Result:
    """A call that nobody has got anything of, as its process is gone, stays one of its day."""
    return rules.apply(books, replace(command, quota="") if isinstance(command, Recover) else command)


def believes_what_is_old(books: Books, command: Command) -> Result:
    """What an account holds is what was said last, whatever time that was about."""
    if isinstance(command, SetHoldings):
        command = replace(command, as_of_us=command.at_us + 10**15)
    return rules.apply(books, command)


def asks_for_twice_the_minimum(books: Books, command: Command) -> Result:
    """It is twice as much."""
    if isinstance(command, OfMembership) and command.dues.minimum_nano:
        command = replace(command, dues=replace(command.dues, minimum_nano=command.dues.minimum_nano * 2))
    return rules.apply(books, command)


def ends_nothing_with_a_plan(books: Books, command: Command) -> Result:
    """What should end as an account cancels its plan stays."""
    if isinstance(command, OfMembership):
        command = replace(command, dues=replace(command.dues, ends=()))
    return rules.apply(books, command)


def gives_more_than_fits(books: Books, command: Command) -> Result:
    """Credit that comes again and again piles up."""
    if isinstance(command, OfMembership):
        dues = command.dues
        renewal = dues.renewal and replace(dues.renewal, most_nano=0)
        command = replace(command, dues=replace(dues, renewal=renewal))
    return rules.apply(books, command)


def takes_the_fee_of_a_year_for_a_month(books: Books, command: Command) -> Result:
    """Every time of a fee is a month."""
    fee = command.dues.fee if isinstance(command, OfMembership) else None
    if isinstance(command, OfMembership) and fee is not None:
        command = replace(command, dues=replace(command.dues, fee=replace(fee, months=1)))
    return rules.apply(books, command)


def ends_included_credit_with_its_fee(books: Books, command: Command) -> Result:
    """What is left of it goes into no later time."""
    fee = command.dues.fee if isinstance(command, OfMembership) else None
    if isinstance(command, OfMembership) and fee is not None:
        command = replace(command, dues=replace(command.dues, fee=replace(fee, included_lasts=1)))
    return rules.apply(books, command)


RULES = (
    lets_everybody_have_the_last_one,
    keeps_what_came_to_nothing,
    keeps_what_a_crash_cut_off,
    believes_what_is_old,
    asks_for_twice_the_minimum,
    renews_again_who_moves,
    takes_a_fee_again,
    gives_nothing_back,
    keeps_who_cannot_pay,
    counts_from_when_it_gives,
    ends_nothing_with_a_plan,
    gives_more_than_fits,
    takes_the_fee_of_a_year_for_a_month,
    ends_included_credit_with_its_fee,
)
"""All of them."""
