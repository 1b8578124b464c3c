"""What a request turns on that only its upstream knows is priced by the card, or refused."""

from fractions import Fraction

import pytest
from msgspec.structs import replace

from proxy.call.terms import terms_of
from proxy.endpoints.features import Feature
from proxy.endpoints.reading.steps import STEP_BYTES
from proxy.pricing.extras import Extra
from proxy.pricing.rates import Rate
from tests.call.test_terms import CARD, FEATURES, TOOL, refused, route
from tests.endpoints.least import asked

SCRAPING = Extra("scrape", "urls", "addresses", 3)
READING = replace(
    CARD,
    rates=(*CARD.rates, Rate("urls", Fraction(7), 1)),
    extras=(SCRAPING, Extra("frobnicate", "server_tools")),
)
TURNED_ON = Feature("scrape", "scrape", known=False)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("nothing", 0),
        ("see https://a.example", 1),
        ("see http://a.example and HTTPS://b.example", 2),
        (r"escaped: https:\/\/a.example", 1),
        (r"escaped by half: https:\//a.example https:/\/b.example", 2),
        (r"hidden: http\u003a//a.example http:\u002F/b.example", 2),
        (r"as Go writes it: https://a.example?b=1\u0026c=2", 1),
        (r"other languages: caf\u00e9", 0),
        ("many: " + "https://a.example " * 9, 3),
        ("far: " + "x" * (STEP_BYTES - 8) + "https://a.example", 1),
        ("far: " + "x" * (STEP_BYTES - 5) + r"https:\/\/a.example", 1),
    ],
)
def test_an_extra_is_charged_for_each_address_up_to_the_most(text: str, count: int) -> None:
    """As the card says, also where an address is written so that it is hard to find."""
    terms = terms_of([TURNED_ON], route(set()), READING, text.encode())
    assert (terms.surcharges, terms.hidden) == ({"urls": count}, {"input_tokens": count * 5_000})


def test_an_extra_needs_a_rate_and_an_allowance_as_what_farebox_knows_does() -> None:
    assert refused(TURNED_ON, set(), card=replace(READING, input_allowance=0)) is not None
    assert refused(FEATURES[5], set(), card=READING) is not None
    assert refused(TURNED_ON, set(), card=CARD) is not None
    assert refused(replace(TURNED_ON, name="Scrape"), set(), card=READING) is not None


def test_what_farebox_knows_is_no_extra() -> None:
    """A card cannot make something cheaper that Farebox knows the cost of."""
    card = replace(READING, extras=(Extra("web_search_options", "urls", "once"),))
    assert terms_of(FEATURES[:1], route(set()), card).surcharges == {"web_searches": 1}


def test_what_is_turned_on_twice_is_held_for_together() -> None:
    """A search beside a tool that searches comes on top of the tool's own."""
    ask = asked("chat.completions", web_search_options={}, tools=[TOOL])
    terms = terms_of(ask.features, route(set()), CARD)
    assert (terms.surcharges, terms.unseen["web_searches"]) == ({"web_searches": 2}, 6)
