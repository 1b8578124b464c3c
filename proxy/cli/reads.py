"""farebox usage, holds, jobs, receipts, upstreams, notifications: what was used, what is held, what was."""

import click

from proxy.cli.api import Api, Json, segment
from proxy.cli.options import asks, paged
from proxy.cli.output import Column, Out, amount, field, money, plain, print_members, print_table, shown
from proxy.cli.pages import whole_usage

_GROUPS = ("day", "month", "model", "key", "account", "end_user", "metadata")
_HOLD_COLUMNS = (
    *plain("id", "account_id", "model", "endpoint", "state"),
    money("amount"),
    *plain("created_at", "owner"),
)
_JOB_COLUMNS = (
    *plain("id", "account_id", "model", "endpoint", "object_id", "upstream"),
    money("hold"),
    *plain("began_at", "deadline"),
)
_RECEIPT_COLUMNS = (
    *plain("id", "started_at", "account_id", "model", "endpoint", "outcome", "status", "basis"),
    money("charged"),
)
_UPSTREAM_COLUMNS = (
    *plain("name", "base_url"),
    Column("credential", lambda row: _credential(row["credential"])),
    Column("targets", lambda row: ", ".join(map(_target, row["targets"]))),
)
_EVENT_COLUMNS = (
    *plain("timestamp", "type"),
    Column("account", lambda row: shown(row["data"]["account_id"])),
    Column("about", lambda row: _event_text(row["data"])),
    *plain("id"),
)
_USAGE_COUNTS = ("requests", "input_tokens", "cached_input_tokens", "output_tokens")
_ATTEMPT_COLUMNS = plain("target", "status", "seconds")
_LINE_COLUMNS = (
    *plain("meter"),
    Column("quantity", field("quantity"), right=True),
    Column("price", lambda row: f"{amount(row, 'price')} / {row['per']}", right=True),
    money("amount"),
)


@click.command()
@click.option("--group-by", type=click.Choice(_GROUPS), default="day", show_default=True)
@click.option(
    "--start-date", metavar="DATE", help="first UTC day, such as 2030-01-31  [default: 30 days ago]"
)
@click.option("--end-date", metavar="DATE", help="last UTC day  [default: today]")
@click.option("--account", help="of this account only")
@click.option("--end-user", help="of what was done for this end user only")
@click.option("--metadata-key", metavar="NAME", help="with --group-by metadata: by what this member says")
@asks
def usage(
    api: Api,
    out: Out,
    *,
    group_by: str,
    start_date: str | None,
    end_date: str | None,
    account: str | None,
    end_user: str | None,
    metadata_key: str | None,
) -> None:
    """Sum up usage and charges by time, model, key, account or end user: all of them, however many."""
    query = {"group_by": group_by, "start_date": start_date, "end_date": end_date, "account_id": account}
    query |= {"end_user": end_user, "metadata_key": metadata_key}
    out.answer(
        whole_usage(lambda cursor: api.get("/admin/v1/usage", {**query, "cursor": cursor})), _show_usage
    )


@click.command()
@click.option("--state", type=click.Choice(["open", "settled", "voided", "expired"]))
@click.option("--account", help="of this account only")
@paged
@asks
def holds(
    api: Api, out: Out, *, state: str | None, account: str | None, limit: int | None, cursor: str | None
) -> None:
    """List holds, the newest first."""
    query = {"state": state, "account_id": account, "limit": limit, "cursor": cursor}
    out.listing(api.get("/admin/v1/holds", query), _HOLD_COLUMNS)


@click.command()
@click.option("--account", help="of this account only")
@paged
@asks
def jobs(api: Api, out: Out, *, account: str | None, limit: int | None, cursor: str | None) -> None:
    """List jobs that have not ended, the oldest first."""
    query = {"account_id": account, "limit": limit, "cursor": cursor}
    out.listing(api.get("/admin/v1/jobs", query), _JOB_COLUMNS)


@click.command()
@click.argument("call", required=False)
@click.option("--account", help="of this account only")
@click.option("--key", help="of this key only")
@click.option("--model", help="of this model only")
@paged
@asks
def receipts(
    api: Api,
    out: Out,
    *,
    call: str | None,
    account: str | None,
    key: str | None,
    model: str | None,
    limit: int | None,
    cursor: str | None,
) -> None:
    """List receipts, the newest first; with a CALL's id, print its own."""
    query = {"account_id": account, "key_id": key, "model": model, "limit": limit, "cursor": cursor}
    if call is None:
        out.listing(api.get("/admin/v1/receipts", query), _RECEIPT_COLUMNS)
        return
    if any(value is not None for value in query.values()):
        raise click.UsageError("The options of a list do not apply to one call.")
    out.answer(api.get(f"/admin/v1/receipts/{segment(call)}"), _show_receipt)


@click.command()
@asks
def upstreams(api: Api, out: Out) -> None:
    """List the upstreams in force, and the routes with targets on them."""
    out.listing(api.get("/admin/v1/upstreams"), _UPSTREAM_COLUMNS)


def _credential(credential: Json | None) -> str:
    return f"{credential['place']} {credential['name']}" if credential else "none"


def _target(target: Json) -> str:
    there = target["model"] or target["path"]
    return f"{target['route']} ({there})" if there else str(target["route"])


def _show_usage(usage: Json) -> None:
    total = {"group": "total", **usage["total"]}
    columns = (
        Column(usage["group_by"], field("group")),
        *(Column(name.replace("_", " "), field(name), right=True) for name in _USAGE_COUNTS),
        money("charged"),
    )
    print_table([*usage["data"], total], columns, title=f"{usage['start_date']} to {usage['end_date']}, UTC")


def _show_receipt(call: Json) -> None:
    names = (
        *("id", "account_id", "key_id", "endpoint", "model", "upstream", "upstream_model", "stream"),
        "end_user",
        "run_id",
        *("started_at", "first_byte_at", "ended_at", "outcome", "status", "basis", "usage"),
        *("inferred", "price_id"),
    )
    amounts = ("hold", "total", "charged", "shortfall", "owed", "refunded")
    print_members(
        [
            *((name.replace("_", " "), shown(call[name])) for name in names),
            *((name, amount(call, name)) for name in amounts),
        ]
    )
    print_table(call["attempts"], _ATTEMPT_COLUMNS, title="Attempts")
    print_table(call["lines"], _LINE_COLUMNS, title="Charge")


@click.command()
@click.option("--account", help="only those of this account")
@click.option("--type", "type_", help="only those of this type, such as balance.low")
@paged
@asks
def notifications(
    api: Api, out: Out, *, account: str | None, type_: str | None, limit: int | None, cursor: str | None
) -> None:
    """List the events of accounts, the newest first."""
    query = {"account_id": account, "type": type_, "limit": limit, "cursor": cursor}
    out.listing(api.get("/admin/v1/notifications", query), _EVENT_COLUMNS)


def _event_text(data: Json) -> str:
    """What an event tells, in a line."""
    members = {name: value for name, value in data.items() if name != "account_id" and value is not None}
    return ", ".join(f"{name} {value}" for name, value in members.items())
