"""What a call turns on is priced, held and charged, or refused before anything is forwarded."""

import json
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from proxy.call.base import RoutedCall
from proxy.call.terms import Terms, terms_of
from proxy.endpoints.features import Feature, at_tier, hidden_input, kept, rated, surcharged
from proxy.endpoints.registry import ENDPOINTS, forward_fault
from proxy.errors import Refusal
from proxy.metering.ceiling import Ceiling
from proxy.metering.usage import METERS, SURCHARGES
from proxy.money import parse_amount
from proxy.pricing.book import PriceBook
from proxy.pricing.cards import RateCard
from proxy.pricing.charge import price, worst_nano
from proxy.pricing.rates import Rate
from proxy.pricing.steps import exact_amounts
from proxy.upstream.routes import Route, Routes, Target, Upstream
from tests.call.fakes import RATES, WHOLE, Asked, Sent, Stage, Upstreams
from tests.endpoints.least import LEAST, asked

SEARCH_NANO = 10_000_000
SEARCH = Rate("web_searches", Fraction(SEARCH_NANO), 1)
PER_CALL = Rate("requests", parse_amount("0.02"), 1)
SERVICE_TIERS = (("priority", Fraction(2)), ("flex", Fraction(1, 2)))
CARD = RateCard("card", ("*",), (*RATES, SEARCH), 100, SERVICE_TIERS, 5_000)
BARE = RateCard("bare", ("*",), RATES, 100)
FEATURES: list[Feature] = [
    surcharged("web_search_options", "web_search_options", "web_searches"),
    hidden_input("messages[].audio", "messages"),
    at_tier("service_tier: priority", "service_tier", "priority"),
    rated("audio", "audio", "output_audio_tokens"),
    Feature("models", "models"),
    Feature("frobnicate", "frobnicate", known=False),
]


def route(*forwards: set[str]) -> Route:
    targets = [
        Target(Upstream(f"up{at}", "http://up", forward=frozenset(names)))
        for at, names in enumerate(forwards)
    ]
    return Route("all", tuple(targets), models=("*",), endpoints=("chat.completions",))


def refused(feature: Feature, *forwards: set[str], card: RateCard = BARE) -> Refusal | None:
    try:
        terms_of([feature], route(*forwards), card)
    except Refusal as refusal:
        return refusal
    return None


@pytest.mark.parametrize("feature", FEATURES, ids=lambda feature: feature.member)
def test_what_no_rate_prices_is_refused_by_name_with_what_would_price_it(feature: Feature) -> None:
    refusal = refused(feature, set())
    assert refusal is not None
    assert (refusal.code, refusal.kind.status, refusal.param) == ("unpriced_feature", 403, feature.member)
    assert refusal.details == {"rate_card": "bare", "rate_card_keys": list(feature.needs)}
    assert all(f"`{key}`" in refusal.message for key in feature.needs)
    assert (repr(feature.name) in refusal.message) == (forward_fault(feature.name) is None)


@pytest.mark.parametrize("feature", FEATURES, ids=lambda feature: feature.member)
def test_it_passes_where_every_upstream_of_the_route_forwards_it(feature: Feature) -> None:
    """The call may go to any of them."""
    assert refused(feature, {feature.name}) is None
    assert refused(feature, {feature.name}, {feature.name, "other"}) is None
    assert refused(feature, {feature.name}, set()) is not None
    assert refused(feature, {"other"}) is not None


def test_a_star_forwards_what_farebox_does_not_know_and_nothing_that_it_does() -> None:
    passed = [feature.member for feature in FEATURES if refused(feature, {"*"}) is None]
    assert passed == ["frobnicate"]


def test_what_the_card_prices_passes_and_is_in_the_terms() -> None:
    terms = terms_of(FEATURES[:3], route(set()), CARD)
    assert terms == Terms(CARD.by_tier["priority"], {"web_searches": 1}, {"input_tokens": 10_000})
    assert refused(FEATURES[3], set(), card=CARD) is not None


def test_what_is_forwarded_is_charged_as_far_as_the_card_prices_it() -> None:
    """An operator's leave makes nothing free that has a price."""
    searched = replace(CARD, input_allowance=0)
    assert refused(FEATURES[0], set(), card=searched) is not None
    terms = terms_of(FEATURES[:1], route({"web_search_options"}), searched)
    assert terms.surcharges == {"web_searches": 1}
    assert not any(terms.hidden.values())


