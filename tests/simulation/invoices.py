"""How invoices are made up, and how the auditor's model follows them."""

from msgspec.structs import replace

from proxy.ledger.commands import Done, Refused
from proxy.ledger.invoice_rows import Invoice, InvoiceLine, Paid
from proxy.ledger.invoices import IssueInvoice
from tests.ledger.auditor import nano
from tests.simulation.follow_accounts import CONFLICT, INVALID, NO_ACCOUNT
from tests.simulation.model import Model, Party
from tests.simulation.world import World


def issue_invoice(world: World) -> IssueInvoice:
    """The latest entries of an account; now and then of a period before, with a gap, or with a wrong sum."""
    account_id, at_us = world.account(), world.at_us()
    party = world.model.parties.get(account_id)
    issued = world.model.invoices.get(account_id, {})
    period = world.one_of(list(issued)) if issued and world.happens(5) else world.new_id("period")
    period = "before all" if world.happens(3) else period
    first = max((each.last_seq for each in issued.values()), default=0) + 1 + world.happens(2)
    last = len(party.history.lines) if party else 0
    last = max(first, last - (world.chance.randrange(3) if world.happens(30) else 0)) + world.happens(2)
    invoice = (
        invoice_of(party, account_id, period, first, last, at_us) if party else _empty(account_id, at_us)
    )
    invoice = replace(invoice, id=world.new_id("inv"), number=f"{account_id} {period}")
    return IssueInvoice(replace(invoice, credits_nano=5) if world.happens(3) else invoice)


def invoice_of(party: Party, account_id: str, period: str, first: int, last: int, at_us: int) -> Invoice:
    """What some entries come to, by the auditor's own lines."""
    lines = party.history.lines
    worths = [0, *(nano(line.balance - line.debt) for line in lines)]
    part = lines[first - 1 : last]
    charged = -sum(nano(line.amount) for line in part if line.kind == "charge")
    put = sum(nano(line.amount) for line in part if line.amount > 0)
    taken = -sum(nano(line.amount) for line in part if line.amount < 0 and line.kind != "charge")
    opening, closing = worths[min(first - 1, len(lines))], worths[min(last, len(lines))]
    debt = nano(lines[min(last, len(lines)) - 1].debt) if lines else 0
    shown = [InvoiceLine("credit", "put", put), InvoiceLine("debit", "taken", -taken)]
    shown.append(InvoiceLine("usage", "all", -charged, 1, "card@1", "requests", 1, "1", 1))
    figures = (first, last, opening, put, charged + taken, closing, debt, at_us)
    return Invoice(account_id, period, "", "", *figures, tuple(shown), (Paid("grant", charged),))


def _empty(account_id: str, at_us: int) -> Invoice:
    return Invoice(account_id, "period", "", "", 1, 1, 0, 0, 0, 0, 0, at_us)


def follow_issue(model: Model, command: IssueInvoice) -> Done | Refused:
    """A period is invoiced once, after all before it, from the entry after theirs on, or from the first."""
    invoice = command.invoice
    party = model.parties.get(invoice.account_id)
    if party is None:
        return NO_ACCOUNT
    issued = model.invoices.setdefault(invoice.account_id, {})
    if invoice.period in issued:
        return Done(replayed=True, invoice=issued[invoice.period])
    ended = max((each.last_seq for each in issued.values()), default=0)
    if invoice.first_seq != ended + 1 or (issued and max(issued) > invoice.period):
        return CONFLICT
    if not _is_right(party, invoice):
        return INVALID
    issued[invoice.period] = invoice
    return Done(invoice=invoice)


def _is_right(party: Party, invoice: Invoice) -> bool:
    first, last = invoice.first_seq, invoice.last_seq
    if not 0 < first <= last <= len(party.history.lines):
        return False
    right = invoice_of(party, invoice.account_id, invoice.period, first, last, invoice.issued_at_us)
    ends = ("opening_nano", "closing_nano", "debt_nano")
    change = invoice.closing_nano - invoice.opening_nano
    return (
        all(getattr(invoice, name) == getattr(right, name) for name in ends)
        and invoice.credits_nano - invoice.charges_nano == change
        and sum(line.amount_nano for line in invoice.lines) == change
        and abs(invoice.opening_nano) + max(invoice.credits_nano, invoice.charges_nano) < 2**63
    )
