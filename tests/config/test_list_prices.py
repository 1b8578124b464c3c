"""List prices of the real package become cards that charge what the package itself calculates."""

from datetime import UTC, datetime, time
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from genai_prices import Usage as ListUsage
from genai_prices.data import providers
from genai_prices.types import (
    ClauseEquals,
    ConditionalPrice,
    ModelInfo,
    ModelPrice,
    PriceVariant,
    Provider,
    Tier,
    TieredPrices,
    TimeOfDateConstraint,
)
from hypothesis import given
from hypothesis import strategies as st

from proxy.cli.files import check
from proxy.config.card_schema import PricesSchema, RateCardSchema
from proxy.config.list_prices import InexpressibleError, card_with_prices, pin
from proxy.metering.usage import Usage
from proxy.pricing.charge import price
from proxy.pricing.listed import card_of
from tests.config.samples import LoadText, Reported, text_of

NOW = datetime(2030, 1, 1, tzinfo=UTC)
NOW_US = int(NOW.timestamp()) * 1_000_000
MODELS = [
    ("openai", "gpt-4o"),
    ("openai", "gpt-4o-mini"),
    ("anthropic", "claude-sonnet-4-5"),
    ("google", "gemini-2.5-pro"),
    ("x-ai", "grok-4-0709"),
    ("mistral", "mistral-large"),
    ("openai", "gpt-5.4"),
]
BOUND = "max_output_tokens: 4096"


def prices(text: str, more: str = BOUND, match: str = "") -> str:
    of = f"match: [{match}], " if match else ""
    return text_of(rate_cards=f"rate_cards: {{chat: {{{of}prices: {{from: genai-prices, {text}}}, {more}}}}}")


def model_of(provider_id: str, model_id: str) -> tuple[Provider, ModelInfo]:
    provider = next(each for each in providers if each.id == provider_id)
    return provider, next(each for each in provider.models if each.id == model_id)


def usages() -> st.SearchStrategy[Usage]:
    tokens = st.one_of(st.integers(0, 2_000), st.integers(0, 2_000_000))

    @st.composite
    def usage(draw: st.DrawFn) -> Usage:
        cached, written, plain = draw(tokens), draw(tokens), draw(tokens)
        searches = draw(st.integers(0, 5))
        return {
            "requests": 1,
            "input_tokens": cached + written + plain,
            "cached_input_tokens": cached,
            "cache_write_tokens": written,
            "output_tokens": draw(tokens),
            "web_searches": searches,
        }

    return usage()


@pytest.mark.parametrize(("provider_id", "model_id"), MODELS)
def test_a_call_is_charged_what_the_package_calculates(
    load_text: LoadText, provider_id: str, model_id: str
) -> None:
    """To the nano-dollar, at every length of input, with what is read from a cache and written to it."""
    settings = load_text(prices(f"provider: {provider_id}, model: '{model_id}'", match="gpt-4o"))
    found = settings.book.card_for("gpt-4o", "chat.completions")
    assert found is not None
    card = found.as_of(NOW_US)
    provider, model = model_of(provider_id, model_id)
    has_writes = any(rate.meter == "cache_write_tokens" for rate in card.rates)

    @given(usages())
    def same(usage: Usage) -> None:
        if not has_writes:
            usage = {**usage, "cache_write_tokens": 0}
        asked = ListUsage(
            input_tokens=usage["input_tokens"],
            cache_read_tokens=usage["cached_input_tokens"],
            cache_write_tokens=usage["cache_write_tokens"],
            output_tokens=usage["output_tokens"],
            web_searches=usage["web_searches"],
        )
        expected = model.calc_price(asked, provider, genai_request_timestamp=NOW).total_price
        exact = Fraction(expected) * 10**9
        assert abs(price(card, usage).total_nano - exact) <= Fraction(1, 2) + Fraction(1, 10**6)

    same()


def test_the_list_is_in_the_price_id_and_a_job_keeps_it(load_text: LoadText) -> None:
    """A receipt tells which list it was, of which version, and what its data were."""
    settings = load_text(prices("provider: openai, model: gpt-4o, markup: '20%'"))
    card = settings.book.card_for("gpt-4o", "chat.completions")
    assert card is not None
    now = card.as_of(NOW_US)
    assert now.price_id == f"chat@{pin()}.{now.version}"
    assert pin().startswith("genai-prices-")
    again = card_of(now.price_id, now.listed)
    assert again.price_id == now.price_id
    usage = {"requests": 1, "input_tokens": 1_000_000}
    assert price(now, usage).total_nano == price(again, usage).total_nano == 3_000_000_000


