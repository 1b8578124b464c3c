"""A figure that was not reported is never called so: basis and `inferred` say whose each figure is."""

import asyncio
import json
from typing import Any

import pytest
from msgspec.structs import replace

from proxy.ledger.rows import Receipt
from proxy.metering.usage import Usage
from proxy.pricing.book import PriceBook
from proxy.pricing.cards import RateCard
from tests.call.fakes import Asked, Sent, Stage, Upstreams
from tests.call.toys import TOY_RATES, AskedPages, Pages

TEXT = "Twelve fares, please."


def answer(usage: dict[str, Any] | None, text: str, *, stream: bool) -> list[bytes]:
    choice = {"index": 0, "delta" if stream else "message": {"content": text}, "finish_reason": "stop"}
    reply = json.dumps({"choices": [choice], "usage": usage}).encode()
    return [b"data: " + reply + b"\n\n", b"data: [DONE]\n\n"] if stream else [reply]


async def receipt(usage: dict[str, Any] | None, text: str, *, stream: bool) -> Receipt:
    stage = Stage(Upstreams(answer(usage, text, stream=stream)))
    await stage.relay.relay(Asked(stream), Sent())
    await stage.rest()
    (row,) = stage.rows()
    return row


def plain(prompt: int | None, output: int | None, total: int | None = None) -> dict[str, Any]:
    return {"prompt_tokens": prompt, "completion_tokens": output, "total_tokens": total}


COUNTED = "counted"
CASES: list[tuple[dict[str, Any] | None, str, dict[str, str]]] = [
    (plain(7, 3, 10), TEXT, {}),
    (plain(7, 3), TEXT, {}),
    (plain(7, 0, 7), "", {}),
    (plain(7, None), "", {}),
    (plain(0, 3, 3), TEXT, {"input_tokens": COUNTED}),
    (plain(0, 3), TEXT, {"input_tokens": COUNTED}),
    (plain(None, 3), TEXT, {"input_tokens": COUNTED}),
    (plain(7, 0, 7), TEXT, {"output_tokens": COUNTED}),
    (plain(7, None), TEXT, {"output_tokens": COUNTED}),
    (plain(-7, -3), TEXT, {"input_tokens": COUNTED, "output_tokens": COUNTED}),
    (None, TEXT, {"input_tokens": COUNTED, "output_tokens": COUNTED}),
    (None, "", {"input_tokens": COUNTED, "output_tokens": COUNTED}),
    (plain(7, 3, 20), TEXT, {"output_tokens": "total"}),
    (plain(0, 3, 20), TEXT, {"input_tokens": "total"}),
    (plain(7, None, 20), TEXT, {"output_tokens": "total"}),
]


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(("usage", "text", "inferred"), CASES)
async def test_the_receipt_says_which_figures_are_not_the_upstreams(
    usage: dict[str, Any] | None, text: str, inferred: dict[str, str], stream: bool
) -> None:
    """A figure that is not marked is the upstream's own, and one that is reported is never counted anew."""
    outcome = (await receipt(usage, text, stream=stream)).outcome
    assert outcome.inferred == inferred
    assert outcome.basis == ("counted" if COUNTED in inferred.values() else "reported")
    told: Usage = {
        "input_tokens": (usage or {}).get("prompt_tokens") or 0,
        "output_tokens": (usage or {}).get("completion_tokens") or 0,
    }
    for meter, quantity in outcome.usage.items():
        assert meter in inferred or quantity == told[meter]
    assert outcome.usage["input_tokens"] > 0


async def test_a_reply_that_breaks_off_is_counted_and_at_least_what_it_had_reported() -> None:
    """Its output is the larger of both; the input does not grow, and stays as it was reported."""
    for output, counted in ((1, True), (900, False)):
        event = answer(plain(7, output), TEXT * 4, stream=True)[0].replace(b'"stop"', b"null")
        stage = Stage(Upstreams([event], breaks=True))
        await asyncio.gather(stage.relay.relay(Asked(True), Sent()), return_exceptions=True)
        await stage.rest()
        outcome = stage.rows()[0].outcome
        assert (outcome.basis, outcome.usage["input_tokens"]) == ("counted", 7)
        assert outcome.inferred == ({"output_tokens": COUNTED} if counted else {})
        assert outcome.usage["output_tokens"] >= output


class EitherPages(Pages):
    """Billed by its text at some upstreams, and by its pages at others."""

    meters = (("characters", "images"),)


@pytest.mark.parametrize(("told", "basis"), [({"images": 3}, "reported"), ({"characters": 5}, "counted")])
async def test_what_no_rate_prices_is_not_counted(told: dict[str, int], basis: str) -> None:
    """What it comes to decides nothing; what has a rate is counted where it was not reported."""
    stage = Stage(
        Upstreams([b"page\n", b"END" + json.dumps(told).encode()]),
        endpoints={EitherPages.path: EitherPages()},
    )
    only_pages = RateCard("pages", ("*",), (TOY_RATES[1],), 100)
    stage.relay.catalog = replace(stage.catalog, book=PriceBook([only_pages]))
    await stage.relay.relay(AskedPages(), Sent())
    await stage.rest()
    (row,) = stage.rows()
    assert (row.outcome.basis, row.charge.lines[0].meter) == (basis, "images")
    assert row.outcome.usage == {"images": 1} | told
    assert row.outcome.inferred == ({} if basis == "reported" else {"images": COUNTED})
