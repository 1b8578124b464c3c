"""What every storage engine does about credit notes: one for each refund of what is invoiced, in turn."""

from msgspec.structs import replace

from proxy.ledger.commands import Refused
from proxy.ledger.credit_notes import IssueCreditNote
from proxy.ledger.invoice_rows import CreditNote, Invoice, InvoiceLine
from proxy.ledger.invoices import IssueInvoice
from proxy.ledger.returns import RefundLot
from proxy.ledger.store import Store
from tests.storage.conftest import OpenStore
from tests.storage.engines import Engine
from tests.storage.teller import ACCOUNT, NOON_US, done, expect, grant, opening
from tests.storage.test_store_invoices import invoice


async def refunded(store: Store) -> None:
    """An account with a grant that is on an invoice, of which two parts were paid back since."""
    await store.apply([*opening(1_000), grant(7, command_id="grant_2")])
    await done(store, invoice("2027-03", 1, 1, 0, 1_000))
    lot_id = grant(1_000, command_id="grant_1").lot_id
    for number in (1, 2):
        await done(store, RefundLot(ACCOUNT, f"refund_{number}", lot_id, "asked for", NOON_US, number))


def note(seq: int, serial: int, amount_nano: int) -> IssueCreditNote:
    ref = grant(1_000, command_id="grant_1").lot_id
    ids = (ACCOUNT, seq, f"cn_{seq}", f"CN-{serial}", serial, "inv_2027-03", "INV-2027-03", 1)
    return IssueCreditNote(CreditNote(*ids, amount_nano, ref, "grant", "asked for", NOON_US), "2027-03", 0)


async def test_a_refund_of_what_is_invoiced_is_noted_once_and_in_turn(
    engine: Engine, open_store: OpenStore
) -> None:
    """Whoever notes it again is told of the note that there is, by whichever process."""
    first, second = await open_store(), await open_store()
    await refunded(first)
    for wrong, code in (
        (note(3, 2, -1), "conflict"),
        (note(2, 1, -1), "invalid_value"),
        (note(3, 1, -9), "invalid_value"),
        (replace(note(3, 1, -1), period="2027-02"), "not_found"),
        (replace(note(3, 1, -1), note=replace(note(3, 1, -1).note, of_seq=2)), "invalid_value"),
    ):
        assert (await expect(first, Refused, wrong)).code == code, wrong
    assert engine.dump()["credit_notes"] == []
    made = await done(first, note(3, 1, -1))
    again = await done(second, replace(note(3, 1, -1), note=replace(note(3, 1, -1).note, id="cn_other")))
    assert (again.replayed, again.credit_note) == (True, made.credit_note)
    await done(second, note(4, 2, -2))
    assert [(row[1], row[4]) for row in engine.dump()["credit_notes"]] == [(3, 1), (4, 2)]


async def test_an_invoice_leaves_out_what_is_noted_and_what_it_has_is_noted_no_more(store: Store) -> None:
    await refunded(store)
    await done(store, note(3, 1, -1))
    lines = (InvoiceLine("credit", "grant", 7, 1), InvoiceLine("debit", "refund", -2, 1))
    ids = (ACCOUNT, "2027-04", "inv_april", "INV-APRIL", 2, 4)
    april = Invoice(*ids, 1_000, 7, 2, 1_004, 0, NOON_US, lines, noted_nano=-1)
    whole = replace(
        april, charges_nano=3, noted_nano=0, lines=(*lines, InvoiceLine("debit", "refund", -1, 1))
    )
    assert (await expect(store, Refused, IssueInvoice(whole))).code == "conflict"
    await done(store, IssueInvoice(april))
    assert (await expect(store, Refused, note(4, 2, -2))).code == "conflict"


async def test_early_invoices_of_a_month_come_one_after_the_other_and_before_its_end(
    engine: Engine, store: Store
) -> None:
    grants = [grant(number, command_id=f"grant_{number}") for number in (2, 3, 4)]
    await store.apply([*opening(1_000), *grants])

    def part(number: int, seq: int, opening_nano: int, nano: int) -> IssueInvoice:
        made = invoice("2027-03", seq, seq, opening_nano, nano).invoice
        return IssueInvoice(replace(made, id=f"inv_{number}_{seq}", part=number))

    assert (await expect(store, Refused, part(2, 1, 0, 1_000))).code == "conflict"
    await done(store, part(1, 1, 0, 1_000))
    assert (await expect(store, Refused, part(3, 2, 1_000, 2))).code == "conflict"
    await done(store, part(2, 2, 1_000, 2))
    await done(store, part(0, 3, 1_002, 3))
    assert (await done(store, part(1, 1, 0, 1_000))).replayed
    assert (await expect(store, Refused, part(3, 4, 1_005, 4))).code == "conflict"
    found = {(row[1], row[15]) for row in engine.dump()["invoices"]}
    assert found == {("2027-03", 0), ("2027-03", 1), ("2027-03", 2)}