def test_check_shows_which_list_prices_are_of(tmp_path: Path) -> None:
    """So that they can be pinned."""
    file = tmp_path / "farebox.yaml"
    file.write_text(prices("provider: openai, model: gpt-4o"))
    ran = CliRunner().invoke(check, [str(file)])
    assert ran.exit_code == 0, ran.output
    assert f"List prices are those of {pin()};" in ran.output


def test_a_glob_is_a_card_for_each_model(load_text: LoadText) -> None:
    text = prices(
        "provider: openai, model: 'gpt-4o*', without: ['*audio*', '*realtime*', '*transcribe*', '*tts*']"
    )
    book = load_text(text).book
    assert book.by_id("chat-gpt-4o") is not None
    mini = book.card_for("gpt-4o-mini", "chat.completions")
    assert mini is not None
    assert (mini.id, mini.match) == ("chat-gpt-4o-mini", ("gpt-4o-mini",))


def test_what_a_card_says_itself_comes_before_the_list(load_text: LoadText) -> None:
    own = f"rates: {{input_tokens: {{per_1m: '9'}}}}, {BOUND}"
    card = load_text(prices("provider: openai, model: gpt-4o", own)).book.card_for(
        "gpt-4o", "chat.completions"
    )
    assert card is not None
    by_meter = {rate.meter: rate.price for rate in card.rates}
    assert by_meter["input_tokens"] == 9 * 10**9
    assert "output_tokens" in by_meter


@pytest.mark.parametrize(
    ("text", "more", "fault"),
    [
        (
            "provider: opnai, model: gpt-4o",
            BOUND,
            "provider: 'opnai' is not a provider; did you mean 'openai'?",
        ),
        ("provider: openai, model: gpt-4oo", BOUND, "model: 'gpt-4oo' is not a model of openai"),
        ("provider: openai, model: gpt-4o, pin: genai-prices-0.0.1-0", BOUND, "is not what is installed"),
        ("provider: openai, model: gpt-4o, markup: '1%'", f"markup: '2%', {BOUND}", "markup: is there twice"),
        (
            "provider: openai, model: gpt-4o",
            f"like: chat, {BOUND}",
            "cannot be of a card that is like another",
        ),
        ("provider: deepseek, model: deepseek-chat", BOUND, "has prices that depend on the time of day"),
        ("provider: openai, model: gpt-4o", "match: [gpt-4o]", "has to say how much a call can produce"),
    ],
)
def test_what_cannot_be_is_a_fault(reported: Reported, text: str, more: str, fault: str) -> None:
    assert any(fault in each for each in reported(prices(text, more))), reported(prices(text, more))


def made_up(price: ModelPrice | list[ConditionalPrice], *variants: PriceVariant) -> ModelInfo:
    return ModelInfo(id="m", match=ClauseEquals(equals="m"), prices=price, price_variants=list(variants))


def of(**prices_by_key: Any) -> ModelPrice:
    return ModelPrice(**prices_by_key)


ASKED = PricesSchema(source="genai-prices", provider="p", model="m")


@pytest.mark.parametrize(
    "model",
    [
        made_up(of()),
        made_up(of(cache_audio_read_mtok=Decimal(1))),
        made_up(of(input_mtok=0.1)),
        made_up(of(input_mtok=Decimal(-1))),
        made_up([ConditionalPrice(TimeOfDateConstraint(time(1), time(2)), prices=of(input_mtok=Decimal(1)))]),
        made_up(of(input_mtok=Decimal(1)), PriceVariant({"route": "eu"}, of(input_mtok=Decimal(2)))),
    ],
)
def test_what_a_card_cannot_say_exactly_is_refused(model: ModelInfo) -> None:
    with pytest.raises(InexpressibleError):
        card_with_prices(RateCardSchema(), ASKED, "p", model)


def test_lengths_and_kinds_of_writes_are_as_the_package_has_them() -> None:
    """A write of any length of life costs what a write costs, where no other price is said."""
    tiers = TieredPrices(
        base=Decimal(1), tiers=[Tier(start=300, price=Decimal(3)), Tier(start=200, price=Decimal(2))]
    )
    model = made_up(of(input_mtok=tiers, cache_write_mtok=Decimal("1.25"), output_mtok=Decimal(3)))
    card = card_with_prices(RateCardSchema(), ASKED, "p", model)
    assert card.rates is not None
    assert {name: rate.per_1m for name, rate in card.rates.items()} == {
        "input_tokens": "1",
        "cache_write_tokens": "1.25",
        "output_tokens": "3",
        "cache_write_1h_tokens": "1.25",
        "cache_write_12h_tokens": "1.25",
    }
    assert [
        (tier.above, {name: rate.per_1m for name, rate in tier.rates.items()}) for tier in card.context_tiers
    ] == [
        (200, {"input_tokens": "2"}),
        (300, {"input_tokens": "3"}),
    ]
