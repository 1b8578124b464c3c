"""The command line: commands for a configuration file, for a database, and for a running server."""

import click

import proxy
from proxy.cli.accounts import accounts
from proxy.cli.counters import counters
from proxy.cli.credit_notes import credit_notes
from proxy.cli.end_users import end_users
from proxy.cli.events import events
from proxy.cli.files import check, schema, serve
from proxy.cli.invoices import invoices
from proxy.cli.keys import keys
from proxy.cli.ledger import audit, backup, copy, migrate
from proxy.cli.levels import levels
from proxy.cli.lots import lots, refund
from proxy.cli.money import adjust, grant
from proxy.cli.reads import holds, jobs, notifications, receipts, upstreams, usage
from proxy.cli.runs import runs
from proxy.cli.top_ups import top_ups
from proxy.cli.vouchers import vouchers
from proxy.cli.webhooks import webhooks


@click.group(epilog="Commands for a running server need the admin key in FAREBOX_ADMIN_KEY.")
@click.version_option(proxy.__version__, prog_name="farebox")
def main() -> None:
    """Farebox: no call without funds, no charge without a receipt."""


_FOR_FILES = (serve, check, schema)
_FOR_DATABASES = (audit, backup, migrate, copy)
_FOR_SERVERS = (
    accounts,
    keys,
    end_users,
    grant,
    adjust,
    lots,
    refund,
    vouchers,
    events,
    counters,
    runs,
    levels,
    notifications,
    top_ups,
    credit_notes,
    invoices,
    webhooks,
    usage,
    holds,
    jobs,
    receipts,
    upstreams,
)

for _command in (*_FOR_FILES, *_FOR_DATABASES, *_FOR_SERVERS):
    main.add_command(_command)
