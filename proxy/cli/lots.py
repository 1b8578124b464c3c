"""farebox lots, refund: what is left of grants, and what is taken or given back."""

import click

from proxy.cli.api import Api, segment
from proxy.cli.money import KEY_HELP, once, show_entry
from proxy.cli.options import asks, paged
from proxy.cli.output import Column, Out, field, money, plain

_COLUMNS = (
    *plain("id", "kind", "status"),
    Column("priority", field("priority"), right=True),
    money("amount"),
    money("remaining"),
    *plain("granted_at", "expires_at"),
)
_ONCE = click.option("--idempotency-key", metavar="KEY", help=KEY_HELP)
_REASON = click.option("--reason", required=True, help="why, for the books")


@click.group()
def lots() -> None:
    """What an account's grants have left."""


@lots.command("list")
@click.argument("account")
@click.option("--expires-before", metavar="INSTANT", help="only those that expire before it")
@paged
@asks
def list_lots(
    api: Api, out: Out, account: str, *, expires_before: str | None, limit: int | None, cursor: str | None
) -> None:
    """List an account's lots with something left, in the order they are drawn from."""
    query = {"expires_before": expires_before, "limit": limit, "cursor": cursor}
    out.listing(api.get(f"/admin/v1/accounts/{segment(account)}/lots", query), _COLUMNS)


@lots.command("void")
@click.argument("account")
@click.argument("lot")
@_REASON
@_ONCE
@asks
def void_lot(api: Api, out: Out, account: str, lot: str, *, reason: str, idempotency_key: str | None) -> None:
    """Take what is left of a lot, but for what calls in flight may still draw of it."""
    path = f"/admin/v1/accounts/{segment(account)}/lots/{segment(lot)}/void"
    out.answer(api.post(path, {"reason": reason}, once(idempotency_key)), show_entry)


@lots.command("refund")
@click.argument("account")
@click.argument("lot")
@click.argument("amount_text", metavar="AMOUNT")
@_REASON
@_ONCE
@asks
def refund_lot(
    api: Api, out: Out, account: str, lot: str, amount_text: str, *, reason: str, idempotency_key: str | None
) -> None:
    """Take AMOUNT from a purchase or a grant, because its buyer gets that back."""
    path = f"/admin/v1/accounts/{segment(account)}/lots/{segment(lot)}/refunds"
    body = {"amount": amount_text, "reason": reason}
    out.answer(api.post(path, body, once(idempotency_key)), show_entry)


@click.command()
@click.argument("call")
@click.argument("amount_text", metavar="AMOUNT")
@_REASON
@_ONCE
@asks
def refund(
    api: Api, out: Out, call: str, amount_text: str, *, reason: str, idempotency_key: str | None
) -> None:
    """Give back AMOUNT of what a call was charged."""
    body = {"amount": amount_text, "reason": reason}
    path = f"/admin/v1/receipts/{segment(call)}/refunds"
    out.answer(api.post(path, body, once(idempotency_key)), show_entry)
