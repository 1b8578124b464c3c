"""Credit notes and early invoices: each entry is on one paper, and all papers tie out with the books."""

import itertools
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from proxy.billing.credit_notes import CreditNoteRounds, CreditNotes
from proxy.billing.early_invoices import EarlyInvoices
from proxy.billing.invoices import Invoices
from proxy.errors import Refusal
from proxy.ledger.invoice_rows import Invoice
from proxy.ledger.invoices import InvoicePolicy
from tests.api.apis import ApiConfig, Apis, serving
from tests.billing.test_invoices import at

POLICY = InvoicePolicy("Seller", ("1 Street",), "DE1", threshold_nano=10_000)


@pytest.fixture
async def apis(tmp_path: Path) -> AsyncIterator[Apis]:
    async with serving(tmp_path) as running:
        running.settings = ApiConfig(invoices=POLICY)
        yield running


def notes_of(apis: Apis) -> CreditNotes:
    return CreditNotes(command=apis.ledger.command, store=apis.store, clock=apis.clock, policy=lambda: POLICY)


def invoices_of(apis: Apis) -> Invoices:
    return Invoices(ledger=apis.ledger, store=apis.store, clock=apis.clock, policy=lambda: POLICY)


def fail(task: str, fault: BaseException) -> None:
    raise AssertionError(task) from fault


def note_rounds(apis: Apis) -> CreditNoteRounds:
    parts = {"store": apis.store, "clock": apis.clock, "policy": lambda: POLICY, "on_fault": fail}
    return CreditNoteRounds(notes=notes_of(apis), **parts)  # type: ignore[arg-type]


def early_rounds(apis: Apis) -> EarlyInvoices:
    parts = {"store": apis.store, "clock": apis.clock, "policy": lambda: POLICY, "on_fault": fail}
    return EarlyInvoices(invoices=invoices_of(apis), **parts)  # type: ignore[arg-type]


async def refund(apis: Apis, call_id: str, amount: str) -> None:
    body = {"amount": amount, "reason": "it was slow"}
    headers = {"Idempotency-Key": f"refund-{call_id}-{amount}"}
    answer = await apis.admin("POST", f"/receipts/{call_id}/refunds", body, headers=headers)
    assert answer.status == 201, answer


async def ties_out(apis: Apis, account_id: str) -> None:
    """Every entry is on one paper, and the papers come to what the books say."""
    entries = (await apis.admin("GET", f"/accounts/{account_id}/entries?limit=100")).data
    heads = await invoices_of(apis).page(account_id=account_id, before=None, limit=100)
    notes = await notes_of(apis).page(account_id=account_id, before=None, limit=100)
    papers = sum(each.credits_nano - each.charges_nano for each in heads) + sum(
        note.amount_nano for note in notes
    )
    assert papers == sum(round(float(entry["amount"]) * 10**9) for entry in entries)
    spans = [await invoices_of(apis).by_id(head.id) for head in heads]
    of_invoices = itertools.chain.from_iterable(range(each.first_seq, each.last_seq + 1) for each in spans)
    assert sorted(of_invoices) == sorted(entry["seq"] for entry in entries)
    assert sum(each.noted_nano for each in spans) == sum(note.amount_nano for note in notes)


async def test_what_is_refunded_after_its_invoice_is_on_a_note_and_before_it_on_the_invoice(
    apis: Apis,
) -> None:
    """Of calls and of credit; the next invoice has none of it in its lines, and all papers tie out."""
    account_id = await apis.account()
    key_id, _ = await apis.key(account_id)
    lot_id = (await apis.grant(account_id, "1")).body["draws"][0]["lot_id"]
    calls = [await apis.call(account_id, key_id, nano) for nano in (5_000, 7_000)]
    await refund(apis, calls[0], "0.000001")
    apis.clock.at_us = at("2024-11-01T00:00:00")
    october = await invoices_of(apis).make(account_id, "2024-10")
    rounds = note_rounds(apis)
    await rounds.round()
    assert (await apis.admin("GET", "/credit_notes")).data == []
    await refund(apis, calls[0], "0.000002")
    back = {"amount": "0.25", "reason": "asked for"}
    await apis.admin(
        "POST", f"/accounts/{account_id}/lots/{lot_id}/refunds", back, headers={"Idempotency-Key": "back"}
    )
    new = await apis.call(account_id, key_id, 900)
    await refund(apis, new, "0.0000001")
    for _ in range(2):
        await rounds.round()
    listed = (await apis.admin("GET", f"/credit_notes?account_id={account_id}")).data
    assert october is not None
    assert {note["invoice_id"] for note in listed} == {october.id}
    assert sorted((note["about"], note["name"], note["amount"]) for note in listed) == [
        ("call", "demo", "0.000002"),
        ("lot", "grant", "-0.25"),
    ]
    assert sorted(note["number"] for note in listed) == [f"CN-{account_id}-{n}" for n in (1, 2)]
    apis.clock.at_us = at("2024-12-01T00:00:00")
    november = await invoices_of(apis).make(account_id, "2024-11")
    assert november is not None
    assert november.noted_nano == 2_000 - 250_000_000
    assert (november.charges_nano, november.credits_nano) == (900, 100)
    await ties_out(apis, account_id)


