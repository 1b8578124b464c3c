"""farebox invoices: what was invoiced, and the invoices of a month made now."""

import json
from pathlib import Path

import click

from proxy.cli.api import Api, Json, segment
from proxy.cli.options import asks, given, paged
from proxy.cli.output import Column, Out, field, money, plain, print_table
from proxy.cli.progress import step

MAKE_SECONDS = 600.0
"""How long one request may take that makes invoices: an account may have millions of entries."""
_COLUMNS = (
    *plain("id", "number", "account_id", "month"),
    *(money(name) for name in ("opening", "credits", "charges", "closing", "due")),
)
_LINES = (
    *plain("kind", "name", "meter"),
    Column("quantity", field("quantity"), right=True),
    Column("price", field("price"), right=True),
    Column("count", field("count"), right=True),
    Column("amount", field("amount"), right=True),
)


@click.group()
def invoices() -> None:
    """Invoices of months that have ended."""


@invoices.command("list")
@click.option("--account", "account_id", help="those of one account")
@paged
@asks
def list_invoices(
    api: Api, out: Out, *, account_id: str | None, limit: int | None, cursor: str | None
) -> None:
    """List invoices, the newest first."""
    query = {"account_id": account_id, "limit": limit, "cursor": cursor}
    out.listing(api.get("/admin/v1/invoices", query), _COLUMNS)


@invoices.command("show")
@click.argument("invoice_id", metavar="INVOICE")
@click.option("--format", "form", type=click.Choice(["csv", "html", "pdf"]), help="another form than a table")
@click.option("--output", "-o", type=click.Path(path_type=Path), help="the file to write that to")
@asks
def show_invoice(api: Api, out: Out, invoice_id: str, *, form: str | None, output: Path | None) -> None:
    """Show one invoice, or write it to a file."""
    answer = api.get(f"/admin/v1/invoices/{segment(invoice_id)}", {"format": form})
    if output is not None:
        output.write_bytes(answer)
    elif form is not None:
        click.echo(answer, nl=False)
    else:
        out.answer(answer, _show)


@invoices.command("make")
@click.option("--month", required=True, help="the month, such as 2027-03")
@click.option("--account", "account_id", help="for one account alone")
@asks
def make_invoices(api: Api, out: Out, *, month: str, account_id: str | None) -> None:
    """Make the invoices of a month, where they are not there yet."""
    made: list[Json] = []
    after: str | None = None
    with step("Making invoices") as bar:
        while True:
            body = given(month=month, account_id=account_id, after=after)
            answer = json.loads(api.post("/admin/v1/invoices", body, seconds=MAKE_SECONDS))
            made += answer["data"]
            bar.advance(len(answer["data"]))
            after = answer["next_after"]
            if after is None:
                break
    out.answer(json.dumps({"object": "list", "data": made}).encode(), _show_made)


def _show_made(page: Json) -> None:
    print_table(page["data"], _COLUMNS)


def _show(invoice: Json) -> None:
    print_table(invoice["lines"], _LINES, title=f"{invoice['number']}, {invoice['month']}")
    for name in ("opening", "credits", "charges", "closing", "due"):
        click.echo(f"{name}: {invoice[name]}")
