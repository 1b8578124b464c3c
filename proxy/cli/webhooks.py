"""farebox webhooks: list, deliveries, show, replay, test."""

import json

import click

from proxy.cli.api import Api, Json, segment
from proxy.cli.options import asks, given, paged
from proxy.cli.output import Column, Out, field, plain, print_members, print_table, shown

_PATH = "/admin/v1/webhooks"
_COLUMNS = (
    *plain("name", "host"),
    Column("types", lambda row: ", ".join(row["types"])),
    Column("accounts", lambda row: ", ".join(row["accounts"])),
)
_OWN_COLUMNS = (
    *plain("id", "url"),
    Column("types", lambda row: ", ".join(row["types"])),
    *plain("created_at", "rotated_at"),
)
_DELIVERY_COLUMNS = (
    *plain("at", "event_id", "account_id", "endpoint", "state"),
    Column("attempts", field("attempts"), right=True),
    *plain("status", "next_at", "reason"),
)


@click.group()
def webhooks() -> None:
    """Receivers of events."""


@webhooks.command("list")
@asks
def list_webhooks(api: Api, out: Out) -> None:
    """List the receivers of events."""
    out.listing(api.get(_PATH), _COLUMNS)


@webhooks.command("deliveries")
@click.argument("endpoint")
@click.option("--state", type=click.Choice(["pending", "delivered", "dead"]), help="[default: pending]")
@paged
@asks
def list_deliveries(
    api: Api, out: Out, endpoint: str, *, state: str | None, limit: int | None, cursor: str | None
) -> None:
    """List what a receiver is to be told, was told, or could not be told."""
    query = {"state": state, "limit": limit, "cursor": cursor}
    out.listing(api.get(f"{_PATH}/{segment(endpoint)}/deliveries", query), _DELIVERY_COLUMNS)


@webhooks.command("show")
@click.argument("account")
@click.argument("event")
@asks
def show_event(api: Api, out: Out, account: str, event: str) -> None:
    """Show an event, and what has become of telling of it."""
    out.answer(api.get(f"/admin/v1/accounts/{segment(account)}/notifications/{segment(event)}"), _show_event)


@webhooks.command("replay")
@click.argument("endpoint")
@click.option("--account", help="the account of the event")
@click.option("--event", help="the event")
@click.option("--since", metavar="INSTANT", help="or all from then on, such as 2030-01-01T00:00:00Z")
@asks
def replay(
    api: Api, out: Out, endpoint: str, *, account: str | None, event: str | None, since: str | None
) -> None:
    """Send a receiver an event again, or all since a time."""
    if (since is None) == (account is None or event is None):
        raise click.UsageError("Name either --since, or both --account and --event.")
    body, total = given(account_id=account, event_id=event, since=since), 0
    while True:
        answer = api.post(f"{_PATH}/{segment(endpoint)}/replay", body)
        page: Json = json.loads(answer)
        total += page["replayed"]
        if not page["has_more"]:
            break
        body["cursor"] = page["next_cursor"]
    out.answer(answer, lambda _: click.echo(f"{total} sent again."))


@webhooks.command("test")
@click.argument("endpoint")
@asks
def test_webhook(api: Api, out: Out, endpoint: str) -> None:
    """Send a receiver a test message, and print what it answers."""
    out.answer(api.post(f"{_PATH}/{segment(endpoint)}/test", {}), _show_test)


@webhooks.command("of")
@click.argument("account")
@asks
def list_own(api: Api, out: Out, account: str) -> None:
    """List the webhooks that an account has registered itself."""
    out.listing(api.get(f"/admin/v1/accounts/{segment(account)}/webhooks"), _OWN_COLUMNS)


@webhooks.command("delete")
@click.argument("account")
@click.argument("webhook")
@asks
def delete_own(api: Api, out: Out, account: str, webhook: str) -> None:
    """Delete a webhook that an account has registered itself."""
    answer = api.delete(f"/admin/v1/accounts/{segment(account)}/webhooks/{segment(webhook)}")
    out.answer(answer, lambda deleted: click.echo(f"{deleted['id']} is deleted."))


def _show_event(event: Json) -> None:
    print_members((name, shown(event[name])) for name in ("id", "type", "timestamp"))
    print_members((name.replace("_", " "), shown(value)) for name, value in event["data"].items())
    print_table(event["deliveries"], _DELIVERY_COLUMNS, title="Deliveries")


def _show_test(sent: Json) -> None:
    print_members((name, shown(sent[name])) for name in ("endpoint", "delivered", "status", "reason"))
