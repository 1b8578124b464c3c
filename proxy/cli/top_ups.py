"""farebox top-ups: list, open, confirm, fail, refund, auto."""

import click

from proxy.cli.api import Api, Json, segment
from proxy.cli.money import KEY_HELP, once
from proxy.cli.options import asks, given, paged
from proxy.cli.output import Out, amount, money, plain, print_members, shown

_COLUMNS = (
    *plain("id", "account_id", "provider", "state", "package"),
    money("amount"),
    money("bonus"),
    money("price"),
    *plain("created_at", "reference"),
)
_STATES = click.Choice(["pending", "succeeded", "failed", "expired"])
_ONCE = click.option("--idempotency-key", metavar="KEY", help=KEY_HELP)
_REASON = click.option("--reason", required=True, help="why, for the books")


@click.group("top-ups")
def top_ups() -> None:
    """Money that accounts pay in."""


@top_ups.command("list")
@click.option("--account", help="only those of one account")
@click.option("--state", type=_STATES, help="only those in one state")
@paged
@asks
def list_top_ups(
    api: Api, out: Out, *, account: str | None, state: str | None, limit: int | None, cursor: str | None
) -> None:
    """List top-ups, the newest first."""
    query = {"account_id": account, "state": state, "limit": limit, "cursor": cursor}
    out.listing(api.get("/admin/v1/top_ups", query), _COLUMNS)


@top_ups.command("open")
@click.argument("account")
@click.argument("amount_text", metavar="[AMOUNT]", required=False)
@click.option("--package", help="a package by its name, in place of an amount")
@click.option("--method", help="the way it is paid, where fees differ")
@_ONCE
@asks
def open_top_up(
    api: Api,
    out: Out,
    account: str,
    amount_text: str | None,
    *,
    package: str | None,
    method: str | None,
    idempotency_key: str | None,
) -> None:
    """Open a top-up of AMOUNT, or of a package, that an account will pay."""
    path = f"/admin/v1/accounts/{segment(account)}/top_ups"
    body = given(amount=amount_text, package=package, method=method)
    out.answer(api.post(path, body, once(idempotency_key)), _show)


@top_ups.command("confirm")
@click.argument("account")
@click.argument("top_up")
@click.option("--reference", help="what the payment is called; it pays nothing else")
@click.option("--paid", metavar="AMOUNT", help="what was paid, to be compared with the price")
@asks
def confirm_top_up(
    api: Api, out: Out, account: str, top_up: str, *, reference: str | None, paid: str | None
) -> None:
    """Credit a top-up that was paid, once, however often it is confirmed."""
    out.answer(api.post(_path(account, top_up, "confirm"), given(reference=reference, paid=paid)), _show)


@top_ups.command("fail")
@click.argument("account")
@click.argument("top_up")
@_REASON
@asks
def fail_top_up(api: Api, out: Out, account: str, top_up: str, *, reason: str) -> None:
    """Close a top-up that was not paid."""
    out.answer(api.post(_path(account, top_up, "fail"), {"reason": reason}), _show)


@top_ups.command("refund")
@click.argument("account")
@click.argument("top_up")
@click.argument("amount_text", metavar="AMOUNT")
@_REASON
@_ONCE
@asks
def refund_top_up(
    api: Api,
    out: Out,
    account: str,
    top_up: str,
    amount_text: str,
    *,
    reason: str,
    idempotency_key: str | None,
) -> None:
    """Take back the credit that AMOUNT of the price has bought, and the rest of the bonus."""
    body = {"amount": amount_text, "reason": reason}
    out.answer(api.post(_path(account, top_up, "refunds"), body, once(idempotency_key)), _show)


@top_ups.command("auto")
@click.argument("account")
@click.option("--threshold", metavar="AMOUNT", help="the funds at which it is topped up")
@click.option("--amount", "amount_text", metavar="AMOUNT", help="what is bought")
@click.option("--target", metavar="AMOUNT", help="up to what is bought, in place of an amount")
@click.option("--daily-limit", metavar="AMOUNT", help="what is bought in a day at most")
@click.option("--monthly-limit", metavar="AMOUNT", help="what is bought in a month at most")
@click.option("--off", is_flag=True, help="top it up no longer")
@asks
def auto(
    api: Api, out: Out, account: str, *, amount_text: str | None, off: bool, **amounts: str | None
) -> None:
    """Show how an account is topped up by itself or, with options, set it."""
    path = f"/admin/v1/accounts/{segment(account)}/auto_top_up"
    body = given(amount=amount_text, **amounts)
    answer = api.put(path, {"enabled": not off, **body}) if body or off else api.get(path)
    out.answer(answer, _show_auto)


def _show_auto(rule: Json) -> None:
    """Print how an account is topped up."""
    names = ("threshold", "amount", "target", "daily_limit", "monthly_limit")
    print_members(
        [
            *((name.replace("_", " "), shown(rule[name])) for name in ("enabled", "method_saved")),
            *((name.replace("_", " "), amount(rule, name)) for name in names if rule[name]),
        ]
    )


def _path(account: str, top_up: str, verb: str) -> str:
    return f"/admin/v1/accounts/{segment(account)}/top_ups/{segment(top_up)}/{verb}"


def _show(top_up: Json) -> None:
    """Print a top-up."""
    what = ("id", "account_id", "provider", "state", "package", "method")
    texts = (*what, "created_at", "url", "reference", "reason")
    print_members(
        [
            *((name.replace("_", " "), shown(top_up[name])) for name in texts if top_up[name]),
            *((name, amount(top_up, name)) for name in ("amount", "bonus", "price", "fee", "refunded")),
        ]
    )
