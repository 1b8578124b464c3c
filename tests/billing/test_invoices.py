"""Invoices: every entry is on one, its lines tie out with the books, and it never changes."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.api.views.invoice_sheets import invoice_sheet
from proxy.api.views.sheets import html_of, pdf_of
from proxy.billing.invoice_lines import DEBT, OWN_LINES, InvoiceEntry, InvoiceSums
from proxy.billing.invoice_rounds import InvoiceRounds
from proxy.billing.invoices import Invoices
from proxy.errors import Refusal
from proxy.ledger.invoice_rows import Invoice, InvoiceLine, Paid, Parties
from proxy.ledger.invoices import LINES_MAX, InvoicePolicy
from proxy.pricing.charge import Line
from tests.api.apis import ApiConfig, Apis, serving

POLICY = InvoicePolicy("Seller <Inc.>", ("1 Street",), "DE1", "INV-{year}{month}-{account}")


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000_000


@pytest.fixture
async def apis(tmp_path: Path) -> AsyncIterator[Apis]:
    async with serving(tmp_path) as running:
        running.settings = ApiConfig(invoices=POLICY)
        yield running


def invoices_of(apis: Apis) -> Invoices:
    return Invoices(ledger=apis.ledger, store=apis.store, clock=apis.clock, policy=lambda: POLICY)


async def test_what_is_settled_after_an_invoice_was_made_is_on_the_next(apis: Apis) -> None:
    """Also where it says a time of the month before: a process may be slow to tell."""
    account_id = await apis.account()
    key_id, _ = await apis.key(account_id)
    await apis.grant(account_id, "1")
    made = invoices_of(apis)
    apis.clock.at_us = at("2024-11-01T00:00:01")
    october = await made.make(account_id, "2024-10")
    apis.clock.at_us = at("2024-10-31T23:59:59")
    await apis.call(account_id, key_id, 1_000)
    apis.clock.at_us = at("2024-12-01T00:00:00")
    november = await made.make(account_id, "2024-11")
    assert october is not None
    assert november is not None
    assert (october.charges_nano, november.charges_nano) == (0, 1_000)
    assert (october.last_seq + 1, october.closing_nano) == (november.first_seq, november.opening_nano)
    assert await made.make(account_id, "2024-10") == october


async def test_the_first_invoice_has_all_that_was_before_it(apis: Apis) -> None:
    """Also of months in which no process ran that made theirs; a month without entries has no invoice."""
    account_id = await apis.account()
    for month in ("10", "11", "12"):
        apis.clock.at_us = at(f"2024-{month}-20T00:00:00")
        await apis.grant(account_id, month)
    made = invoices_of(apis)
    apis.clock.at_us = at("2025-02-01T00:00:00")
    december = await made.make(account_id, "2024-12")
    assert december is not None
    assert (december.first_seq, december.opening_nano, december.credits_nano) == (1, 0, 33 * 10**9)
    assert await made.make(account_id, "2025-01") is None
    for month, code in (("2024-11", "conflict"), ("2025-02", "invalid_value"), ("2024-13", "invalid_value")):
        with pytest.raises(Refusal) as refused:
            await made.make(account_id, month)
        assert refused.value.code == code


async def test_a_round_makes_those_of_all_accounts_once_on_the_day(apis: Apis) -> None:
    accounts = [await apis.account() for _ in range(3)]
    for account_id in accounts[:2]:
        await apis.grant(account_id, "1")
    faults: list[BaseException] = []
    rounds = InvoiceRounds(
        invoices=invoices_of(apis),
        store=apis.store,
        clock=apis.clock,
        policy=lambda: InvoicePolicy(day=2),
        on_fault=lambda _, fault: faults.append(fault),
    )
    for day, count in (("2024-10-31", 0), ("2024-11-01", 0), ("2024-11-02", 2), ("2024-11-03", 2)):
        apis.clock.at_us = at(f"{day}T00:00:00")
        await rounds.round()
        listed = await apis.admin("GET", "/invoices")
        assert len(listed.data) == count
    assert faults == []


async def test_an_invoice_that_is_refused_is_tried_again_and_said(apis: Apis) -> None:
    """The others are made meanwhile, and one month does not end the tries of another."""

    class Refusing(Invoices):
        refused: ClassVar[set[str]] = set()

        async def make(self, account_id: str, period: str) -> Invoice | None:
            if account_id in self.refused:
                raise Refusal("conflict", "Not now.")
            return await super().make(account_id, period)

    accounts = [await apis.account() for _ in range(3)]
    for account_id in accounts:
        await apis.grant(account_id, "1")
    made = Refusing(ledger=apis.ledger, store=apis.store, clock=apis.clock, policy=lambda: POLICY)
    made.refused.add(accounts[1])
    told: list[str] = []
    rounds = InvoiceRounds(
        invoices=made,
        store=apis.store,
        clock=apis.clock,
        policy=lambda: POLICY,
        on_fault=lambda _, fault: told.append(str(fault)),
    )
    apis.clock.at_us = at("2024-11-01T00:00:00")
    for minutes, issued, said in ((0, 2, 1), (1, 2, 1), (10, 2, 2), (11, 2, 2), (20, 3, 2), (40, 3, 2)):
        apis.clock.at_us = at("2024-11-01T00:00:00") + minutes * 60_000_000
        if minutes == 20:
            made.refused.clear()
        await rounds.round()
        listed = await apis.admin("GET", "/invoices")
        assert (len(listed.data), len(told)) == (issued, said)
    assert told == [f"the invoice of {accounts[1]} for 2024-10: Not now."] * 2


async def test_an_invoice_is_read_by_its_account_in_any_form(apis: Apis) -> None:
    """Another account's is 404, and nothing of what texts say is taken for markup."""
    account_id = await apis.account("<script>alert(1)</script>")
    _, secret = await apis.key(account_id)
    _, other = await apis.key(await apis.account())
    await apis.grant(account_id, "1")
    apis.clock.at_us = at("2024-11-01T00:00:00")
    made = await apis.admin("POST", "/invoices", {"month": "2024-10"})
    path = f"/v1/billing/invoices/{made.data[0]['id']}"
    assert (await apis.ask("GET", path, key=other)).status == 404
    assert (await apis.ask("GET", path, key=secret)).body["seller"]["name"] == POLICY.seller
    assert apis.client is not None
    forms = (("text/html", b"<!doctype"), ("application/pdf", b"%PDF-"), ("text/csv", b"number,"))
    for accept, begins in forms:
        headers = {"Authorization": f"Bearer {secret}", "Accept": accept}
        async with apis.client.get(path, headers=headers) as response:
            body = await response.read()
            assert body.startswith(begins)
            assert b"<script>" not in body
            assert response.content_type == accept
    assert (await apis.ask("GET", f"{path}?format=xml", key=secret)).status == 400


