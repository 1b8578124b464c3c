"""What every storage engine does about invoices: one for an account and month, none leaves an entry out."""

import asyncio

from msgspec.structs import replace

from proxy.ledger.commands import Done, Refused
from proxy.ledger.invoice_rows import Invoice, InvoiceLine
from proxy.ledger.invoices import IssueInvoice
from proxy.ledger.store import Store
from tests.storage.conftest import OpenStore
from tests.storage.engines import Engine
from tests.storage.teller import ACCOUNT, NOON_US, done, expect, grant, opening


def invoice(period: str, first: int, last: int, opening_nano: int, credits_nano: int) -> IssueInvoice:
    closing_nano = opening_nano + credits_nano
    lines = (InvoiceLine("credit", "grant", credits_nano, last - first + 1),)
    named = (ACCOUNT, period, f"inv_{period}", f"INV-{period}", first, last)
    figures = (opening_nano, credits_nano, 0, closing_nano, 0, NOON_US)
    return IssueInvoice(Invoice(*named, *figures, lines))


async def test_a_month_is_invoiced_once_and_the_next_goes_on_from_there(
    engine: Engine, open_store: OpenStore
) -> None:
    """Whoever asks for it again gets the one that was issued, by whichever process."""
    first, second = await open_store(), await open_store()
    await first.apply([*opening(1_000), grant(5, command_id="grant_2"), grant(7, command_id="grant_3")])
    march = invoice("2027-03", 1, 2, 0, 1_005)
    made = await done(first, march)
    other = replace(march.invoice, id="inv_other", credits_nano=9)
    again = await done(second, IssueInvoice(other))
    assert (again.replayed, again.invoice, made.invoice) == (True, march.invoice, march.invoice)
    april = await done(second, invoice("2027-04", 3, 3, 1_005, 7))
    assert april.invoice is not None
    assert [row[1] for row in engine.dump()["invoices"]] == ["2027-03", "2027-04"]


async def test_processes_that_invoice_at_once_issue_one(engine: Engine, open_store: OpenStore) -> None:
    stores = [await open_store() for _ in range(3)]
    await stores[0].apply(opening(1_000))
    made = invoice("2027-03", 1, 1, 0, 1_000)
    ids = [IssueInvoice(replace(made.invoice, id=f"inv_{number}")) for number in range(3)]
    results = await asyncio.gather(*(store.apply([each]) for store, each in zip(stores, ids, strict=True)))
    issued = {result.invoice.id for (result,) in results if isinstance(result, Done) and result.invoice}
    assert len(issued) == len(engine.dump()["invoices"]) == 1


async def test_what_leaves_entries_out_or_does_not_add_up_is_refused(store: Store, engine: Engine) -> None:
    await store.apply([*opening(1_000), grant(5, command_id="grant_2"), grant(7, command_id="grant_3")])
    await done(store, invoice("2027-03", 1, 1, 0, 1_000))
    before = engine.dump()
    for command, code in (
        (invoice("2027-02", 2, 2, 1_000, 5), "conflict"),
        (invoice("2027-04", 3, 3, 1_005, 7), "conflict"),
        (invoice("2027-04", 2, 9, 1_000, 12), "invalid_value"),
        (invoice("2027-04", 2, 2, 1_000, 6), "invalid_value"),
        (invoice("2027-04", 2, 2, 999, 6), "invalid_value"),
        (IssueInvoice(replace(invoice("2027-04", 2, 2, 1_000, 5).invoice, account_id="acct_9")), "not_found"),
    ):
        assert (await expect(store, Refused, command)).code == code
    wrong = replace(invoice("2027-04", 2, 2, 1_000, 5).invoice, lines=())
    assert (await expect(store, Refused, IssueInvoice(wrong))).code == "invalid_value"
    assert engine.dump() == before
