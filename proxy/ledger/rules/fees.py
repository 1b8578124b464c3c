"""The rule of fees: what is taken beside the charges of calls, from the same funds."""

from proxy.ledger.books import Books
from proxy.ledger.commands import Done, Refused
from proxy.ledger.dues import PLAN_KIND, TakeFee
from proxy.ledger.rules import lots
from proxy.ledger.rules.accounts import no_account
from proxy.ledger.rules.once import carried_out, earlier_result
from proxy.ledger.rules.registry import carries_out
from proxy.money import usd_string


@carries_out(TakeFee)
def take_fee(books: Books, command: TakeFee) -> Done | Refused:
    """Take a fee in the order of all draws, from what no call in flight was promised.

    Credit that a plan has included pays for calls, and for no fee.
    """
    account = books.accounts.get(command.account_id)
    if account is None:
        return no_account(command.account_id)
    earlier = earlier_result(books, account, command)
    if earlier:
        return earlier
    if command.amount_nano <= 0:
        return Refused("invalid_value", "A fee must be of more than nothing.")
    account = lots.swept(books, account, command.at_us)
    at_us = command.at_us
    payable_nano = account.available_nano - lots.free_of_kinds_nano(books, account, (PLAN_KIND,), at_us)
    if payable_nano < command.amount_nano:
        return unpayable(command.amount_nano, payable_nano)
    account, draws = lots.take(
        books, account, command.amount_nano, since_us=at_us, now_us=at_us, spared=PLAN_KIND
    )
    return carried_out(books, account, command, -command.amount_nano, draws)


def unpayable(amount_nano: int, available_nano: int) -> Refused:
    """The refusal of a fee that is more than what is available."""
    return Refused(
        "request_exceeds_balance" if available_nano > 0 else "credit_balance_exhausted",
        f"The fee is {usd_string(amount_nano)} USD: {usd_string(available_nano)} USD are available for it.",
        limit_source="balance",
        required_nano=amount_nano,
        available_nano=max(0, available_nano),
    )
