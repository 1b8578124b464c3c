"""farebox vouchers: create, list."""

import click

from proxy.cli.api import Api, Json
from proxy.cli.options import asks, given, paged
from proxy.cli.output import Column, Out, field, money, plain, print_members, shown

_COLUMNS = (
    *plain("id", "label", "kind"),
    money("amount"),
    Column("used", lambda row: f"{row['used']} of {row['uses']}", right=True),
    Column("days", field("days"), right=True),
    *plain("created_at", "expires_at"),
)


@click.group()
def vouchers() -> None:
    """Codes that put credit in."""


@vouchers.command("create")
@click.argument("amount_text", metavar="AMOUNT")
@click.option("--kind", help="the kind of the lot  [default: voucher]")
@click.option("--uses", type=click.IntRange(1), help="how many accounts may redeem it  [default: 1]")
@click.option("--expires-at", metavar="INSTANT", help="until when, such as 2030-01-01T00:00:00Z")
@click.option("--days", type=click.IntRange(1), help="how long its credit lasts  [default: for ever]")
@click.option("--prefix", help="what the code begins with")
@click.option("--label", help="what it is for, which is the note on each entry")
@asks
def create_voucher(
    api: Api,
    out: Out,
    amount_text: str,
    *,
    kind: str | None,
    uses: int | None,
    expires_at: str | None,
    days: int | None,
    prefix: str | None,
    label: str | None,
) -> None:
    """Make a voucher, and print its code: this is the only time it is shown."""
    body = given(amount=amount_text, kind=kind, uses=uses, expires_at=expires_at, days=days)
    body |= given(prefix=prefix, label=label)
    out.answer(api.post("/admin/v1/vouchers", body), _show)


@vouchers.command("list")
@paged
@asks
def list_vouchers(api: Api, out: Out, *, limit: int | None, cursor: str | None) -> None:
    """List vouchers, the newest first, without their codes, which are not stored."""
    out.listing(api.get("/admin/v1/vouchers", {"limit": limit, "cursor": cursor}), _COLUMNS)


def _show(voucher: Json) -> None:
    names = ("id", "label", "kind", "code", "amount", "uses", "days", "created_at", "expires_at")
    print_members((name.replace("_", " "), shown(voucher[name])) for name in names if voucher.get(name))
    click.echo("The code is not stored and cannot be shown again.", err=True)
