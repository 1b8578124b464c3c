"""farebox counters: what an account has used of its allowances and tiers."""

from collections.abc import Iterator

import click

from proxy.cli.api import Api, Json, segment
from proxy.cli.options import asks
from proxy.cli.output import Column, Out, field, plain, print_table

_COLUMNS = (
    *plain("counter", "period", "resets_at", "rate_card", "meter", "upto"),
    Column("price", field("price"), right=True),
    Column("used", field("used"), right=True),
)


@click.command()
@click.argument("account")
@asks
def counters(api: Api, out: Out, account: str) -> None:
    """List what an account has used of each tier in the periods of now."""
    out.answer(api.get(f"/admin/v1/accounts/{segment(account)}/counters"), _show)


def _show(page: Json) -> None:
    print_table([row for counter in page["data"] for row in _rows(counter)], _COLUMNS)


def _rows(counter: Json) -> Iterator[Json]:
    """A row for each tier of each rate; one alone for a counter that no rate in force counts with."""
    shared = {"counter": counter["name"], "period": counter["period"], "resets_at": counter["resets_at"]}
    if not counter["rates"]:
        yield {**shared, "used": counter["used"]}
    for rate in counter["rates"]:
        for tier in rate["tiers"]:
            named = {"rate_card": rate["rate_card"], "meter": rate["meter"], "upto": tier["upto"]}
            yield {**shared, **named, "price": f"{tier['price']} / {tier['per']}", "used": tier["used"]}
