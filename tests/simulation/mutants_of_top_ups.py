"""Deliberate faults of the rules of top-ups."""

from msgspec.structs import replace

from proxy.ledger import rules
from proxy.ledger.books import Books
from proxy.ledger.commands import Command, Result
from proxy.ledger.top_up_rows import TopUp
from proxy.ledger.top_ups import ConfirmTopUp, OpenTopUp, RefundTopUp, ReverseTopUp


def credits_whatever_was_paid(books: Books, command: Command) -> Result:
    """A payment of another amount than was asked for is as good."""
    top_up = _top_up(books, command)
    if isinstance(command, ConfirmTopUp) and top_up is not None:
        command = replace(command, price_cents=top_up.price_cents)
    return rules.apply(books, command)


def credits_each_payment_told(books: Books, command: Command) -> Result:
    """That a payment has paid another top-up before does not count."""
    before = dict(books.references)
    if isinstance(command, ConfirmTopUp):
        books.references.clear()
    result = rules.apply(books, command)
    books.references.update(before | books.references)
    return result


def makes_one_lot_of_both(books: Books, command: Command) -> Result:
    """The bonus is put in as if it had been paid for."""
    top_up = _top_up(books, command)
    if isinstance(command, ConfirmTopUp) and top_up is not None:
        whole = replace(top_up, credit_nano=top_up.credit_nano + top_up.bonus_nano, bonus_nano=0)
        books.top_ups[top_up.account_id, top_up.id] = whole
        result = rules.apply(books, command)
        after = books.top_ups[top_up.account_id, top_up.id]
        figures = {"credit_nano": top_up.credit_nano, "bonus_nano": top_up.bonus_nano}
        books.top_ups[top_up.account_id, top_up.id] = replace(after, **figures)
        return result
    return rules.apply(books, command)


def gives_up_what_failed(books: Books, command: Command) -> Result:
    """What was paid after it had failed is kept by the house."""
    top_up = _top_up(books, command)
    if isinstance(command, ConfirmTopUp) and top_up is not None and top_up.state == "failed":
        command = replace(command, price_cents=-1)
    return rules.apply(books, command)


def opens_any_number(books: Books, command: Command) -> Result:
    """Pending top-ups are not counted."""
    if isinstance(command, OpenTopUp):
        command = replace(command, most_pending=10**6)
    return rules.apply(books, command)


def sells_to_any_group(books: Books, command: Command) -> Result:
    """What is offered to the accounts of one group is sold to those of all others."""
    if isinstance(command, OpenTopUp):
        command = replace(command, group=None)
    return rules.apply(books, command)


def refunds_what_was_refunded(books: Books, command: Command) -> Result:
    """What was paid back of a top-up before is not kept in mind."""
    top_up = _top_up(books, command)
    if isinstance(command, RefundTopUp) and top_up is not None:
        fresh = replace(top_up, refunded_cents=0, disputed_cents=0)
        books.top_ups[top_up.account_id, top_up.id] = fresh
    return rules.apply(books, command)


def leaves_the_bonus(books: Books, command: Command) -> Result:
    """Who gets the price back keeps the bonus."""
    top_up = _top_up(books, command)
    if isinstance(command, RefundTopUp | ReverseTopUp) and top_up is not None:
        books.top_ups[top_up.account_id, top_up.id] = replace(top_up, bonus_lot_id="lot_nobody")
        result = rules.apply(books, command)
        after = books.top_ups[top_up.account_id, top_up.id]
        books.top_ups[top_up.account_id, top_up.id] = replace(after, bonus_lot_id=top_up.bonus_lot_id)
        return result
    return rules.apply(books, command)


def lets_go_of_what_was_used(books: Books, command: Command) -> Result:
    """Used credit whose price is lost is never owed."""
    if isinstance(command, ReverseTopUp):
        command = replace(command, on_used="forgive")
    return rules.apply(books, command)


def takes_back_once_more(books: Books, command: Command) -> Result:
    """A sum that is known is taken back again when it is told again."""
    top_up = _top_up(books, command)
    if isinstance(command, ReverseTopUp) and top_up is not None:
        fresh = replace(top_up, refunded_cents=0, disputed_cents=0, returned_nano=0, owed_nano=0)
        books.top_ups[top_up.account_id, top_up.id] = fresh
    return rules.apply(books, command)


def _top_up(books: Books, command: Command) -> TopUp | None:
    if not isinstance(command, ConfirmTopUp | RefundTopUp | ReverseTopUp):
        return None
    return books.top_ups.get((command.account_id, command.top_up_id))


RULES = (
    credits_whatever_was_paid,
    credits_each_payment_told,
    makes_one_lot_of_both,
    gives_up_what_failed,
    opens_any_number,
    sells_to_any_group,
    refunds_what_was_refunded,
    leaves_the_bonus,
    lets_go_of_what_was_used,
    takes_back_once_more,
)
"""All of them."""
