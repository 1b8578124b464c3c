"""Usage events and invoices from the command line, as a real process against a running server."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from proxy.ledger.invoices import InvoicePolicy
from tests.api.apis import ApiConfig, Apis, serving
from tests.api.test_events import CONFIG as EVENTS_CONFIG
from tests.api.test_events import event
from tests.test_cli import ask


@pytest.fixture
async def apis(tmp_path: Path) -> AsyncIterator[Apis]:
    async with serving(tmp_path) as running:
        yield running


async def test_events_of_a_file_are_sent_once_and_rejected_ones_named(apis: Apis, tmp_path: Path) -> None:
    """As JSON Lines and as CSV, in as many requests as it takes; a second time all are known."""
    apis.settings = EVENTS_CONFIG
    account_id = await apis.account()
    lines = [json.dumps(event(account_id, str(number))) for number in range(205)]
    lines[150] = '{"id": "wrong"}'
    file = tmp_path / "events.jsonl"
    file.write_text("\n\n".join(lines))
    first, again = [await ask(apis, "events", "send", str(file)) for _ in range(2)]
    assert (first.code, first.out) == (1, "204 charged, 0 known before, 1 rejected.\n")
    assert first.err.startswith("line 301, event wrong: `type` is missing")
    assert again.out == "0 charged, 204 known before, 1 rejected.\n"
    table = tmp_path / "events.csv"
    rows = [f'row_{number},scan,{account_id},2024-10-04T12:00:00Z,{number},a ""b""' for number in range(3)]
    table.write_text("\n".join(["id,type,account,timestamp,pages,note", *rows]))
    sent = (await ask(apis, "events", "send", str(table), "--json")).json
    assert (sent["charged"], sent["data"]) == (3, [])
    table.write_text("id,type\n1,scan")
    ran = await ask(apis, "events", "send", str(table))
    assert (ran.code, "names no column timestamp" in ran.err) == (1, True)


async def test_invoices_are_made_listed_and_written_to_a_file(apis: Apis, tmp_path: Path) -> None:
    """For all accounts, in as many requests as it takes; made again they are the same."""
    apis.settings = ApiConfig(invoices=InvoicePolicy("Seller"))
    for _ in range(22):
        await apis.grant(await apis.account(), "1")
    apis.clock.at_us += 40 * 86_400_000_000
    made, again = [
        (await ask(apis, "invoices", "make", "--month", "2024-10", "--json")).json for _ in range(2)
    ]
    assert (len(made["data"]), again["data"]) == (22, [])
    first = made["data"][0]
    shown = await ask(apis, "invoices", "show", first["id"])
    assert (shown.code, first["number"] in shown.out, "closing: 1.00" in shown.out) == (0, True, True)
    listed = await ask(apis, "invoices", "list", "--account", first["account_id"])
    assert first["id"] in listed.out
    file = tmp_path / "invoice.pdf"
    assert (await ask(apis, "invoices", "show", first["id"], "--format", "pdf", "-o", str(file))).code == 0
    assert file.read_bytes().startswith(b"%PDF-")
    early = await ask(apis, "invoices", "make", "--month", "2024-11")
    assert (early.code, "has not ended" in early.err) == (1, True)