async def test_a_list_reads_no_lines(apis: Apis) -> None:
    """It shows what the invoice itself does, and long ones hold no page up."""
    account_id = await apis.account()
    _, secret = await apis.key(account_id)
    await apis.grant(account_id, "1")
    apis.clock.at_us = at("2024-11-01T00:00:00")
    made = await invoices_of(apis).make(account_id, "2024-10")
    assert made is not None
    (row,) = await apis.store.query("invoices_page", {"account_id": "", "cursor": "", "limit": 1})
    assert row.keys().isdisjoint({"lines", "paid", "parties"})
    path = "/v1/billing/invoices"
    (listed,) = (await apis.ask("GET", path, key=secret)).data
    shown = (await apis.ask("GET", f"{path}/{made.id}", key=secret)).body
    assert len(shown["lines"]) == 1
    assert listed.keys() < shown.keys()
    assert listed == {name: shown[name] for name in listed}
    assert (await apis.admin("GET", "/invoices")).data == [listed]


Entry = tuple[str, int, int, tuple[int, ...]]


@st.composite
def histories(draw: st.DrawFn) -> list[InvoiceEntry]:
    """Entries that are a chain, some with receipts, whose lines sum to what was charged and fell short."""
    entries, balance = list[InvoiceEntry](), 0
    for seq in range(1, draw(st.integers(1, 12)) + 1):
        kind = draw(st.sampled_from(["grant", "charge", "charge", "expire", "adjust", "fee", "refund"]))
        amount = draw(st.integers(1, 10**12)) * (1 if kind in ("grant", "refund") else -1)
        balance += amount
        receipt: tuple[str, str, str, int] | tuple[None, None, None, None] = (None,) * 4
        if kind == "charge" and draw(st.booleans()):
            parts = draw(st.lists(st.integers(0, 10**6), min_size=1, max_size=3))
            short = draw(st.integers(0, 5))
            lines = [Line(f"m{place}", 1, str(part), 1, part) for place, part in enumerate(parts)]
            lines.append(Line("rest", 1, "1", 1, -amount + short - sum(parts)))
            text = msgspec.json.encode(lines).decode()
            receipt = (draw(st.sampled_from("ab")), "card@1", text, -amount + short)
        drawn = draw(st.integers(0, abs(amount))) if amount < 0 else -amount
        draws = f'[["lot_{seq % 2}",{-drawn}]]' if drawn else "[]"
        after = (max(balance, 0), max(-balance, 0))
        entries.append(InvoiceEntry(seq, kind, amount, *after, seq, draws, *receipt))
    return entries


