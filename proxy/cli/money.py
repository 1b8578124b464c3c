"""farebox grant, adjust: credit, and corrections."""

import uuid

import click

from proxy.cli.api import Api, Json, segment
from proxy.cli.options import asks, given
from proxy.cli.output import Out, amount, print_members, shown

# An amount such as -5.00 looks like an option. No command here has an option with one dash.
_NEGATIVE_AMOUNTS = {"ignore_unknown_options": True}
KEY_HELP = "makes a repeat harmless  [default: a new one]"


@click.command()
@click.argument("account")
@click.argument("amount_text", metavar="AMOUNT")
@click.option("--kind", help="what it is, such as purchase or bonus  [default: grant]")
@click.option("--priority", type=click.IntRange(0, 100), help="lower is drawn first  [default: 50]")
@click.option("--expires-at", metavar="INSTANT", help="when it ends, such as 2030-01-01T00:00:00Z")
@click.option("--note", help="what to say on the entry")
@click.option("--idempotency-key", metavar="KEY", help=KEY_HELP)
@asks
def grant(
    api: Api,
    out: Out,
    account: str,
    amount_text: str,
    *,
    kind: str | None,
    priority: int | None,
    expires_at: str | None,
    note: str | None,
    idempotency_key: str | None,
) -> None:
    """Put credit in: AMOUNT is US dollars, or '<number> <unit>' such as '500 credits'."""
    body = given(amount=amount_text, kind=kind, priority=priority, expires_at=expires_at, note=note)
    path = f"/admin/v1/accounts/{segment(account)}/grants"
    out.answer(api.post(path, body, once(idempotency_key)), show_entry)


@click.command(context_settings=_NEGATIVE_AMOUNTS)
@click.argument("account")
@click.argument("amount_text", metavar="AMOUNT")
@click.option("--reason", required=True, help="why, for the books")
@click.option("--idempotency-key", metavar="KEY", help=KEY_HELP)
@asks
def adjust(
    api: Api, out: Out, account: str, amount_text: str, *, reason: str, idempotency_key: str | None
) -> None:
    """Correct a balance: a positive AMOUNT is put in, a negative one such as -5.00 is taken."""
    path = f"/admin/v1/accounts/{segment(account)}/adjustments"
    out.answer(api.post(path, {"amount": amount_text, "reason": reason}, once(idempotency_key)), show_entry)


def once(idempotency_key: str | None) -> dict[str, str]:
    """The header of a command that is carried out once; a new one where no key is given."""
    return {"Idempotency-Key": idempotency_key or str(uuid.uuid4())}


def show_entry(entry: Json) -> None:
    """Print the entry that a command made."""
    names = ("amount", "balance_after", "debt_after")
    print_members(
        [
            *((name, shown(entry[name])) for name in ("account_id", "kind", "at")),
            *((name.replace("_", " "), amount(entry, name)) for name in names),
            ("ref", shown(entry["ref"])),
            ("note", shown(entry["note"])),
        ]
    )
