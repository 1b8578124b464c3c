"""What a call costs can depend on its parameters: it is held and charged by the first case that holds."""

from fractions import Fraction

import pytest
from msgspec.structs import replace

from proxy.errors import Refusal
from proxy.pricing.book import PriceBook
from proxy.pricing.cards import Case, RateCard
from proxy.pricing.charge import price
from proxy.pricing.rates import Rate
from proxy.upstream.routes import Route, Routes, Target, Upstream
from tests.call.fakes import Asked, Sent, Stage, Upstreams
from tests.call.toys import TOYS, AskedPages

TEXT = Rate("characters", Fraction(1), 1)
END = b'END{"characters": 10, "images": 3}'


def page(nano: int) -> Rate:
    return Rate("images", Fraction(nano), 1)


def case(bound: int, nano: int, **when: str) -> Case:
    said = ",".join(f"{name}={value}" for name, value in when.items())
    return Case(tuple(when.items()), RateCard(f"pages+{said}", (), (TEXT, page(nano)), bound))


CASES = (
    case(50, 900, quality="high", size="large"),
    case(20, 700, size="large"),
)
CARD = RateCard("pages", ("*",), (TEXT, page(100)), 9, cases=CASES)
FAIL_CLOSED = replace(CARD, rates=(TEXT,))
"""Pictures have a price only in the cases: without one they are not free."""


def staged(upstreams: Upstreams, card: RateCard) -> Stage:
    stage = Stage(upstreams, endpoints=TOYS)
    stage.relay.catalog = replace(stage.catalog, book=PriceBook([card]))
    return stage


@pytest.mark.parametrize(
    ("parameters", "nano", "bound", "id_"),
    [
        ({"size": "large", "quality": "high"}, 900, 50, "pages+quality=high,size=large"),
        ({"size": "LARGE", "quality": "High"}, 900, 50, "pages+quality=high,size=large"),
        ({"size": "large", "quality": "low"}, 700, 20, "pages+size=large"),
        ({"size": "large"}, 700, 20, "pages+size=large"),
        ({"size": "tiny", "quality": "high"}, 100, 9, "pages"),
        ({}, 100, 9, "pages"),
    ],
)
async def test_a_call_is_held_and_charged_by_its_parameters(
    parameters: dict[str, str], nano: int, bound: int, id_: str
) -> None:
    """The bound of a case is held where the call names none; the price's id tells the cases apart."""
    stage = staged(Upstreams([END]), CARD)
    await stage.relay.relay(AskedPages(**parameters), Sent())
    await stage.rest()
    (row,) = stage.rows()
    assert (row.hold_nano, row.charged_nano) == (20 + bound * nano, 10 + 3 * nano)
    assert row.charge.price_id.partition("@")[0] == id_


@pytest.mark.parametrize("parameters", [{"size": "large", "quality": "high"}, {"size": "large"}, {}])
async def test_a_receipt_by_a_case_can_be_recomputed_from_its_own_lines(parameters: dict[str, str]) -> None:
    stage = staged(Upstreams([END]), CARD)
    await stage.relay.relay(AskedPages(**parameters), Sent())
    await stage.rest()
    (row,) = stage.rows()
    rates = tuple(Rate(line.meter, Fraction(line.price_nano), line.per) for line in row.charge.lines)
    again = price(RateCard(row.charge.price_id.partition("@")[0], (), rates), row.outcome.usage)
    assert again == row.charge


@pytest.mark.parametrize(("later_us", "charged_nano"), [(-1, 31), (0, 31), (1, 310)])
async def test_a_call_has_the_price_of_the_moment_at_which_it_was_let_through(
    later_us: int, charged_nano: int
) -> None:
    """A change of prices needs no deploy, and is for the calls after it."""
    stage = Stage(Upstreams([END]), endpoints=TOYS)
    new = RateCard("pages", (), (TEXT, page(7)), 9)
    card = replace(CARD, cases=(), changes=((stage.clock.now_us() + later_us, new),))
    stage.relay.catalog = replace(stage.catalog, book=PriceBook([card]))
    await stage.relay.relay(AskedPages(), Sent())
    await stage.rest()
    assert [row.charged_nano for row in stage.rows()] == [charged_nano]


async def test_without_a_case_or_a_rate_a_call_is_refused_by_parameter_and_key() -> None:
    upstreams = Upstreams([END])
    stage = staged(upstreams, FAIL_CLOSED)
    with pytest.raises(Refusal) as refused:
        await stage.relay.relay(AskedPages(size="huge", quality="x" * 1_000), Sent())
    await stage.rest()
    refusal = refused.value
    assert (refusal.code, refusal.kind.status, refusal.param) == ("unpriced_feature", 403, "quality")
    assert refusal.details == {"rate_card": "pages", "rate_card_keys": ["rates.images"]}
    assert all(said in refusal.message for said in ("`size: huge`", "`rates.images`"))
    assert len(refusal.message) < 300
    assert (upstreams.requests, stage.rows()) == ([], [])


async def test_a_card_whose_cases_have_all_its_rates_prices_what_they_hold_for() -> None:
    stage = staged(Upstreams([END]), FAIL_CLOSED)
    await stage.relay.relay(AskedPages(size="large"), Sent())
    await stage.rest()
    assert stage.rows()[0].charged_nano == 10 + 3 * 700


async def test_a_fixed_price_may_have_cases_that_no_call_of_a_path_meets() -> None:
    """A path's calls have no parameters: what only a case prices is refused, the rest is charged."""
    free = Case((("stealth", "true"),), RateCard("search+", (), (Rate("requests", Fraction(0), 1),)))
    card = RateCard("search", (), (Rate("requests", Fraction(5), 1),), cases=(free,))
    target = Target(Upstream("up", "http://up"), path="/search")
    route = Route("search", (target,), path="/search", methods=("POST",), rate_card="search")
    found: list[int | str] = []
    for each in (card, replace(card, rates=())):
        stage = Stage(Upstreams([b"found"]))
        stage.relay.catalog = replace(stage.catalog, routes=Routes([route]), book=PriceBook([each]))
        asked = Asked(False)
        asked.path = "/search"
        try:
            await stage.relay.relay(asked, Sent())
        except Refusal as refusal:
            found.append(refusal.code)
        await stage.rest()
        found += [row.charged_nano for row in stage.rows()]
    assert found == [5, "unpriced_feature"]


async def test_a_fixed_price_is_for_all_that_a_call_uses() -> None:
    """It needs no rate for what only a case has one for."""
    fixed = replace(CARD, rates=(Rate("requests", Fraction(5), 1),))
    stage = staged(Upstreams([END]), fixed)
    await stage.relay.relay(AskedPages(size="huge"), Sent())
    await stage.rest()
    assert (stage.rows()[0].charged_nano, stage.rows()[0].outcome.basis) == (5, "per_call")
