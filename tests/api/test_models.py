"""The list of models: which ones it has, in pages or not, and all that decides their prices."""

from datetime import UTC, date
from fractions import Fraction
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from proxy.api.models import Served, page
from proxy.api.views.models import ModelsQuery, ServedModel, openai_view, priced
from proxy.call.policy import Catalog, Policy
from proxy.ledger.groups import Group, Groups
from proxy.pricing.book import PriceBook
from proxy.pricing.cards import Case, Hours, RateCard
from proxy.pricing.extras import Extra
from proxy.pricing.hours import Window
from proxy.pricing.rates import Adjustment, Rate
from proxy.pricing.steps import Step
from proxy.upstream.model_lists import ListedModel
from proxy.upstream.routes import Route, Routes, Target, Upstream

IMAGE = Rate("images", Fraction(20_000_000), 1)
DEAR = Rate("images", Fraction(80_000_000), 1)
TOKENS = Rate("output_tokens", Fraction(30_000_000_000), 1_000_000)


def test_a_card_is_shown_with_every_rate_in_exact_us_dollars() -> None:
    card = RateCard("card", (), (IMAGE, TOKENS), 9, (("flex", Fraction(1, 2)),), 7)
    assert priced(card) == {
        "billing_type": "per_token",
        "pricing": {
            "images": {"price": "0.02", "per": 1, "currency": "USD"},
            "output_tokens": {"price": "30.00", "per": 1_000_000, "currency": "USD"},
        },
        "price_id": card.price_id,
        "max_output_tokens": 9,
        "input_allowance_tokens": 7,
        "service_tiers": {"flex": "0.50"},
    }


def test_each_case_is_shown_with_its_conditions_and_all_its_rates() -> None:
    """A receipt's `price_id` is one of those that are shown."""
    dear = RateCard("card+size=large", (), (DEAR, TOKENS), 99)
    card = RateCard("card", (), (TOKENS,), 9, cases=(Case((("size", "large"),), dear),))
    assert priced(card)["cases"] == [
        {
            "when": {"size": "large"},
            "pricing": {
                "images": {"price": "0.08", "per": 1, "currency": "USD"},
                "output_tokens": {"price": "30.00", "per": 1_000_000, "currency": "USD"},
            },
            "price_id": dear.price_id,
            "max_output_tokens": 99,
        }
    ]


def test_all_that_else_decides_a_price_is_shown() -> None:
    lengths = (replace(TOKENS, steps=(Step("upto", "9"),)), replace(TOKENS, steps=(Step("above", "9"),)))
    blocks = replace(IMAGE, steps=(Step("less", "1"), Step("least", "2"), Step("block", "3")))
    added = (Adjustment("markup", Step("share", "0.125")), Adjustment("most_charge", Step("at_most", "5")))
    extras = (Extra("scrape", "urls", "addresses", 3),)
    shown = priced(RateCard("card", (), (*lengths, blocks), 9, adjustments=added, extras=extras))
    assert shown["extras"] == {"scrape": {"meter": "urls", "counted": "addresses", "most": 3}}
    tokens = {"price": "30.00", "per": 1_000_000, "currency": "USD"}
    image = {"price": "0.02", "per": 1, "currency": "USD", "included": 1, "least": 2, "block": 3}
    assert shown["pricing"] == {"output_tokens": tokens, "images": image}
    assert shown["context_tiers"] == [{"above": 9, "pricing": {"output_tokens": tokens, "images": image}}]
    assert (shown["markup"], shown["most_charge"]) == ("12.5%", "0.000000005")


def test_a_model_is_shown_as_it_is_priced_now_with_the_changes_to_come() -> None:
    card = RateCard("card", (), (IMAGE,))
    changes = tuple(
        (at * 1_000_000, replace(card, rates=(replace(IMAGE, price=Fraction(at)),))) for at in (5, 9)
    )
    model = ServedModel("m", replace(card, changes=changes), [])
    for at_us, price, coming in ((4_999_999, "0.02", ["05", "09"]), (5_000_000, "0.000000005", ["09"])):
        shown: Any = openai_view(model, at_us)
        assert shown["pricing"]["images"]["price"] == price
        moments = [change["from"] for change in shown["price_changes"]]
        assert moments == [f"1970-01-01T00:00:{second}Z" for second in coming]
    assert "price_changes" not in openai_view(model, 9_000_000)


