"""farebox runs: what calls that are billed together cost."""

import click

from proxy.cli.api import Api, Json, segment
from proxy.cli.options import asks, paged
from proxy.cli.output import Column, Out, amount, field, money, plain, print_members, print_table

_COLUMNS = (*plain("id"), money("subtotal"), money("markup"), money("total"))
_COMPONENT_COLUMNS = (
    *plain("model", "endpoint"),
    Column("calls", field("calls"), right=True),
    money("total"),
)
_STEP_COLUMNS = (
    *plain("id", "ended_at", "model", "endpoint", "outcome"),
    *(money("subtotal"), money("markup"), money("total")),
)


@click.command()
@click.argument("account")
@click.argument("run", required=False)
@paged
@asks
def runs(api: Api, out: Out, account: str, *, run: str | None, limit: int | None, cursor: str | None) -> None:
    """List an account's runs; with a RUN's id, print its own, and its steps, the newest first."""
    path, query = f"/admin/v1/accounts/{segment(account)}/runs", {"limit": limit, "cursor": cursor}
    if run is None:
        out.listing(api.get(path, query), _COLUMNS)
    else:
        out.answer(api.get(f"{path}/{segment(run)}", query), _show)


def _show(run: Json) -> None:
    names = ("subtotal", "markup", "total")
    print_members([("id", run["id"]), *((name, amount(run, name)) for name in names)])
    print_table(run["components"], _COMPONENT_COLUMNS, title="Components")
    print_table(run["steps"]["data"], _STEP_COLUMNS, title="Steps")
    if run["steps"]["next_cursor"]:
        click.echo(f"There is more: --cursor {run['steps']['next_cursor']}", err=True)
