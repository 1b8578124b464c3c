"""The settings of a process from a configuration file, all of it checked, every fault reported."""

import re
from collections.abc import Mapping
from pathlib import Path as FilePath
from typing import Final, Literal

import msgspec
from msgspec.structs import replace

from proxy.billing.offers import Payments
from proxy.config.admin_key import admin_key_fault
from proxy.config.advice import advise
from proxy.config.alerts import build_alerts, build_webhooks
from proxy.config.amounts import amount_nano
from proxy.config.cards import build_book
from proxy.config.events import build_events
from proxy.config.faults import ConfigFault, Findings
from proxy.config.groups import build_groups
from proxy.config.holdings import Holdings, build_holdings
from proxy.config.invoice_schema import InvoicesSchema
from proxy.config.list_prices import with_list_prices
from proxy.config.payments import build_payments
from proxy.config.routing import build_routes
from proxy.config.schema import (
    Admin,
    AlertsSchema,
    ConfigSchema,
    DemoSchema,
    JobsSchema,
    Log,
    ObjectsSchema,
    Server,
    Streams,
    UnitSchema,
)
from proxy.config.source import load_tree
from proxy.config.upstreams import build_upstreams
from proxy.config.validate import validate
from proxy.endpoints.event_plan import EventPolicy
from proxy.ledger.alerts import Alerts
from proxy.ledger.groups import Groups
from proxy.ledger.invoices import InvoicePolicy
from proxy.money import USD, Unit
from proxy.pricing.book import PriceBook
from proxy.upstream.routes import Routes, Upstream
from proxy.upstream.webhooks import Webhooks
from proxy.validation import is_visible_ascii

ADMIN_KEY_HINT: Final = "take a random one from the environment: `openssl rand -hex 24` makes one"
_SQLITE: Final = "sqlite:///"
# User, host, database and options. The driver checks which hosts and options are valid.
_POSTGRES_REST: Final = re.compile(r"[^\s/?#]*/[^\s/?#]+(?:\?[^\s#]*)?")


class Settings(msgspec.Struct, frozen=True):
    """The settings of a process. Money is nano-USD, except in `quickstart`, which has the checked text.

    `storage` is the database file, relative to the working directory, or the URL of a PostgreSQL database,
    which may hold a password.
    """

    source: FilePath
    server: Server
    admin: Admin
    log: Log
    streams: Streams
    jobs: JobsSchema
    objects: ObjectsSchema
    events: EventPolicy
    invoices: InvoicePolicy | None
    storage: FilePath | str
    keep_months: int | None
    unit: Unit
    groups: Groups
    holdings: Holdings
    alerts: Alerts
    webhooks: Webhooks
    expiring_days: int
    payments: Payments | None
    refund_days: int | None
    when_short: Literal["clamp", "refuse"]
    on_shortfall: Literal["forgive", "owe"]
    min_output_tokens: int
    upstreams: dict[str, Upstream]
    routes: Routes
    book: PriceBook
    quickstart: DemoSchema | None

    @property
    def top_up_url(self) -> str:
        """The page on which accounts pay in; empty where there is none."""
        return self.payments.top_up_url if self.payments else ""


def load(path: FilePath | str, environ: Mapping[str, str]) -> Settings:
    """The settings in a file. Raises ConfigError with every fault found in it."""
    return _load(path, environ)[0]


def check(path: FilePath | str, environ: Mapping[str, str]) -> tuple[Settings, tuple[ConfigFault, ...]]:
    """The settings in a file, and warnings of what is valid but hardly meant. Raises ConfigError."""
    settings, schema, findings = _load(path, environ)
    advise(schema, settings.book, findings)
    return settings, tuple(sorted(findings.warnings, key=lambda warning: warning.line))


def _load(path: FilePath | str, environ: Mapping[str, str]) -> tuple[Settings, ConfigSchema, Findings]:
    tree, lines = load_tree(path, environ)
    findings = Findings(lines)
    schema = validate(tree, findings)
    listed = with_list_prices(schema.rate_cards, findings)
    schema = replace(schema, rate_cards=listed.cards)
    settings = _build(FilePath(path), schema, findings, listed.sources)
    findings.conclude()
    return settings, schema, findings