async def test_an_invoice_notes_what_no_round_has_found(apis: Apis) -> None:
    account_id = await apis.account()
    key_id, _ = await apis.key(account_id)
    await apis.grant(account_id, "1")
    call_id = await apis.call(account_id, key_id, 5_000)
    apis.clock.at_us = at("2024-11-01T00:00:00")
    await invoices_of(apis).make(account_id, "2024-10")
    await refund(apis, call_id, "0.000005")
    apis.clock.at_us = at("2024-12-01T00:00:00")
    november = await invoices_of(apis).make(account_id, "2024-11")
    assert november is not None
    assert (november.lines, november.noted_nano) == ((), 5_000)
    await ties_out(apis, account_id)


async def test_a_credit_note_is_read_by_its_account_in_any_form(apis: Apis) -> None:
    account_id = await apis.account("<b>Ada</b>")
    key_id, secret = await apis.key(account_id)
    _, other = await apis.key(await apis.account())
    await apis.grant(account_id, "1")
    call_id = await apis.call(account_id, key_id, 5_000)
    apis.clock.at_us = at("2024-11-01T00:00:00")
    await invoices_of(apis).make(account_id, "2024-10")
    await refund(apis, call_id, "0.000005")
    await note_rounds(apis).round()
    (note,) = (await apis.ask("GET", "/v1/billing/credit_notes", key=secret)).data
    path = f"/v1/billing/credit_notes/{note['id']}"
    assert (await apis.ask("GET", path, key=other)).status == 404
    assert (await apis.ask("GET", path, key=secret)).body == note
    assert note["invoice_number"] == f"INV-202410-{account_id}"
    assert (await apis.ask("GET", "/v1/billing/credit_notes", key=other)).data == []
    assert apis.client is not None
    forms = (("text/html", b"<!doctype"), ("application/pdf", b"%PDF-"), ("text/csv", b"number,"))
    for accept, begins in forms:
        headers = {"Authorization": f"Bearer {secret}", "Accept": accept}
        async with apis.client.get(path, headers=headers) as response:
            body = await response.read()
            assert body.startswith(begins)
            assert b"<b>" not in body


async def test_usage_on_credit_is_invoiced_early_as_it_passes_the_threshold(apis: Apis) -> None:
    """By the nano-dollar; the rest of the month comes at its end, and each entry is on one invoice."""
    account_id, prepaid = await apis.account(), await apis.account()
    await apis.admin("PATCH", f"/accounts/{account_id}", {"credit_limit": "1"})
    await apis.grant(prepaid, "1")
    key_id, _ = await apis.key(account_id)
    other_id, _ = await apis.key(prepaid)
    rounds = early_rounds(apis)

    async def issued() -> list[Invoice]:
        heads = await invoices_of(apis).page(account_id="", before=None, limit=10)
        found = [await invoices_of(apis).by_id(head.id) for head in heads]
        return sorted(found, key=lambda each: each.first_seq)

    await apis.call(prepaid, other_id, 50_000)
    for nano, count in ((9_999, 0), (1, 1), (500, 1), (9_500, 2), (300, 2)):
        await apis.call(account_id, key_id, nano)
        await rounds.round()
        assert len(await issued()) == count, nano
    apis.clock.at_us = at("2024-11-01T00:00:00")
    await invoices_of(apis).make(account_id, "2024-10")
    found = [(each.part, each.number, each.charges_nano) for each in await issued()]
    number = f"INV-202410-{account_id}"
    assert found == [(1, f"{number}-1", 10_000), (2, f"{number}-2", 10_000), (0, number, 300)]
    assert await invoices_of(apis).accounts("2024-10", after="", limit=9) == [prepaid]
    await ties_out(apis, account_id)


async def test_an_early_invoice_comes_after_that_of_the_month_before(apis: Apis) -> None:
    account_id = await apis.account()
    await apis.admin("PATCH", f"/accounts/{account_id}", {"credit_limit": "1"})
    key_id, _ = await apis.key(account_id)
    await apis.call(account_id, key_id, 700)
    apis.clock.at_us = at("2024-11-01T00:00:01")
    await apis.call(account_id, key_id, 20_000)
    rounds = early_rounds(apis)
    await rounds.round()
    heads = await invoices_of(apis).page(account_id=account_id, before=None, limit=9)
    assert sorted((each.period, each.part, each.charges_nano) for each in heads) == [
        ("2024-10", 0, 700),
        ("2024-11", 1, 20_000),
    ]
    await early_rounds(apis).round()
    assert len(await invoices_of(apis).page(account_id=account_id, before=None, limit=9)) == 2
    await ties_out(apis, account_id)


async def test_a_refund_by_a_clock_that_was_ahead_and_one_that_failed_hide_no_other(apis: Apis) -> None:
    """What could not be noted in one round is in the next, however late it says that it was refunded."""
    account_id = await apis.account()
    key_id, _ = await apis.key(account_id)
    await apis.grant(account_id, "1")
    calls = [await apis.call(account_id, key_id, 5_000) for _ in range(3)]
    apis.clock.at_us = now_us = at("2024-11-01T00:00:00")
    await invoices_of(apis).make(account_id, "2024-10")
    rounds = note_rounds(apis)
    apis.clock.at_us = now_us + 10 * 86_400_000_000
    await refund(apis, calls[0], "0.000005")
    apis.clock.at_us = now_us
    await rounds.round()
    await refund(apis, calls[1], "0.000005")
    issue, rounds._notes.issue = rounds._notes.issue, refused  # type: ignore[method-assign]
    await rounds.round()
    assert len((await apis.admin("GET", "/credit_notes")).data) == 1
    rounds._notes.issue = issue  # type: ignore[method-assign]
    await rounds.round()
    assert len((await apis.admin("GET", "/credit_notes")).data) == 2


async def refused(account_id: str) -> int:
    raise Refusal("conflict", f"Somebody else issues one of {account_id}.")
