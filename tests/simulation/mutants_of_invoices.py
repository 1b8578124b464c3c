"""Deliberate faults of the rule of invoices."""

from msgspec.structs import replace

from proxy.ledger import rules
from proxy.ledger.books import Books
from proxy.ledger.commands import Command, Result
from proxy.ledger.credit_notes import IssueCreditNote
from proxy.ledger.invoices import IssueInvoice


def invoices_a_period_again(books: Books, command: Command) -> Result:
    """Who asks again for the invoice of a period gets another one."""
    if isinstance(command, IssueInvoice):
        books.invoices.pop((command.account_id, command.invoice.period, command.invoice.part), None)
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


def notes_a_refund_again(books: Books, command: Command) -> Result:
    """A refund that has a credit note gets another one."""
    if isinstance(command, IssueCreditNote):
        known = books.credit_notes.pop((command.account_id, command.note.seq), None)
        if known is not None:
            command = replace(command, note=replace(command.note, serial=known.serial))
    return rules.apply(books, command)


def notes_what_is_invoiced(books: Books, command: Command) -> Result:
    """A refund is on a credit note although an invoice has it."""
    if not isinstance(command, IssueCreditNote):
        return rules.apply(books, command)
    before = dict(books.invoices)
    for key, each in before.items():
        if key[0] == command.account_id and each.last_seq >= command.note.seq > each.first_seq:
            books.invoices[key] = replace(each, last_seq=command.note.seq - 1)
    result = rules.apply(books, command)
    books.invoices.update(before)
    return result


RULES = (invoices_a_period_again, leaves_entries_out, notes_a_refund_again, notes_what_is_invoiced)
"""All of them."""
