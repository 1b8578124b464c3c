"""Deliberate faults of the rule of invoices."""

from msgspec.structs import replace

from proxy.ledger import rules
from proxy.ledger.books import Books
from proxy.ledger.commands import Command, Result
from proxy.ledger.invoices import IssueInvoice


def invoices_a_period_again(books: Books, command: Command) -> Result:
    """Who asks again for the invoice of a period gets another one."""
    if isinstance(command, IssueInvoice):
        books.invoices.pop((command.account_id, command.invoice.period), None)
    return rules.apply(books, command)


def leaves_entries_out(books: Books, command: Command) -> Result:
    """An invoice may begin anywhere behind the one before it."""
    if not isinstance(command, IssueInvoice):
        return rules.apply(books, command)
    before = {key: each for key, each in books.invoices.items() if each.period != command.invoice.period}
    first = command.invoice
    for key, each in before.items():
        if key[0] == command.account_id and each.last_seq < first.first_seq:
            ended = replace(each, last_seq=first.first_seq - 1, closing_nano=first.opening_nano)
            books.invoices[key] = ended
    result = rules.apply(books, command)
    books.invoices.update(before)
    return result


RULES = (invoices_a_period_again, leaves_entries_out)
"""All of them."""