@given(histories(), st.data())
def test_lines_tie_out_with_the_entries_to_the_nano_dollar(
    entries: list[InvoiceEntry], data: st.DataObject
) -> None:
    """However they are split between two invoices: opening, credits, charges and closing, and what paid."""
    cut = data.draw(st.integers(0, len(entries)))
    opening_nano = 0
    for part in (entries[:cut], entries[cut:]):
        if not part:
            continue
        sums = InvoiceSums({"lot_0": "purchase", "lot_1": "bonus"})
        for entry in part:
            sums.add(entry)
        closing_nano = part[-1].worth_after_nano
        assert opening_nano + sums.credits_nano - sums.charges_nano == closing_nano
        invoice = Invoice(
            *("acct_1", "2027-03", "inv_1", "1", part[0].seq, part[-1].seq, opening_nano),
            *(sums.credits_nano, sums.charges_nano, closing_nano, part[-1].debt_after_nano, 0),
            *(sums.lines(), sums.paid()),
        )
        assert invoice.adds_up
        assert invoice.usage_nano == -sum(entry.amount_nano for entry in part if entry.kind == "charge")
        assert {paid.kind for paid in invoice.paid} <= {"purchase", "bonus", DEBT}
        opening_nano = closing_nano


def test_an_invoice_has_so_many_lines_at_most() -> None:
    """What goes beyond them is summed up in one."""
    sums = InvoiceSums({})
    for seq in range(LINES_MAX * 2):
        text = msgspec.json.encode([Line("requests", 1, "7", 1, 7)]).decode()
        sums.add(InvoiceEntry(seq, "charge", -5, 0, 0, 0, "[]", f"model {seq}", "card@1", text, 7))
    lines = sums.lines()
    assert LINES_MAX - OWN_LINES < len(lines) <= LINES_MAX
    assert sum(line.amount_nano for line in lines) == -5 * LINES_MAX * 2


def test_any_text_can_be_printed() -> None:
    """Whatever script it is in, and whatever it looks like."""
    strange = '<b>&"株式会社 Ünï\u202e'
    line = InvoiceLine("usage", strange, -5, 1, "card@1", "requests", 1, "5", 1)
    parties = Parties(strange, strange, (strange,), strange)
    figures = ("a", "2027-03", "i", strange, 1, 1, 0, 0, 5, -5, 5, 0)
    invoice = Invoice(*figures, (line,), (Paid(DEBT, 5),), parties)
    assert "<b>" not in html_of(invoice_sheet(invoice)).decode()
    assert pdf_of(invoice_sheet(invoice)).startswith(b"%PDF-")
