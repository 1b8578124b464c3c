"""farebox end-users: list, limit."""

import click

from proxy.cli.api import Api, Json, segment
from proxy.cli.options import asks, given, limited_for_users, paged
from proxy.cli.output import Column, Out, plain, print_members, shown

_WINDOWS = ("day", "week", "month")
_COLUMNS = (
    *plain("end_user"),
    Column("calls", lambda row: str(row["open_holds"]), right=True),
    *(
        Column(f"spent this {window}", lambda row, window=window: _spent(row, window), right=True)  # type: ignore[misc]
        for window in _WINDOWS
    ),
    Column("limits of its own", lambda row: _limits(row["limits"])),
)


@click.group("end-users")
def end_users() -> None:
    """Whom accounts make their calls for."""


@end_users.command("list")
@click.argument("account")
@click.option("--end-user", help="this one alone")
@paged
@asks
def list_end_users(
    api: Api, out: Out, account: str, *, end_user: str | None, limit: int | None, cursor: str | None
) -> None:
    """List the end users of an account that limits count."""
    query = {"end_user": end_user, "limit": limit, "cursor": cursor}
    out.listing(api.get(f"/admin/v1/accounts/{segment(account)}/end_users", query), _COLUMNS)


@end_users.command("limit")
@click.argument("account")
@click.argument("end_user")
@limited_for_users
@asks
def limit_end_user(api: Api, out: Out, account: str, end_user: str, *, limits: Json) -> None:
    """Set the limits of one end user, in place of those it has; without any they are those of the others."""
    body = given(end_user=end_user, limits=limits)
    out.answer(api.put(f"/admin/v1/accounts/{segment(account)}/end_users", body), _show)


def _show(found: Json) -> None:
    print_members(
        [
            *((name.replace("_", " "), shown(found[name])) for name in ("account_id", "end_user")),
            ("limits", _limits(found["limits"]) or "those of the others"),
            *((f"spent this {window}", _spent(found, window)) for window in _WINDOWS),
        ]
    )


def _limits(limits: Json) -> str:
    return ", ".join(f"{name} {shown(limit)}" for name, limit in limits.items() if limit is not None)


def _spent(found: Json, window: str) -> str:
    return next((shown(row["spent"]) for row in found["spending"] if row["window"] == window), "")