def test_a_model_is_shown_as_it_is_priced_at_this_hour_with_the_prices_of_all_others() -> None:
    card = RateCard("card", (), (IMAGE,))
    window = Window("night", UTC, 22 * 60, 30 * 60, ("mon",), (date(2026, 12, 25),), (date(2027, 1, 4),))
    timed = replace(card, hours=(Hours(window, card.multiplied("0.5", "night", "hours")),))
    night = {
        "name": "night",
        "from": "22:00",
        "to": "06:00",
        "days": ["mon"],
        "dates": ["2026-12-25"],
        "except": ["2027-01-04"],
    }
    monday_us = 4 * 86_400_000_000
    for hour, price in ((21, "0.02"), (22, "0.01"), (29, "0.01"), (30, "0.02")):
        shown: Any = openai_view(ServedModel("m", timed, []), monday_us + hour * 3_600_000_000)
        assert shown["pricing"]["images"]["price"] == price
        assert shown["hours"]["zone"] == "UTC"
        assert shown["hours"]["else"]["pricing"]["images"]["price"] == "0.02"
        [found] = shown["hours"]["windows"]
        assert {key: found[key] for key in night} == night
        assert found["pricing"]["images"]["price"] == "0.01"


def test_a_card_that_only_has_cases_is_billed_as_they_are() -> None:
    case = Case((("size", "large"),), RateCard("c+", (), (Rate("requests", Fraction(1), 1),)))
    shown = priced(RateCard("c", (), (), cases=(case,)))
    assert (shown["billing_type"], shown["pricing"]) == ("per_call", {})


def target(name: str, model: str | None = None) -> Target:
    return Target(Upstream(name, f"http://{name}"), model)


def served(*routes: Route, allowed: tuple[str, ...] = (), **listed: list[str]) -> list[str]:
    """The names of the models that are shown where upstreams list these."""
    book = PriceBook([RateCard("all", ("*",), (Rate("input_tokens", Fraction(1), 1), TOKENS), 9)])
    catalog = Catalog(Routes(routes), book, Groups(), Policy())
    models = {name: {each: ListedModel() for each in names} for name, names in listed.items()}
    return [model.name for model in Served((allowed, ""), catalog, models).all()]


def test_a_group_sees_its_models_at_its_prices() -> None:
    """Of those that the key may use. A card of another group's shows nothing."""
    rates = (Rate("input_tokens", Fraction(10), 1), TOKENS)
    cards = [
        RateCard("theirs", ("d",), rates, 9, groups=("other",)),
        RateCard("all", ("a", "b", "c"), rates, 9),
    ]
    book = PriceBook(cards, multipliers={"vip": "0.8"})
    routes = Routes([Route("all", (target("x"),), ("a", "b", "c", "d"), CHAT)])
    groups = Groups(groups={"vip": Group("vip", models=("b", "c", "d")), "other": Group("other")})
    catalog = Catalog(routes, book, groups, Policy())
    shown = {}
    asked: list[tuple[tuple[str, ...], str]] = [(("a", "b"), "vip"), ((), "vip"), ((), "other"), ((), "")]
    for keys, group in asked:
        found = Served((keys, group), catalog, {}).all()
        views: list[Any] = [openai_view(model, 0) for model in found]
        shown[keys, group] = [(view["id"], view["pricing"]["input_tokens"]["price"]) for view in views]
    at = "0.00000001"
    assert shown == {
        (("a", "b"), "vip"): [("b", "0.000000008")],
        ((), "vip"): [("b", "0.000000008"), ("c", "0.000000008")],
        ((), "other"): [(name, at) for name in "abcd"],
        ((), ""): [(name, at) for name in "abc"],
    }


CHAT = ("chat.completions",)


def test_a_listed_model_is_shown_where_a_call_to_it_goes_to_who_lists_it() -> None:
    """A route before it would take the call to an upstream that does not know the model."""
    first = Route("first", (target("a"),), ("gpt-*",), CHAT)
    second = Route("second", (target("b"), target("c")), ("*",), CHAT)
    assert served(first, second, a=["gpt-1", "x"], b=["gpt-2", "y"], c=["z", "y"]) == ["gpt-1", "y", "z"]


def test_a_target_that_renames_a_model_lists_none() -> None:
    assert served(Route("all", (target("a", "x"),), ("*", "mine"), CHAT), a=["x", "y"]) == ["mine"]


def test_what_a_key_may_not_use_is_not_shown() -> None:
    route = Route("all", (target("a"),), ("*", "mine"), CHAT)
    assert served(route, a=["x", "y"], allowed=("x*", "m*")) == ["mine", "x"]


@given(st.sets(st.sampled_from("abcdefgh")), st.integers(1, 9))
def test_pages_of_anthropics_have_every_model_once_in_either_direction(names: set[str], limit: int) -> None:
    models = [ServedModel(name, RateCard("card", (), (IMAGE,)), ()) for name in sorted(names)]
    after, before = [""], ["~"]
    onward: list[str] = []
    while after:
        head, some = page(models, ModelsQuery(limit, after_id=after.pop()))
        onward += (found := [model.name for model in some])
        after += found[-1:] if head["has_more"] else []
        assert len(found) <= limit
        assert (head["first_id"], head["last_id"]) == ((found[0], found[-1]) if found else (None, None))
    back: list[str] = []
    while before:
        head, some = page(models, ModelsQuery(limit, before_id=before.pop()))
        back = (found := [model.name for model in some]) + back
        before += found[:1] if head["has_more"] else []
        assert len(found) <= limit
    assert onward == back == sorted(names)
