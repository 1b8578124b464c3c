"""Warnings: what a configuration may say, but hardly means."""

from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Final
from urllib.parse import urlsplit

from proxy.config.card_schema import RateCardSchema
from proxy.config.faults import Findings
from proxy.config.price_advice import advise_on_prices
from proxy.config.schema import ConfigSchema, RouteSchema
from proxy.config.upstreams import is_left_out
from proxy.endpoints.registry import ENDPOINT_NAMES, FREE
from proxy.endpoints.unserved import reason_against
from proxy.globs import any_meets, is_glob
from proxy.metering.usage import ONE_CALL
from proxy.pricing.book import PriceBook
from proxy.validation import Path

LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})


def advise(schema: ConfigSchema, book: PriceBook, findings: Findings) -> None:
    """Add every warning about a configuration without faults to `findings`."""
    _about_upstreams(schema, findings)
    _about_routes(schema, findings)
    _about_cards(schema, findings)
    _about_groups(schema, findings)
    advise_on_prices(schema, book, findings)
    if schema.quickstart is not None and schema.server.host not in LOOPBACK:
        message = "opens the quickstart to other machines, with an admin key that is easy to guess"
        findings.warn(("server", "host"), message, schema.server.host)


def _about_upstreams(schema: ConfigSchema, findings: Findings) -> None:
    used = {target.upstream for route in schema.routes for target in route.targets}
    for name, upstream in schema.upstreams.items():
        path: Path = ("upstreams", name)
        url = urlsplit(upstream.base_url)
        if is_left_out(upstream):
            findings.warn(path, "is left out with its targets: its `when` is empty")
        if name not in used:
            findings.warn(path, "is the target of no route")
        has_secret = upstream.credential is not None or upstream.headers
        if has_secret and url.scheme == "http" and url.hostname not in LOOPBACK:
            message = "sends its credential unencrypted; use https:// unless the network is yours alone"
            findings.warn((*path, "base_url"), message, upstream.base_url)


def _about_routes(schema: ConfigSchema, findings: Findings) -> None:
    if not schema.routes and not schema.events.types:
        findings.warn(("routes",), "has no route, so every call is answered 404")
    priced = [glob for card in schema.rate_cards.values() for glob in card.match]
    for index, route in enumerate(schema.routes):
        path: Path = ("routes", index)
        for position, model in enumerate(route.models or ()):
            place = (*path, "models", position)
            if not is_glob(model):
                _about_shadow(schema.routes[:index], route, model, place, findings)
            elif route.rate_card is None and not any_meets([model], [*priced, *_free_of(route)]):
                findings.warn(place, "can match no model that has a rate card; its calls are refused", model)
        if route.path is not None and (reason := reason_against(route.path)) is not None:
            findings.warn((*path, "path"), f"should not be served: {reason}", route.path)
        card = schema.rate_cards.get(route.rate_card or "")
        meters = dict.fromkeys(meter for rates in _all_rates(card) for meter in rates) if card else {}
        others = ", ".join(meter for meter in meters if meter not in ONE_CALL)
        if route.path is not None and others and not route.measures:
            findings.warn((*path, "rate_card"), f"prices {others} too, which a path's calls do not count")


def _about_groups(schema: ConfigSchema, findings: Findings) -> None:
    """Warn of globs of groups that no model, and no path by the name of its route, can match."""
    served = [name for route in schema.routes for name in route.models or (_name_of(route),)]
    for name, group in schema.groups.items():
        for index, glob in enumerate(group.models):
            if not any_meets([glob], served):
                findings.warn(("groups", name, "models", index), "matches nothing that a route serves", glob)


def _name_of(route: RouteSchema) -> str:
    return route.name or f"{'+'.join(route.methods)} {route.path}"


def _all_rates(card: RateCardSchema) -> Iterator[Iterable[str]]:
    yield card.rates or ()
    yield from (case.rates or () for case in card.cases)


def _free_of(route: RouteSchema) -> Iterator[str]:
    yield from (glob for endpoint in route.endpoints for glob in FREE.get(endpoint, ()))


def _about_shadow(
    earlier: Sequence[RouteSchema], route: RouteSchema, model: str, place: Path, findings: Findings
) -> None:
    """Warn of a model that earlier routes serve on each of its endpoints."""
    first_by_endpoint = [_first_that_serves(earlier, endpoint, model) for endpoint in route.endpoints]
    if None not in first_by_endpoint:
        firsts = " and ".join(f"routes[{index}]" for index in dict.fromkeys(first_by_endpoint))
        findings.warn(place, f"is never reached: {firsts} come first", model)


def _first_that_serves(routes: Sequence[RouteSchema], endpoint: str, model: str) -> int | None:
    for index, route in enumerate(routes):
        if endpoint in route.endpoints and any(fnmatchcase(model, glob) for glob in route.models or ()):
            return index
    return None


def _about_cards(schema: ConfigSchema, findings: Findings) -> None:
    named = {route.rate_card for route in schema.routes}
    named |= {each.rate_card for each in schema.events.types.values()}
    open_routes = [route for route in schema.routes if route.rate_card is None]
    for name, card in schema.rate_cards.items():
        on = set(card.endpoints or ENDPOINT_NAMES)
        looked_up = [model for each in open_routes if on & {*each.endpoints} for model in each.models or ()]
        if name not in named and not any_meets(looked_up, card.match):
            findings.warn(("rate_cards", name), "prices nothing that a route serves")