MEMBERS: list[dict[str, Any]] = [
    {"web_search_options": {}},
    {"plugins": [{"id": "web"}, {"id": "web"}]},
    {"service_tier": "priority"},
    {"service_tier": "flex"},
    {"media_io_kwargs": {"a": 1}},
    {"service_tier": "priority", "web_search_options": {}, "max_tokens": 3},
]


def staged(
    upstreams: Upstreams, card: RateCard, *, forward: frozenset[str] = frozenset(), **more: Any
) -> Stage:
    stage = Stage(upstreams, **more)
    routes = Routes(
        [Route("all", (Target(Upstream("up", "http://up", forward=forward)),), ("*",), ("chat.completions",))]
    )
    stage.relay.catalog = replace(stage.catalog, routes=routes, book=PriceBook([card]))
    return stage


@pytest.mark.parametrize("members", MEMBERS, ids=json.dumps)
async def test_a_feature_is_held_for_and_charged_with_the_call(members: dict[str, Any]) -> None:
    """A surcharge for each use, a tier's multiple of the tokens, and an allowance that is only held."""
    plain, turned_on = staged(Upstreams(WHOLE), CARD), staged(Upstreams(WHOLE), CARD)
    bound: dict[str, Any] = {"max_tokens": members.get("max_tokens", 100)}
    await plain.relay.relay(Asked(False, **bound), Sent())
    await turned_on.relay.relay(Asked(False, **{**bound, **members}), Sent())
    await plain.rest()
    await turned_on.rest()
    (usual,), (row,) = plain.rows(), turned_on.rows()
    searches = 2 if "plugins" in members else int("web_search_options" in members)
    unseen = searches + ("media_io_kwargs" in members)
    times = dict(CARD.service_tiers).get(members.get("service_tier", ""), Fraction(1))
    text_nano = 1_000 * (len(json.dumps(members)) + 200)
    assert row.charged_nano == usual.charged_nano * times + searches * SEARCH_NANO
    least_nano = usual.hold_nano * times + searches * SEARCH_NANO + unseen * 5_000 * 1_000 * times
    assert least_nano <= row.hold_nano <= least_nano + text_nano * times
    assert row.outcome.usage.get("web_searches", 0) == searches
    assert row.charge.total_nano == row.charged_nano == sum(line.amount_nano for line in row.charge.lines)
    assert row.charge.price_id.startswith("card+" if times != 1 else "card@")


@pytest.mark.parametrize(
    ("pieces", "status", "nano"),
    [
        ([b'{"choices": [{"message": {"content": "Hello"}}]}'], 200, SEARCH_NANO),
        ([b'{"error": {"message": "no"}}'], 400, 0),
    ],
)
async def test_a_surcharge_is_charged_however_the_usage_is_known_and_never_for_a_refusal(
    pieces: list[bytes], status: int, nano: int
) -> None:
    stage = staged(Upstreams(pieces, status), CARD)
    await stage.relay.relay(Asked(False, web_search_options={}), Sent())
    await stage.rest()
    (row,) = stage.rows()
    searched = [line.amount_nano for line in row.charge.lines if line.meter == "web_searches"]
    assert sum(searched) == nano
    assert (row.charged_nano > 0) == (nano > 0)


async def test_a_fixed_price_is_one_with_surcharges_beside_it() -> None:
    """A card with a price for each call and surcharges still charges that price, and both are held."""
    card = RateCard("fixed", ("*",), (PER_CALL, SEARCH), 0, (), 1)
    stage = staged(Upstreams(WHOLE), card)
    await stage.relay.relay(Asked(False, web_search_options={}), Sent())
    await stage.rest()
    (row,) = stage.rows()
    assert (card.billing_type, row.outcome.basis) == ("per_call", "per_call")
    assert row.hold_nano == row.charged_nano == 20_000_000 + SEARCH_NANO


TOOL: dict[str, Any] = {"type": "openrouter:web_search", "parameters": {"max_uses": 5}}
UNBOUND: dict[str, Any] = {"type": "openrouter:web_search"}