def _build(
    source: FilePath, schema: ConfigSchema, findings: Findings, sources: Mapping[str, str]
) -> Settings:
    unit = _unit(schema.unit, findings)
    book = build_book(schema, unit, findings, sources)
    upstreams = build_upstreams(schema.upstreams, findings)
    storage = _storage(schema.storage, findings)
    if schema.keep_months is not None and isinstance(storage, FilePath):
        findings.fault(
            ("keep_months",), "is for PostgreSQL only: SQLite keeps every receipt", schema.keep_months
        )
    groups = build_groups(schema, unit, findings)
    _check_body_memory(schema.server, findings)
    _check_admin_key(schema, findings)
    _check_quickstart(schema, unit, findings)
    return Settings(
        source=source,
        server=schema.server,
        admin=schema.admin,
        log=schema.log,
        streams=schema.streams,
        jobs=schema.jobs,
        objects=schema.objects,
        events=build_events(schema, book, findings),
        invoices=_invoices(schema.invoices, unit, findings),
        storage=storage,
        keep_months=schema.keep_months,
        unit=unit,
        groups=groups,
        holdings=build_holdings(schema, findings),
        alerts=build_alerts(schema, groups, unit, findings),
        webhooks=build_webhooks(schema.webhooks, findings),
        expiring_days=(schema.alerts or AlertsSchema()).expiring_days,
        payments=build_payments(schema.payments, schema.groups, unit, findings),
        refund_days=schema.accounts.refund_days,
        when_short=schema.accounts.when_short,
        on_shortfall=schema.accounts.on_shortfall,
        min_output_tokens=schema.accounts.min_output_tokens,
        upstreams=upstreams,
        routes=build_routes(schema, upstreams, book, findings),
        book=book,
        quickstart=schema.quickstart,
    )


def _invoices(schema: InvoicesSchema | None, unit: Unit, findings: Findings) -> InvoicePolicy | None:
    """Who issues invoices, and when. No two may have the same number."""
    if schema is None:
        return None
    message = "must have {year}, {month} and {account}, so that no two are the same"
    if not all(name in schema.number for name in ("{year}", "{month}", "{account}")):
        findings.fault(("invoices", "number"), message, schema.number)
    if not all(name in schema.credit_note_number for name in ("{account}", "{serial}")):
        message = "must have {account} and {serial}, so that no two are the same"
        findings.fault(("invoices", "credit_note_number"), message, schema.credit_note_number)
    seller, path = schema.seller, ("invoices", "threshold")
    return InvoicePolicy(
        seller.name,
        tuple(seller.address),
        seller.tax_id,
        schema.number,
        schema.day,
        schema.credit_note_number,
        None
        if schema.threshold is None
        else amount_nano(schema.threshold, unit, path, findings, least_nano=1),
    )


def _unit(schema: UnitSchema, findings: Findings) -> Unit:
    try:
        return Unit(schema.name, schema.per_usd)
    except ValueError as error:
        findings.fault(("unit",), str(error))
        return USD


def _storage(url: str, findings: Findings) -> FilePath | str:
    """The file or the database of a storage URL. The URL is never shown: it may hold a password."""
    scheme, separator, rest = url.partition("://")
    if separator and scheme in ("postgresql", "postgres"):
        if _POSTGRES_REST.fullmatch(rest):
            return url
        message = "must be postgresql://user:password@host:5432/database, with options after a ?"
    elif scheme.partition("+")[0] in ("postgresql", "postgres"):
        message = "must begin with postgresql://, without the name of a driver"
    elif not url.startswith(_SQLITE):
        message = (
            "must be sqlite:///file for a relative path, sqlite:////file for an absolute one, "
            "or postgresql://user:password@host:5432/database"
        )
    elif "?" in url or "#" in url or not url.isprintable():
        message = "must end with the name of a file; the engine takes no options"
    elif url == _SQLITE or url.endswith(("/", "/.", "/..", ":memory:")):
        message = "names no file; the ledger must outlive the process"
    else:
        return FilePath(url.removeprefix(_SQLITE))
    findings.fault(("storage",), message)
    return FilePath()


def _check_quickstart(schema: ConfigSchema, unit: Unit, findings: Findings) -> None:
    demo = schema.quickstart
    if demo is None:
        return
    for name in ("balance", "day"):
        amount_nano(getattr(demo, name), unit, ("quickstart", name), findings, least_nano=1)
    if schema.server.workers != 1:
        message = "must be 1 in the quickstart, whose demo runs in the same process"
        findings.fault(("server", "workers"), message, schema.server.workers)
    if demo.port == schema.server.port != 0:
        findings.fault(
            ("quickstart", "port"), "is also the port of the server; they need one each", demo.port
        )


def _check_body_memory(server: Server, findings: Findings) -> None:
    """Refuse a budget in which the largest body could never be read."""
    if server.body_memory_bytes < server.max_body_bytes:
        message = f"must be at least server.max_body_bytes, which is {server.max_body_bytes}"
        findings.fault(("server", "body_memory_bytes"), message, server.body_memory_bytes)


def _check_admin_key(schema: ConfigSchema, findings: Findings) -> None:
    """Refuse a weak admin key outside the quickstart: it can grant money to any account."""
    key, path = schema.admin.key, ("admin", "key")
    if key and not is_visible_ascii(key):
        findings.fault(path, "must be visible ASCII without blanks, since it is sent in a header")
    elif schema.quickstart is None and (fault := admin_key_fault(key)) is not None:
        findings.fault(path, f"{fault}; {ADMIN_KEY_HINT}")
