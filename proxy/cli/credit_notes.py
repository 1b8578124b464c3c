"""farebox credit-notes: what was refunded once it was invoiced."""

from pathlib import Path

import click

from proxy.cli.api import Api, Json, segment
from proxy.cli.options import asks, paged
from proxy.cli.output import Out, money, plain, print_members, shown

_COLUMNS = (*plain("id", "number", "account_id", "invoice_number", "about", "ref", "name"), money("amount"))


@click.group("credit-notes")
def credit_notes() -> None:
    """Credit notes: refunds of what is on an invoice."""


@credit_notes.command("list")
@click.option("--account", "account_id", help="those of one account")
@paged
@asks
def list_credit_notes(
    api: Api, out: Out, *, account_id: str | None, limit: int | None, cursor: str | None
) -> None:
    """List credit notes, the newest first."""
    query = {"account_id": account_id, "limit": limit, "cursor": cursor}
    out.listing(api.get("/admin/v1/credit_notes", query), _COLUMNS)


@credit_notes.command("show")
@click.argument("credit_note_id", metavar="NOTE")
@click.option("--format", "form", type=click.Choice(["csv", "html", "pdf"]), help="another form than a list")
@click.option("--output", "-o", type=click.Path(path_type=Path), help="the file to write that to")
@asks
def show_credit_note(
    api: Api, out: Out, credit_note_id: str, *, form: str | None, output: Path | None
) -> None:
    """Show one credit note, or write it to a file."""
    answer = api.get(f"/admin/v1/credit_notes/{segment(credit_note_id)}", {"format": form})
    if output is not None:
        output.write_bytes(answer)
    elif form is not None:
        click.echo(answer, nl=False)
    else:
        out.answer(answer, _show)


def _show(note: Json) -> None:
    names = ("id", "number", "account_id", "invoice_number", "about", "ref", "name", "amount", "reason")
    print_members((name.replace("_", " "), shown(note[name])) for name in (*names, "issued_at"))
