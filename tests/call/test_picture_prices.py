"""The prices of pictures: what a card has to have, what is held, and what the parts of a call cost."""

import pytest

from proxy.call.policy import Policy
from proxy.endpoints.openai.images.ask import FRAMING_TOKENS
from proxy.errors import Refusal
from proxy.money import parse_amount
from proxy.pricing.cards import Case, RateCard
from proxy.pricing.rates import Rate
from tests.call.fakes import Sent, Upstreams
from tests.call.hostile import Body
from tests.call.test_pictures import (
    BY_IMAGE,
    BY_TOKEN,
    GIVEN,
    IMAGE_NANO,
    MOST,
    PROMPT,
    TWO,
    Picture,
    Scene,
    played,
    staged,
    whole_body,
)
from tests.endpoints.openai.images.answers import FORM_HEAD, STREAM, completed, form, png, usage


async def test_the_parts_of_input_and_output_have_their_own_rates() -> None:
    told = usage(
        1_000,
        1_100,
        input_tokens_details={"text_tokens": 100, "image_tokens": 900},
        output_tokens_details={"text_tokens": 100, "image_tokens": 1_000},
    )
    row, _ = await played(Scene(whole_body(TWO[0], usage=told), stream=False), BY_TOKEN)
    assert {line.meter: line.quantity for line in row.charge.lines} == {
        "input_tokens": 100,
        "input_image_tokens": 900,
        "output_tokens": 100,
        "output_image_tokens": 1_000,
    }
    assert row.charged_nano == 100 * 1_000 + 900 * 2_000 + 100 * 4_000 + 1_000 * 8_000


async def test_a_picture_costs_no_more_than_was_held_where_nothing_is_reported() -> None:
    large = "QUJD" * (2_000 * MOST)
    row, _ = await played(Scene(whole_body({"b64_json": large}), stream=False), BY_TOKEN)
    assert row.outcome.usage["output_tokens"] == MOST
    assert row.charged_nano <= row.hold_nano


@pytest.mark.parametrize("policy", [Policy(), Policy(when_short="refuse")])
@pytest.mark.parametrize("short", [0, 1])
async def test_pictures_are_held_as_a_whole_or_refused(policy: Policy, short: int) -> None:
    """No upstream could be told of a bound."""
    held_nano = MOST * 8_000
    ask = 2_000 * (GIVEN + 64)
    upstreams = Upstreams(STREAM)
    stage, sent = staged(upstreams, BY_TOKEN, policy, held_nano + ask - short), Sent()
    if short:
        with pytest.raises(Refusal) as refused:
            await stage.relay.relay(Picture(stream=True), sent)
        assert refused.value.code == "request_exceeds_balance"
        assert upstreams.requests == []
    else:
        await stage.relay.relay(Picture(stream=True), sent)
        assert "x-farebox-output-clamped-to" not in sent.headers
    await stage.rest()
    assert [row.hold_nano for row in stage.rows()] == ([] if short else [held_nano + ask])


@pytest.mark.parametrize(
    ("rates", "passes"),
    [
        ({"images"}, True),
        ({"requests"}, True),
        ({"input_tokens", "output_tokens", "output_image_tokens"}, True),
        ({"input_tokens", "output_tokens"}, False),
        ({"input_tokens", "output_image_tokens"}, False),
        ({"output_image_tokens"}, False),
        ({"characters"}, False),
    ],
)
async def test_a_card_prices_pictures_by_number_or_by_their_tokens(rates: set[str], *, passes: bool) -> None:
    """A rate for text alone, as that of chats, is no price of a picture."""
    priced = tuple(Rate(meter, parse_amount("0.000001"), 1) for meter in sorted(rates))
    stage = staged(Upstreams(STREAM), RateCard("card", ("*",), priced, MOST))
    codes = []
    try:
        await stage.relay.relay(Picture(stream=True), Sent())
    except Refusal as refusal:
        codes.append(refusal.code)
    await stage.rest()
    assert codes == ([] if passes else ["model_not_priced"])


CASED = RateCard(
    "painter",
    ("*",),
    (),
    cases=tuple(
        Case(
            (("quality", quality), ("size", "1024x1024")),
            RateCard(f"painter+{quality}", ("*",), (Rate("images", parse_amount(price), 1),)),
        )
        for quality, price in (("high", "0.08"), ("low", "0.01"))
    ),
)


@pytest.mark.parametrize(
    ("quality", "size", "card"),
    [
        ("high", "1024x1024", "painter+high"),
        ("HIGH", "1024X1024", "painter+high"),
        ("low", "1024x1024", "painter+low"),
        ("auto", "1024x1024", None),
        ("low", "auto", None),
        (None, None, None),
    ],
)
async def test_a_price_may_depend_on_size_and_quality(
    quality: str | None, size: str | None, card: str | None
) -> None:
    """What no case has a price for is refused before it is forwarded; `auto` is a value of its own."""
    upstreams = Upstreams(STREAM)
    stage = staged(upstreams, CASED)
    request = Picture(stream=True, quality=quality, size=size)
    if card is None:
        with pytest.raises(Refusal) as refused:
            await stage.relay.relay(request, Sent())
        assert (refused.value.code, upstreams.requests) == ("unpriced_feature", [])
    else:
        await stage.relay.relay(request, Sent())
    await stage.rest()
    assert [row.charge.price_id.partition("@")[0] for row in stage.rows()] == ([card] if card else [])


async def test_the_files_of_a_form_are_held_for_and_go_up_as_they_came() -> None:
    data = form(("image[]", png(1_024, 1_024, bytes(200_000))), ("model", "m"), ("prompt", PROMPT))
    upstreams, sent = Upstreams(whole_body(TWO[0], usage=usage(300))), Sent()
    stage, request = staged(upstreams, BY_TOKEN), Body("/v1/images/edits", data)
    request.headers = FORM_HEAD
    await stage.relay.relay(request, sent)
    await stage.rest()
    (row,) = stage.rows()
    assert upstreams.requests[0].body == data
    assert row.outcome.usage["input_tokens"] == 300
    assert row.hold_nano > MOST * 8_000 + 6_000 * 2_000


async def test_a_large_picture_whose_tokens_are_told_is_not_taken_for_more_than_that() -> None:
    """Its bytes come to more than was held for, and there are no further funds: it is not cut."""
    large = completed(picture="QUJD" * (2_000 * MOST), usage=usage(drawn=MOST))
    held_nano = MOST * 8_000 + (len(PROMPT) + 2 + FRAMING_TOKENS) * 2_000
    stage, sent = staged(Upstreams([large]), BY_TOKEN, funds_nano=held_nano), Sent()
    await stage.relay.relay(Picture(stream=True), sent)
    await stage.rest()
    (row,) = stage.rows()
    assert (row.outcome.outcome, row.outcome.basis) == ("complete", "reported")
    assert (row.outcome.usage["output_tokens"], sent.data) == (MOST, large)


async def test_a_picture_whose_tokens_are_told_is_charged_though_the_next_never_comes() -> None:
    scene = Scene([completed(usage=usage(drawn=900))], breaks=True, members={"n": 2})
    for card in (BY_TOKEN, BY_IMAGE):
        row, _ = await played(scene, card)
        assert row.outcome.outcome == "upstream_failed"
        assert row.charged_nano == (50 * 1_000 + 900 * 8_000 if card is BY_TOKEN else IMAGE_NANO)
