"""farebox serve, check, schema: the commands for a configuration file."""

import json
import os
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import click
from msgspec.structs import replace

from proxy.billing.offers import NANO_PER_CENT, Payments
from proxy.cli.api import Json
from proxy.cli.output import Column, field, plain, print_table
from proxy.config.faults import ConfigError
from proxy.config.load import Settings
from proxy.config.load import check as check_config
from proxy.config.reference import json_schema
from proxy.endpoints.registry import ENDPOINT_NAMES
from proxy.ledger.windows import iso
from proxy.money import NANO_PER_USD, decimal_string, usd_string
from proxy.pricing.cards import RateCard
from proxy.storage.faults import StorageFault
from proxy.upstream.routes import Route

_FILE = click.argument("file", type=click.Path(path_type=Path))
_ROUTE_COLUMNS = (*plain("route", "serves", "endpoints", "targets"), Column("rate card", field("card")))
_PRICE_COLUMNS = (
    Column("rate card", field("card")),
    *plain("billing", "meter"),
    Column("US dollars", field("price"), right=True),
    Column("for each", field("per"), right=True),
    *plain("steps", "from", "at"),
)
_PACKAGE_COLUMNS = (
    *plain("package", "group"),
    *(Column(name, field(name), right=True) for name in ("amount", "bonus", "price", "fee")),
)


@click.command()
@_FILE
def serve(file: Path) -> None:
    """Serve the configuration in FILE until SIGTERM; SIGHUP reads it again."""
    from proxy.process.serve import serve as run  # noqa: PLC0415 - the server is slow to load, and only this command needs it.

    try:
        code = run(file)
    except ConfigError as fault:
        raise click.ClickException(str(fault)) from fault
    except (OSError, RuntimeError, StorageFault) as fault:
        raise click.ClickException(f"Farebox cannot run: {fault}") from fault
    if code:
        raise SystemExit(code)


@click.command()
@_FILE
def check(file: Path) -> None:
    """Check FILE: print every fault with its line, or the routes and prices."""
    try:
        settings, warnings = check_config(file, os.environ)
    except ConfigError as fault:
        raise click.ClickException(str(fault)) from fault
    for warning in warnings:
        click.echo(f"Warning: {warning}", err=True)
    routes = list(_routes(settings))
    print_table((_route_row(route, settings) for route in routes), _ROUTE_COLUMNS, title="Routes")
    rows = [row for card in _cards(settings, routes) for row in _price_rows(*card)]
    print_table(rows, _PRICE_COLUMNS, title="Prices")
    if settings.payments is not None and settings.payments.packages:
        print_table(_package_rows(settings.payments), _PACKAGE_COLUMNS, title="Packages")
    for source in dict.fromkeys(card.source for card in settings.book.cards if card.source):
        click.echo(f"List prices are those of {source}; write it as `pin` to be told when they are others.")
    click.echo(f"{file} is good.")


@click.command()
def schema() -> None:
    """Print the JSON Schema of configuration files, for editors."""
    click.echo(json.dumps(json_schema(), indent=2))


def _routes(settings: Settings) -> Iterator[Route]:
    """Every route that a model or a path leads to, in order and once."""
    found: dict[str, Route] = {}
    for glob in settings.routes.globs:
        for endpoint in ENDPOINT_NAMES:
            route = settings.routes.for_model(endpoint, glob)
            if route is not None:
                found.setdefault(route.name, route)
    for route in settings.routes.tools:
        found.setdefault(route.name, route)
    yield from found.values()


def _route_row(route: Route, settings: Settings) -> Json:
    names = [route.rate_card] if route.rate_card else _card_names(route, settings)
    return {
        "route": route.name,
        "serves": route.path or list(route.models),
        "endpoints": list(route.methods if route.path else route.endpoints),
        "targets": [_target(target.upstream.name, target.model or target.path) for target in route.targets],
        "card": names or "by each model's name",
    }


def _card_names(route: Route, settings: Settings) -> list[str]:
    asked = product(route.models, settings.book.groups, route.endpoints)
    cards = (settings.book.card_for(glob, endpoint, group) for glob, group, endpoint in asked)
    return list(dict.fromkeys(card.id for card in cards if card))


def _target(upstream: str, name: str | None) -> str:
    return f"{upstream}: {name}" if name else upstream


def _cards(settings: Settings, routes: list[Route]) -> Iterator[tuple[int, str, RateCard]]:
    """Every rate card that can price a call, in order and once, each with when it does."""
    book = settings.book
    asked = product(book.globs, book.endpoints, book.groups)
    of_models = (book.card_for(glob, endpoint, group) for glob, endpoint, group in asked)
    of_routes = (settings.book.by_id(route.rate_card) for route in routes if route.rate_card)
    found: dict[str, RateCard] = {card.id: card for card in (*of_models, *of_routes) if card}
    for card in found.values():
        for since_us, changed in ((0, card), *card.changes):
            timed = ((hours.window.said, hours.card) for hours in changed.hours)
            for at, version in (("", changed), *timed):
                for variant in version.variants:
                    yield from ((since_us, at, each) for each in (variant, *variant.by_tier.values()))


def _price_rows(since_us: int, at: str, card: RateCard) -> Iterator[Json]:
    since = iso(since_us) if since_us else ""
    for rate in card.rates:
        price = decimal_string(rate.price / NANO_PER_USD)
        yield {
            "card": card.id,
            "billing": card.billing_type,
            "meter": rate.meter,
            "price": price,
            "per": rate.per,
            "steps": "; ".join(f"{step.kind} {step.value}" for step in rate.steps),
            "from": since,
            "at": at,
        }
    for each in card.adjustments:
        value = decimal_string(each.step.number / (1 if each.step.kind == "share" else NANO_PER_USD))
        yield {
            "card": card.id,
            "billing": card.billing_type,
            "meter": each.name,
            "price": value,
            "per": "call",
            "steps": each.step.kind,
            "from": since,
            "at": at,
        }


def _package_rows(payments: Payments) -> Iterator[Json]:
    """What is sold to all, and after that what each group gets otherwise."""
    usual = {offer.package: offer for offer in payments.offers()}
    of_groups = (offer for group in payments.in_groups for offer in payments.for_group(group).offers())
    others = (offer for offer in of_groups if replace(offer, group=None) != usual[offer.package])
    for offer in (*usual.values(), *others):
        yield {
            "package": offer.package,
            "group": offer.group or "",
            "amount": usd_string(offer.credit_nano),
            "bonus": usd_string(offer.bonus_nano),
            "price": usd_string(offer.price_cents * NANO_PER_CENT),
            "fee": usd_string(offer.fee_cents * NANO_PER_CENT),
        }
