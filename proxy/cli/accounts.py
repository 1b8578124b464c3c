"""farebox accounts: list, show, create, update, suspend, resume."""

import click

from proxy.cli.api import Api, Json, segment
from proxy.cli.options import alerted, asks, given, limited, paged, users_limited
from proxy.cli.output import Column, Out, amount, field, money, plain, print_members, print_table, shown


def _today(account: Json) -> str:
    """The spending of an account on this UTC day, and its limit."""
    day: Json = next((row for row in account["spending"] if row["window"] == "day"), {})
    spent = amount(day, "spent")
    return f"{spent} of {amount(day, 'limit')}" if day.get("limit") else spent


_COLUMNS = (
    *plain("id", "name", "status", "group"),
    money("balance"),
    money("held"),
    money("available"),
    Column("today", _today, right=True),
)
_SPENDING_COLUMNS = (
    *plain("window"),
    money("limit"),
    money("spent"),
    money("held"),
    money("remaining"),
    Column("resets at", field("resets_at")),
)


@click.group()
def accounts() -> None:
    """Who is billed: balances, limits, status."""


@accounts.command("list")
@click.option("--group", help="only the accounts of this group")
@paged
@asks
def list_accounts(api: Api, out: Out, *, group: str | None, limit: int | None, cursor: str | None) -> None:
    """List the accounts, the newest first."""
    query = {"group": group, "limit": limit, "cursor": cursor}
    out.listing(api.get("/admin/v1/accounts", query), _COLUMNS)


@accounts.command("show")
@click.argument("account")
@asks
def show_account(api: Api, out: Out, account: str) -> None:
    """Show one account, with what is spent of its limits."""
    out.answer(api.get(f"/admin/v1/accounts/{segment(account)}"), show)


@accounts.command("create")
@click.argument("name")
@click.option("--group", help="the group that it is in")
@click.option("--credit-limit", metavar="AMOUNT", help="how far below zero its balance may go")
@limited
@users_limited
@alerted
@asks
def create_account(
    api: Api,
    out: Out,
    name: str,
    *,
    group: str | None,
    credit_limit: str | None,
    limits: Json,
    end_users: Json,
    alerts: Json,
) -> None:
    """Open an account. It has no money until a grant, and no key."""
    body = given(
        name=name, group=group, credit_limit=credit_limit, limits=limits, end_users=end_users, alerts=alerts
    )
    out.answer(api.post("/admin/v1/accounts", body), show)


@accounts.command("update")
@click.argument("account")
@click.option("--name", help="its new name")
@click.option("--group", help="the group that it is in from now on")
@click.option("--no-group", is_flag=True, help="take it out of its group")
@click.option("--credit-limit", metavar="AMOUNT", help="how far below zero its balance may go")
@limited
@users_limited
@alerted
@asks
def update_account(
    api: Api,
    out: Out,
    account: str,
    *,
    name: str | None,
    group: str | None,
    no_group: bool,
    credit_limit: str | None,
    limits: Json,
    end_users: Json,
    alerts: Json,
) -> None:
    """Change an account. Limits and alerts that are not named stay as they are."""
    if group and no_group:
        raise click.UsageError("--group and --no-group contradict each other.")
    body = given(
        name=name, group=group, credit_limit=credit_limit, limits=limits, end_users=end_users, alerts=alerts
    )
    if no_group:
        body["group"] = ""
    if not body:
        raise click.UsageError("Nothing to change: name at least one option.")
    out.answer(api.patch(f"/admin/v1/accounts/{segment(account)}", body), show)


@accounts.command()
@click.argument("account")
@asks
def plan(api: Api, out: Out, account: str) -> None:
    """Show the plan that an account is in, and until when it is paid."""
    out.answer(api.get(f"/admin/v1/accounts/{segment(account)}/plan"), _show_plan)


@accounts.command()
@click.argument("account")
@click.argument("held", type=int)
@click.option("--as-of", metavar="INSTANT", help="as of when; now without it")
@asks
def holdings(api: Api, out: Out, account: str, held: int, *, as_of: str | None) -> None:
    """Tell how much an account holds elsewhere, which decides its group."""
    body = given(as_of=as_of) | {"held": held}
    out.answer(api.put(f"/admin/v1/accounts/{segment(account)}/holdings", body), _show_holdings)


@accounts.command()
@click.argument("account")
@asks
def suspend(api: Api, out: Out, account: str) -> None:
    """Refuse an account's calls from now on; those in flight end as usual."""
    out.answer(api.patch(f"/admin/v1/accounts/{segment(account)}", {"status": "suspended"}), show)


@accounts.command()
@click.argument("account")
@asks
def resume(api: Api, out: Out, account: str) -> None:
    """Let a suspended account call again."""
    out.answer(api.patch(f"/admin/v1/accounts/{segment(account)}", {"status": "active"}), show)


def show(account: Json) -> None:
    """Print one account."""
    money_names = ("balance", "held", "available", "debt", "credit_limit")
    print_members(
        [
            *((name, shown(account[name])) for name in ("id", "name", "status", "group", "created_at")),
            *((name.replace("_", " "), amount(account, name)) for name in money_names),
            *rates(account["effective_limits"]),
            *_alerts(account["alerts"]),
        ]
    )
    print_table(account["spending"], _SPENDING_COLUMNS, title="Spending")


def _show_holdings(found: Json) -> None:
    """Print what is known of what an account holds."""
    names = ("account_id", "held", "as_of", "group")
    print_members([(name.replace("_", " "), shown(found[name])) for name in names])


def _show_plan(found: Json) -> None:
    """Print what an account has in its plan."""
    of_plan: Json = found["plan"] or {}
    names = ("since", "paid_until", "unpaid_since", "next_renewal_at")
    print_members(
        [
            ("account", found["account_id"]),
            ("plan", of_plan.get("id", "none")),
            *(((name, amount(of_plan, name)) for name in ("fee", "included")) if of_plan else ()),
            *((name.replace("_", " "), shown(found[name])) for name in names if found[name] is not None),
        ]
    )


def _alerts(alerts: Json) -> list[tuple[str, str]]:
    """The rules of its own, if it has any."""
    rows = []
    if alerts["balance_low"] is not None:
        rows.append(("told of low funds at", shown(alerts["balance_low"])))
    if alerts["limit_percents"] is not None:
        parts = ", ".join(f"{percent} %" for percent in alerts["limit_percents"])
        rows.append(("told of limits at", parts or "none"))
    return rows


def rates(limits: Json) -> list[tuple[str, str]]:
    """The limits on rates and on calls at once, if there are any."""
    names = {"rpm": "requests a minute", "tpm": "tokens a minute", "concurrency": "calls at once"}
    return [(label, shown(limits[name])) for name, label in names.items() if limits[name] is not None]
