"""How credit notes are made up, and how the auditor's model follows them."""

from proxy.ledger.commands import Done, Refused
from proxy.ledger.credit_notes import IssueCreditNote
from proxy.ledger.invoice_rows import CreditNote, Invoice
from tests.ledger.auditor import Line, nano
from tests.simulation.follow_accounts import CONFLICT, INVALID, NO_ACCOUNT
from tests.simulation.model import Model, Party
from tests.simulation.world import World


def issue_credit_note(world: World) -> IssueCreditNote | None:
    """A refund of something that may be on an invoice; now and then to another one, or out of turn."""
    ids = list(world.model.invoices)
    account_id = world.one_of(ids) if ids else world.account()
    party = world.model.parties.get(account_id)
    issued = list(world.model.invoices.get(account_id, {}).values())
    if party is None or not issued:
        return None
    lines = party.history.lines
    refunds = [seq for seq, line in enumerate(lines, 1) if line.kind == "refund"]
    if not refunds:
        return None
    seq = world.one_of(refunds[-4:])
    line = lines[seq - 1]
    of_seq = origin_of(lines, seq) or 1
    holders = [each for each in issued if each.first_seq <= of_seq <= each.last_seq]
    invoice = world.one_of(holders or issued) if not world.happens(4) else world.one_of(issued)
    serial = len(world.model.notes.get(account_id, {})) + 1 + world.happens(3)
    amount_nano = nano(line.amount) + world.happens(3)
    return IssueCreditNote(
        CreditNote(
            *(account_id, seq, world.new_id("cn"), f"CN {serial}", serial, invoice.id, invoice.number),
            *(of_seq, amount_nano, line.ref, "small", "asked for", world.at_us()),
        ),
        invoice.period,
        invoice.part,
    )


def follow_note(model: Model, command: IssueCreditNote) -> Done | Refused:
    """A refund is noted once, in turn, if what it is of is invoiced and it is not itself."""
    note = command.note
    party = model.parties.get(note.account_id)
    if party is None:
        return NO_ACCOUNT
    mine = model.notes.setdefault(note.account_id, {})
    if note.seq in mine:
        return Done(replayed=True, credit_note=mine[note.seq])
    issued = model.invoices.get(note.account_id, {})
    invoice = issued.get((command.period, command.part))
    if invoice is None or invoice.id != note.invoice_id:
        return NO_ACCOUNT
    refused = _refusal(party, note, invoice, max(each.last_seq for each in issued.values()))
    if refused is None and note.serial != len(mine) + 1:
        refused = CONFLICT
    if refused is not None:
        return refused
    mine[note.seq] = note
    return Done(credit_note=note)


def _refusal(party: Party, note: CreditNote, invoice: Invoice, invoiced: int) -> Refused | None:
    lines = party.history.lines
    if note.seq > len(lines) or origin_of(lines, note.seq) != note.of_seq:
        return INVALID
    if not invoice.first_seq <= note.of_seq <= invoice.last_seq:
        return INVALID
    if note.seq <= invoiced:
        return CONFLICT
    line = lines[note.seq - 1]
    same = (note.amount_nano, note.ref) == (nano(line.amount), line.ref)
    return None if same else INVALID


def origin_of(lines: list[Line], seq: int) -> int | None:
    """The number of the line that a refund is of: a charge, or what made the lot."""
    refund = lines[seq - 1]
    if refund.kind != "refund":
        return None
    for number, line in enumerate(lines[: seq - 1], 1):
        if refund.amount > 0 and (line.kind, line.ref) == ("charge", refund.ref):
            return number
        made = line.draws[0][0] if line.kind in ("grant", "adjust") and line.draws else ""
        if refund.amount < 0 and line.amount > 0 and made == refund.ref:
            return number
    return None