@pytest.mark.parametrize("card", ["by token", "by call"])
@pytest.mark.parametrize(
    ("members", "told", "searches", "held"),
    [
        ({"tools": [TOOL]}, {"server_tool_use_details": {"web_search_requests": 3}}, 3, 5),
        ({"tools": [TOOL]}, {"server_tool_use_details": {"web_search_requests": 0}}, 0, 5),
        ({"tools": [TOOL]}, {}, 1, 5),
        ({"tools": [UNBOUND]}, {"server_tool_use": {"web_search_requests": 16}}, 16, 16),
        ({"tools": [{"type": "web_search", "max_uses": 2}]}, {}, 1, 2),
        ({"tools": [{"type": "web_search"}]}, {"num_search_queries": 0}, 0, 1),
        ({"web_search_options": {}}, {"num_search_queries": 1}, 1, 1),
    ],
)
async def test_how_often_a_tool_was_used_is_charged_as_it_is_told(
    members: dict[str, Any], told: dict[str, Any], searches: int, held: int, card: str
) -> None:
    """Once where nothing is told; held for as often as it can be, which the upstream is told as well."""
    usage = {"prompt_tokens": 9, "completion_tokens": 4, **told}
    reply = {"choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}], "usage": usage}
    upstreams = Upstreams([json.dumps(reply).encode()])
    rates = CARD if card == "by token" else RateCard("fixed", ("*",), (PER_CALL, SEARCH), 0, (), 1)
    stage = staged(upstreams, rates, funds_nano=10**10)
    await stage.relay.relay(Asked(False, **members), Sent())
    await stage.rest()
    (row,) = stage.rows()
    charged = {line.meter: line.amount_nano for line in row.charge.lines}
    assert charged.get("web_searches", 0) == searches * SEARCH_NANO
    assert row.hold_nano >= held * SEARCH_NANO
    assert stage.heard.excesses == []
    sent = json.loads(upstreams.requests[0].body).get("tools", [{}])[0].get("parameters", {})
    assert sent.get("max_uses", held) == held


@pytest.mark.parametrize("uses", ["3", -1, 1_001, 1.5, [3]])
async def test_a_number_of_uses_that_cannot_be_read_is_refused(uses: object) -> None:
    for tool in ({**TOOL, "parameters": {"max_uses": uses}}, {"type": "web_search", "max_uses": uses}):
        stage = staged(Upstreams(WHOLE), CARD)
        with pytest.raises(Refusal) as caught:
            await stage.relay.relay(Asked(False, tools=[tool]), Sent())
        assert (caught.value.code, caught.value.param) == ("invalid_value", "tools")
        await stage.rest()


@pytest.mark.parametrize("members", [*MEMBERS[:3], {"frobnicate": 1}, {"models": ["dear"]}], ids=json.dumps)
async def test_without_a_price_nothing_is_forwarded_and_nothing_held(members: dict[str, Any]) -> None:
    upstreams = Upstreams(WHOLE)
    stage = staged(upstreams, BARE)
    with pytest.raises(Refusal) as caught:
        await stage.relay.relay(Asked(False, **members), Sent())
    await stage.rest()
    assert caught.value.code == "unpriced_feature"
    assert (upstreams.requests, stage.store.books.holds) == ([], {})


async def test_what_is_forwarded_goes_up_as_it_came() -> None:
    upstreams = Upstreams(WHOLE)
    stage = staged(upstreams, BARE, forward=frozenset({"*", "models"}))
    await stage.relay.relay(Asked(False, frobnicate={"a": 1}, models=["other"]), Sent())
    await stage.rest()
    body = json.loads(upstreams.requests[0].body)
    assert (body["frobnicate"], body["models"]) == ({"a": 1}, ["other"])


async def test_a_clamp_leaves_what_comes_beside_the_bound_paid_for() -> None:
    """The hold covers bound and prediction, so the bound gets what the prediction leaves."""
    upstreams, sent = Upstreams(WHOLE), Sent()
    stage = staged(upstreams, BARE, funds_nano=400_000)
    prediction = {"type": "content", "content": "word " * 16}
    beside = len(json.dumps(prediction))
    await stage.relay.relay(Asked(False, prediction=prediction, max_tokens=90), sent)
    await stage.rest()
    bound = int(sent.headers["x-farebox-output-clamped-to"])
    assert json.loads(upstreams.requests[0].body)["max_completion_tokens"] == bound < 90
    assert (bound + beside) * 2_000 <= stage.rows()[0].hold_nano <= 400_000


NAMES = sorted(METERS)
PRICES = st.builds(Fraction, st.integers(0, 10**9), st.sampled_from([1, 2, 4, 10]))
TIERS = st.builds(Fraction, st.integers(0, 10_000), st.sampled_from([1, 10, 1_000]))


@st.composite
def cards(draw: st.DrawFn) -> RateCard:
    meters = draw(st.lists(st.sampled_from(NAMES), unique=True, min_size=1))
    rates = tuple(Rate(meter, draw(PRICES), draw(st.sampled_from([1, 1_000]))) for meter in meters)
    tiers = tuple(draw(st.dictionaries(st.sampled_from(["priority", "flex"]), TIERS)).items())
    return RateCard("card", ("*",), rates, draw(st.integers(0, 500)), tiers, draw(st.integers(0, 9_000)))


@given(cards(), st.lists(st.sampled_from(FEATURES)), st.integers(0, 3), st.integers(0, 50), st.data())
def test_no_charge_is_more_than_its_ceiling_whatever_is_turned_on(
    card: RateCard, features: list[Feature], choices: int, beside: int, data: st.DataObject
) -> None:
    """Input within the text and the allowances, output within bounds and budgets: the hold covers it."""
    names = {feature.name for feature in features} | {"*"}
    terms = terms_of(features, route(names), card)
    asked = Ceiling({"input_tokens": 40}, "output_tokens", None, choices, beside)
    ceiling = asked.bounded(card.default_bound).allowing(terms.unseen)
    unseen = sum(feature.hidden.get("input_tokens", 0) for feature in features) * card.input_allowance
    most = {"input_tokens": 40 + unseen, "output_tokens": choices * card.default_bound + beside}
    usage = {meter: data.draw(st.integers(0, quantity)) for meter, quantity in most.items()}
    for name, meter in METERS.items():
        if meter.part_of in usage:
            usage[name] = data.draw(st.integers(0, usage[meter.part_of]))
    charge = price(terms.card, {**usage, **terms.surcharges})
    assert charge.total_nano <= worst_nano(terms.card, ceiling.usage)
    assert {line.meter for line in charge.lines} & SURCHARGES <= terms.surcharges.keys()


@given(cards(), st.sampled_from(["priority", "flex"]), st.integers(0, 10**6), st.integers(0, 10**6))
def test_a_tier_charges_exactly_so_many_times_the_rates_and_its_receipt_says_so(
    card: RateCard, tier: str, tokens: int, searches: int
) -> None:
    times = dict(card.service_tiers).get(tier, Fraction(1))
    terms = terms_of([Feature("service_tier", "service_tier", tier=tier, optional=True)], route(set()), card)
    usage = {"input_tokens": tokens, "web_searches": searches}
    unit = {rate.meter: rate.unit_nano for rate in card.rates}
    once = Fraction(unit.get("requests", 0)) + tokens * unit.get("input_tokens", 0)
    exact = once * times + searches * unit.get("web_searches", 0)
    charge = price(terms.card, usage)
    assert charge.total_nano == round(exact)
    assert round(sum(exact_amounts(charge.lines), Fraction(0))) == charge.total_nano


def test_every_ask_says_what_it_turns_on() -> None:
    for name in LEAST:
        assert [found.name for found in asked(name, deferred=True).features] == ["deferred"]


SEARCHED: dict[str, Any] = {"type": "web_search_tool_result", "tool_use_id": "x", "content": []}
FAILED: dict[str, Any] = {"type": "web_search_tool_result", "content": {"error_code": "max_uses_exceeded"}}


@pytest.mark.parametrize(
    ("content", "usage", "searches", "basis"),
    [
        ([SEARCHED], {"server_tool_use": {"web_search_requests": 3}}, 3, "reported"),
        ([SEARCHED, SEARCHED], {}, 2, "reported"),
        ([FAILED], {}, 0, "reported"),
        ([SEARCHED, SEARCHED], {"server_tool_use": {"web_search_requests": 0}}, 0, "reported"),
        ([], {}, 0, "reported"),
        ([SEARCHED], None, 1, "counted"),
        ([{"type": "text", "text": "Hello"}], None, 0, "counted"),
    ],
)
async def test_what_an_upstream_may_do_is_held_and_charged_as_far_as_it_did(
    content: list[Any], usage: dict[str, Any] | None, searches: int, basis: str
) -> None:
    """The hold is for all five; what the usage leaves out is seen in the answer."""
    reply: dict[str, Any] = {"type": "message", "role": "assistant", "content": content}
    if usage is not None:
        reply["usage"] = {"input_tokens": 9, "output_tokens": 4, **usage}
    stage = staged(Upstreams([json.dumps(reply).encode()]), CARD, funds_nano=10**10)
    stage.relay.catalog = replace(
        stage.relay.catalog,
        routes=Routes([Route("all", (Target(Upstream("up", "http://up")),), ("*",), ("messages",))]),
    )
    asked = Asked(False, max_tokens=50, tools=[{"type": "web_search_20260318", "name": "s", "max_uses": 5}])
    asked.path = "/v1/messages"
    await stage.relay.relay(asked, Sent())
    await stage.rest()
    (row,) = stage.rows()
    charged = {line.meter: line.amount_nano for line in row.charge.lines}
    assert (charged.get("web_searches", 0), row.outcome.basis) == (searches * SEARCH_NANO, basis)
    assert row.hold_nano > 5 * SEARCH_NANO + 5 * 5_000 * 1_000
    assert row.charged_nano == sum(charged.values()) <= row.hold_nano


FAST, LONG = at_tier("speed: fast", "speed", "fast"), at_tier("anthropic-beta: x", "anthropic-beta", "long")
USUAL = Feature("service_tier", "service_tier", tier="auto", optional=True)


@pytest.mark.parametrize("features", [[FAST, USUAL], [USUAL, FAST], [FAST]])
def test_a_usual_tier_takes_no_other_ones_place(features: list[Feature]) -> None:
    card = replace(CARD, service_tiers=(("fast", Fraction(6)), ("long", Fraction(2))))
    assert terms_of(features, route(set()), card).card.id == "card+fast"


def test_several_tiers_need_a_multiplier_of_their_own() -> None:
    card = replace(CARD, service_tiers=(("fast", Fraction(6)), ("long", Fraction(2))))
    with pytest.raises(Refusal) as caught:
        terms_of([LONG, FAST], route(set()), card)
    assert caught.value.details["rate_card_keys"] == ["service_tiers.fast+long"]
    both = replace(card, service_tiers=(*card.service_tiers, ("fast+long", Fraction(12))))
    assert terms_of([LONG, FAST], route(set()), both).card.id == "card+fast+long"


def test_a_tier_that_is_only_forwarded_is_none() -> None:
    """It passes at the operator's cost, beside one that the card has."""
    card = replace(CARD, service_tiers=(("long", Fraction(2)),))
    assert terms_of([LONG, FAST], route({"speed"}), card).card.id == "card+long"


def test_a_call_that_is_billed_in_one_of_two_ways_is_held_by_what_the_card_prices() -> None:
    """Neither held nor counted are meters without a rate, of such a call alone."""
    ceiling = Ceiling({"audio_seconds": 60, "input_tokens": 600}, "output_tokens", either=True)
    by_second = RateCard("card", ("*",), (Rate("audio_seconds", Fraction(1), 1),))
    for card, held in (
        (by_second, {"audio_seconds": 60}),
        (BARE, {"input_tokens": 600, "output_tokens": 100}),
        (RateCard("card", ("*",), (PER_CALL,)), {}),
    ):
        call = routed_by(card)
        assert call.bounded(ceiling).usage == held
        assert call.bounded(replace(ceiling, either=False)).fixed == ceiling.fixed


def routed_by(card: RateCard) -> RoutedCall:
    endpoint = ENDPOINTS["/v1/embeddings"]
    ask = endpoint.read(b'{"model": "m", "input": "x"}')
    return RoutedCall(endpoint, ask, route(set()), Terms(card), b"")


def test_what_an_upstream_keeps_is_let_through_by_its_own_name_alone() -> None:
    """No rate card and no `*` says whose it is; what the model reads of it takes a card's allowance."""
    feature = kept("messages[].file_id", "file_id", 1)
    for others in ((), ("*",), ("messages",)):
        refusal = refused(feature, set(others), card=CARD)
        assert refusal is not None
        assert (refusal.code, refusal.param) == ("unpriced_feature", "messages[].file_id")
        assert "may be set to `forward` 'file_id'" in refusal.message
    assert refused(feature, {"file_id"}, card=CARD) is None
    terms = terms_of([feature], route({"file_id"}), CARD)
    assert terms.hidden == {"input_tokens": CARD.input_allowance}
