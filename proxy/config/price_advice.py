"""Warnings about prices: what is served and cannot be charged, and cases that no call is priced by."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from proxy.config.card_schema import CaseSchema
from proxy.config.faults import Findings
from proxy.config.routing import METERS_OF
from proxy.config.schema import ConfigSchema, RouteSchema
from proxy.endpoints.registry import PARAMETERS
from proxy.globs import any_meets
from proxy.metering.usage import each_needed, said
from proxy.pricing.book import PriceBook
from proxy.pricing.cards import RateCard
from proxy.validation import Path, did_you_mean

_NO_NAMES: Final[tuple[str, ...]] = ()


def advise_on_prices(
    schema: ConfigSchema,
    book: PriceBook,
    findings: Findings,
    parameters: Mapping[str, tuple[str, ...]] = PARAMETERS,
) -> None:
    """Add warnings about prices to `findings`. Endpoints have these `parameters`, by endpoint."""
    _about_endpoints(schema, book, findings)
    for name, card in schema.rate_cards.items():
        if card.cases or card.flags:
            endpoints = _endpoints_of(schema, name, card.match)
            of_models = [each for endpoint in endpoints for each in parameters.get(endpoint, _NO_NAMES)]
            of_paths = [
                each for route in schema.routes if route.rate_card == name for each in route.parameters
            ]
            of_events = [
                each
                for event in schema.events.types.values()
                if event.rate_card == name
                for each in event.parameters
            ]
            known = list(dict.fromkeys((*of_models, *of_paths, *of_events)))
            _about_cases(card.cases, known, ("rate_cards", name, "cases"), findings)
            for flag, said in card.flags.items():
                _about_conditions(said.when, known, ("rate_cards", name, "flags", flag, "when"), findings)


def _about_endpoints(schema: ConfigSchema, book: PriceBook, findings: Findings) -> None:
    """Warn of endpoints that a route names although no rate card of its models prices them."""
    for index, route in enumerate(schema.routes):
        path: Path = ("routes", index, "endpoints")
        cards = list(_cards_of(route, schema, book))
        if not route.models or not cards or not findings.lines.has(path):
            continue
        for place, endpoint in enumerate(route.endpoints):
            priced = (card for card in cards if not card.endpoints or endpoint in card.endpoints)
            if not any(card.may_cover(METERS_OF[endpoint]) for card in priced):
                meters = said(each_needed(METERS_OF[endpoint]))
                message = f"has no price for any of the models, so its calls are refused; it needs {meters}"
                findings.warn((*path, place), message, endpoint)


def _cards_of(route: RouteSchema, schema: ConfigSchema, book: PriceBook) -> Iterator[RateCard]:
    """The rate cards that can price a route's models."""
    if route.rate_card is not None:
        names = [route.rate_card]
    else:
        names = [
            name for name, card in schema.rate_cards.items() if any_meets(route.models or (), card.match)
        ]
    yield from (card for name in names if (card := book.by_id(name)))


def _endpoints_of(schema: ConfigSchema, name: str, match: Sequence[str]) -> Iterator[str]:
    """The endpoints on which a rate card of this name can price calls."""
    for route in schema.routes:
        looked_up = route.rate_card is None and any_meets(route.models or (), match)
        if route.models and (looked_up or route.rate_card == name):
            yield from route.endpoints


def _about_cases(cases: Sequence[CaseSchema], known: list[str], path: Path, findings: Findings) -> None:
    """Warn of conditions that no call can have, and of cases after one that takes all their calls."""
    for index, case in enumerate(cases):
        _about_conditions(case.when, known, (*path, index, "when"), findings)
        for first, earlier in enumerate(cases[:index]):
            if _conditions(earlier) <= _conditions(case):
                findings.warn((*path, index), f"is never reached: cases[{first}] comes first")
                break


def _about_conditions(names: Iterable[str], known: list[str], path: Path, findings: Findings) -> None:
    for name in names:
        if name not in known:
            message = f"is a parameter of no endpoint that it prices; {did_you_mean(name, known)}"
            findings.warn((*path, name), message)


def _conditions(case: CaseSchema) -> set[tuple[str, str]]:
    return {(name, value.casefold()) for name, value in case.when.items()}
