"""How invoices are made up, and how the auditor's model follows them."""

from collections.abc import Mapping

from msgspec.structs import replace

from proxy.ledger.commands import Done, Refused
from proxy.ledger.invoice_rows import CreditNote, Invoice, InvoiceLine, Paid
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
    period, part = (period[0], period[1]) if isinstance(period, tuple) else (period, 0)
    last_issued = max(issued.values(), key=lambda each: each.last_seq, default=None)
    if last_issued is not None and last_issued.part and world.happens(60):
        period = last_issued.period
    if world.happens(40):
        begun = [each.part for each in issued.values() if each.period == period]
        part = max(begun, default=0) + 1 + world.happens(4)
    period = "before all" if world.happens(3) else period
    first = max((each.last_seq for each in issued.values()), default=0) + 1 + world.happens(8)
    last = len(party.history.lines) if party else 0
    last = max(first, last - (world.chance.randrange(3) if world.happens(30) else 0)) + world.happens(2)
    invoice = (
        invoice_of(party, world.model.notes.get(account_id, {}), (period, part), (first, last), at_us)
        if party
        else _empty(account_id, at_us)
    )
    invoice = replace(invoice, id=world.new_id("inv"), number=f"{account_id} {period} {part}")
    return IssueInvoice(replace(invoice, credits_nano=5) if world.happens(3) else invoice)


def invoice_of(
    party: Party,
    notes: Mapping[int, CreditNote],
    month: tuple[str, int],
    ends: tuple[int, int],
    at_us: int,
) -> Invoice:
    """What some entries come to, by the auditor's own lines."""
    lines, (first, last) = party.history.lines, ends
    worths = [0, *(nano(line.balance - line.debt) for line in lines)]
    part = [line for seq, line in enumerate(lines, 1) if first <= seq <= last and seq not in notes]
    noted = sum(note.amount_nano for seq, note in notes.items() if first <= seq <= last)
    charged = -sum(nano(line.amount) for line in part if line.kind == "charge")
    put = sum(nano(line.amount) for line in part if line.amount > 0)
    taken = -sum(nano(line.amount) for line in part if line.amount < 0 and line.kind != "charge")
    opening, closing = worths[min(first - 1, len(lines))], worths[min(last, len(lines))]
    debt = nano(lines[min(last, len(lines)) - 1].debt) if lines else 0
    shown = [InvoiceLine("credit", "put", put), InvoiceLine("debit", "taken", -taken)]
    shown.append(InvoiceLine("usage", "all", -charged, 1, "card@1", "requests", 1, "1", 1))
    figures = (first, last, opening, put, charged + taken, closing, debt, at_us)
    made = Invoice(party.account.id, month[0], "", "", *figures, tuple(shown), (Paid("grant", charged),))
    return replace(made, part=month[1], noted_nano=noted)


def _empty(account_id: str, at_us: int) -> Invoice:
    return Invoice(account_id, "period", "", "", 1, 1, 0, 0, 0, 0, 0, at_us)


def follow_issue(model: Model, command: IssueInvoice) -> Done | Refused:
    """A part of a period is invoiced once, after all before it, from the entry after theirs on."""
    invoice = command.invoice
    party = model.parties.get(invoice.account_id)
    if party is None:
        return NO_ACCOUNT
    issued = model.invoices.setdefault(invoice.account_id, {})
    key = (invoice.period, invoice.part)
    if key in issued:
        return Done(replayed=True, invoice=issued[key])
    if _is_out_of_turn(list(issued.values()), invoice):
        return CONFLICT
    notes = model.notes.get(invoice.account_id, {})
    right = invoice_of(party, notes, key, (invoice.first_seq, invoice.last_seq), invoice.issued_at_us)
    is_there = 0 < invoice.first_seq <= invoice.last_seq <= len(party.history.lines)
    if is_there and invoice.noted_nano != right.noted_nano:
        return CONFLICT
    if not _is_right(party, invoice, right):
        return INVALID
    issued[key] = invoice
    return Done(invoice=invoice)


def _is_out_of_turn(issued: list[Invoice], invoice: Invoice) -> bool:
    """Whether it does not follow the one before it: parts one by one, and none after the end of a month."""
    if not issued:
        return invoice.part > 1 or invoice.first_seq != 1
    last = max(issued, key=lambda each: each.last_seq)
    begun = [each.part for each in issued if each.period == invoice.period]
    return (
        last.period > invoice.period
        or 0 in begun
        or invoice.part not in (0, max(begun, default=0) + 1)
        or invoice.first_seq != last.last_seq + 1
    )


def _is_right(party: Party, invoice: Invoice, right: Invoice) -> bool:
    if not 0 < invoice.first_seq <= invoice.last_seq <= len(party.history.lines):
        return False
    ends = ("opening_nano", "closing_nano", "debt_nano")
    change = invoice.closing_nano - invoice.opening_nano - invoice.noted_nano
    return (
        all(getattr(invoice, name) == getattr(right, name) for name in ends)
        and invoice.credits_nano - invoice.charges_nano == change
        and sum(line.amount_nano for line in invoice.lines) == change
        and abs(invoice.opening_nano) + max(invoice.credits_nano, invoice.charges_nano) < 2**63
    )
