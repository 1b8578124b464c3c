"""The command line: `farebox serve`, `check` and `schema` for a file, all else for a running server."""

import click

import proxy
from proxy.cli.accounts import accounts
from proxy.cli.files import check, schema, serve
from proxy.cli.keys import keys
from proxy.cli.money import adjust, grant
from proxy.cli.reads import calls, holds, usage


@click.group(epilog="Commands for a running server need the admin key in FAREBOX_ADMIN_KEY.")
@click.version_option(proxy.__version__, prog_name="farebox")
def main() -> None:
    """Farebox: no call without funds, no charge without a receipt."""


for _command in (serve, check, schema, accounts, keys, grant, adjust, usage, holds, calls):
    main.add_command(_command)
