"""The rule of invoices: issued once, in the order of time, each from where the one before it ended."""

from proxy.ledger.books import Books
from proxy.ledger.commands import Done, Refused
from proxy.ledger.invoice_rows import Invoice
from proxy.ledger.invoices import IssueInvoice
from proxy.ledger.rows import Account
from proxy.ledger.rules.accounts import no_account
from proxy.ledger.rules.registry import carries_out
from proxy.money import usd_string


@carries_out(IssueInvoice)
def issue_invoice(books: Books, command: IssueInvoice) -> Done | Refused:
    """Issue an invoice; a period and part that has one keeps it, whatever this one says."""
    invoice = command.invoice
    account = books.accounts.get(invoice.account_id)
    if account is None:
        return no_account(invoice.account_id)
    issued = books.invoices.get((account.id, invoice.period, invoice.part))
    if issued is not None:
        return Done(replayed=True, invoice=issued)
    refused = _out_of_turn(books, invoice) or _wrong(books, account, invoice)
    if refused:
        return refused
    books.invoices.put(invoice)
    books.put_event(
        *(account.id, "invoice.issued", _cause(invoice), invoice.issued_at_us),
        invoice_id=invoice.id,
        number=invoice.number,
        month=invoice.period,
        part=invoice.part or None,
        credits=usd_string(invoice.credits_nano),
        charges=usd_string(invoice.charges_nano),
        closing=usd_string(invoice.closing_nano),
        due=usd_string(invoice.debt_nano),
    )
    return Done(invoice=invoice)


def _cause(invoice: Invoice) -> str:
    return f"{invoice.period}/{invoice.part}" if invoice.part else invoice.period


def _out_of_turn(books: Books, invoice: Invoice) -> Refused | None:
    """Why it cannot come after the newest invoice of its account, or None."""
    last = newest_invoice(books, invoice.account_id)
    message = ""
    if invoice.first_seq != (last.last_seq + 1 if last else 1):
        message = (
            f"The invoice does not begin where that of {last.period} ends."
            if last
            else ("The first invoice begins with the first entry.")
        )
    if invoice.part not in (0, _parts(last, invoice.period) + 1):
        message = f"There is no early invoice {invoice.part - 1} of {invoice.period}."
    if last is not None and last.period == invoice.period and not last.part:
        message = f"The account has an invoice of {last.period}, which ends it."
    if last is not None and last.period > invoice.period:
        message = f"The account has an invoice of {last.period}, which is later."
    return Refused("conflict", message) if message else None


def _parts(last: Invoice | None, period: str) -> int:
    """How many early invoices of a month there are, by the last invoice."""
    return last.part if last is not None and last.period == period else 0


def newest_invoice(books: Books, account_id: str) -> Invoice | None:
    """The newest invoice of an account: the one that ends last."""
    mine = (each for each in books.invoices.values() if each.account_id == account_id)
    return max(mine, key=lambda each: each.last_seq, default=None)


def _wrong(books: Books, account: Account, invoice: Invoice) -> Refused | None:
    """What of it is not as the entries before and at its end have it, or does not add up; or None."""
    before, after = _after(books, account, invoice.first_seq - 1), _after(books, account, invoice.last_seq)
    found = (invoice.opening_nano, invoice.closing_nano, invoice.debt_nano)
    if before is None or after is None or not 0 < invoice.first_seq <= invoice.last_seq <= account.entries:
        return Refused("invalid_value", "The invoice is of entries that there are not.")
    noted_nano = sum(
        note.amount_nano
        for note in books.credit_notes.values()
        if note.account_id == account.id and invoice.first_seq <= note.seq <= invoice.last_seq
    )
    if noted_nano != invoice.noted_nano:
        return Refused("conflict", "Credit notes were issued meanwhile.")
    if found != (before[0] - before[1], after[0] - after[1], after[1]) or not invoice.adds_up:
        return Refused("invalid_value", "The invoice does not add up.")
    return None


def _after(books: Books, account: Account, seq: int) -> tuple[int, int] | None:
    """The balance and all debt after an entry, by its number; None where there is none."""
    if seq == 0:
        return 0, 0
    if seq == account.entries:
        return account.balance_nano, account.whole_debt_nano
    entry = books.entry(account.id, seq)
    return None if entry is None else (entry.balance_after_nano, entry.debt_after_nano)
