"""farebox keys: list, create, update, disable."""

import click

from proxy.cli.api import Api, Json, segment
from proxy.cli.options import asks, given, limited, paged, users_limited
from proxy.cli.output import Column, Out, field, plain, print_members, shown

_COLUMNS = (
    *plain("id", "name", "hint", "status"),
    Column("models", lambda row: shown(row["models"]) or "all"),
    Column("created at", field("created_at")),
    Column("expires at", field("expires_at")),
)


@click.group()
def keys() -> None:
    """An account's bearer keys."""


@keys.command("list")
@click.argument("account")
@paged
@asks
def list_keys(api: Api, out: Out, account: str, limit: int | None, cursor: str | None) -> None:
    """List an account's keys, without their secrets, which are not stored."""
    body = api.get(f"/admin/v1/accounts/{segment(account)}/keys", {"limit": limit, "cursor": cursor})
    out.listing(body, _COLUMNS)


@keys.command("create")
@click.argument("account")
@click.option("--name", help="what to call it")
@click.option("--expires-at", metavar="INSTANT", help="when it ends, such as 2030-01-01T00:00:00Z")
@click.option("--model", "models", multiple=True, metavar="GLOB", help="a model it may use; may be repeated")
@click.option("--billing", type=click.Choice(["manage", "read"]), help="may it decide about money")
@limited
@users_limited
@asks
def create_key(
    api: Api,
    out: Out,
    account: str,
    *,
    name: str | None,
    expires_at: str | None,
    models: tuple[str, ...],
    billing: str | None,
    limits: Json,
    end_users: Json,
) -> None:
    """Create a key, and print its secret: this is the only time it is shown."""
    body = given(
        name=name, expires_at=expires_at, models=models, billing=billing, limits=limits, end_users=end_users
    )
    out.answer(api.post(f"/admin/v1/accounts/{segment(account)}/keys", body), _show)


@keys.command("update")
@click.argument("key")
@click.option("--name", help="what to call it")
@click.option("--status", type=click.Choice(["active", "disabled"]), help="whether it is accepted")
@click.option("--expires-at", metavar="INSTANT", help="when it ends, or 'never'")
@click.option("--model", "models", multiple=True, metavar="GLOB", help="a model it may use; may be repeated")
@click.option("--all-models", is_flag=True, help="let it use every model")
@click.option("--billing", type=click.Choice(["manage", "read", "default"]), help="may it decide about money")
@limited
@users_limited
@asks
def update_key(
    api: Api,
    out: Out,
    key: str,
    *,
    name: str | None,
    status: str | None,
    expires_at: str | None,
    models: tuple[str, ...],
    all_models: bool,
    billing: str | None,
    limits: Json,
    end_users: Json,
) -> None:
    """Change a key. Models that are named replace those it had; limits that are not named stay."""
    if models and all_models:
        raise click.UsageError("--model and --all-models contradict each other.")
    body = given(
        name=name, status=status, expires_at=expires_at, models=models, limits=limits, end_users=end_users
    )
    if expires_at == "never":
        body["expires_at"] = None
    if all_models:
        body["models"] = []
    if billing is not None:
        body["billing"] = None if billing == "default" else billing
    if not body:
        raise click.UsageError("Nothing to change: name at least one option.")
    out.answer(api.patch(f"/admin/v1/keys/{segment(key)}", body), _show)


@keys.command()
@click.argument("key")
@asks
def disable(api: Api, out: Out, key: str) -> None:
    """Refuse a key from now on."""
    out.answer(api.patch(f"/admin/v1/keys/{segment(key)}", {"status": "disabled"}), _show)


def _show(key: Json) -> None:
    names: tuple[str, ...] = ("id", "account_id", "name", "status", "secret", "hint", "created_at")
    names += ("expires_at", "models", "manages_billing")
    print_members((name.replace("_", " "), shown(key[name])) for name in names if key.get(name))
    if "secret" in key:
        click.echo("The secret is not stored and cannot be shown again.", err=True)
