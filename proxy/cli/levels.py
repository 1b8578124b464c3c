"""farebox levels: what an account uses over time."""

import click

from proxy.cli.api import Api, segment
from proxy.cli.options import asks, paged
from proxy.cli.output import Column, Out, field, plain

_COLUMNS = (
    *plain("type", "thing", "state"),
    Column("level", field("level"), right=True),
    *plain("began_at", "charged_until"),
)


@click.command()
@click.argument("account")
@paged
@asks
def levels(api: Api, out: Out, account: str, *, limit: int | None, cursor: str | None) -> None:
    """List what an account uses over time: how much there is, and until when that is charged."""
    query = {"limit": limit, "cursor": cursor}
    out.listing(api.get(f"/admin/v1/accounts/{segment(account)}/levels", query), _COLUMNS)
