"""A rate card has exact prices for known meters."""

import pytest

from tests.config.samples import Reported, card, text_of

RATE = "rate_cards.chat.rates.input_tokens"
NO_BOUND = "is missing; a card that prices output has to say how much a call can produce"
NOT_AN_AMOUNT = 'is not an amount; write a decimal string such as "0.15"'
TOO_LARGE = "is larger than 4611686018.427387903 USD, the largest amount there is"
IN = "input_tokens: {per_1m: '1'}"
IN_RATES = f"rates: {{{IN}}}"


@pytest.mark.parametrize(
    ("cards", "faults"),
    [
        (
            card("rates: {input_token: {per_1m: '1'}}"),
            ["rate_cards.chat.rates.input_token: is not a meter; did you mean 'input_tokens'?"],
        ),
        (
            card("rates: {input_tokens: {}}"),
            [f"{RATE}: needs exactly one of per_1m, per_1k, per_unit"],
        ),
        (
            card("rates: {input_tokens: {per_1m: '1', per_1k: '1'}}"),
            [f"{RATE}: needs exactly one of per_1m, per_1k, per_unit"],
        ),
        (
            card("rates: {input_tokens: {per_1m: '-1'}}"),
            [f"{RATE}.per_1m: '-1' is negative; a price is at least 0"],
        ),
        (
            card("rates: {input_tokens: {per_1m: 1 euro}}"),
            [f"{RATE}.per_1m: '1 euro' is in an unknown unit; write US dollars or 'thirds'"],
        ),
        (
            card("rates: {input_tokens: {per_1m: 1 thirds}}"),
            [f"{RATE}.per_1m: '1 thirds' is not exact in US dollars; write it in US dollars"],
        ),
        (
            card("rates: {input_tokens: {per_1m: cheap}}"),
            [f"{RATE}.per_1m: 'cheap' {NOT_AN_AMOUNT}"],
        ),
        (
            card("rates: {input_tokens: {per_1m: '999999999999'}}"),
            [f"{RATE}.per_1m: '999999999999' {TOO_LARGE}"],
        ),
        *(
            (
                card(f"rates: {{{IN}, {meter}: {{per_1m: '1'}}}}"),
                [f"rate_cards.chat.max_output_tokens: {NO_BOUND}"],
            )
            for meter in ("output_tokens", "reasoning_tokens")
        ),
        (
            f"rate_cards: {{a: {{match: ['*', x, '*'], {IN_RATES}}}, b: {{match: [x], {IN_RATES}}}}}",
            [
                "rate_cards.a.match[2]: '*' is matched by 'a' already",
                "rate_cards.b.match[0]: 'x' is matched by 'a' already",
            ],
        ),
    ],
)
def test_rate_cards_have_exact_prices_for_meters(reported: Reported, cards: str, faults: list[str]) -> None:
    unit = "unit: {name: thirds, per_usd: 3}"
    assert reported(text_of(rate_cards=cards, routes="", unit=unit)) == faults
