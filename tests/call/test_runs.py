"""Calls of a run: which are, what their ids may be, and what each answer says of it."""

import asyncio
import json
from fractions import Fraction
from typing import Any

import pytest
from msgspec.structs import replace

from proxy.call.policy import Policy
from proxy.call.terms import terms_of
from proxy.endpoints.features import Feature
from proxy.errors import Refusal
from proxy.ledger.commands import ChangeAccount
from proxy.ledger.groups import Group, Groups, QuotaTerms
from proxy.ledger.quotas import Quota
from proxy.ledger.rows import Limits
from proxy.pricing.book import PriceBook
from proxy.pricing.cards import Answered, RateCard
from proxy.pricing.runs import in_run
from tests.call.fakes import CHUNKS, FULL_NANO, NOW_US, RATES, WHOLE, Asked, Sent, Stage, Upstreams
from tests.call.test_terms import route

FIFTH = "0.2"


def stage_with(pieces: list[bytes] = WHOLE, share: str = FIFTH, **options: Any) -> Stage:
    stage = Stage(Upstreams(pieces), Policy(), **options)
    groups = Groups(Limits(), {"vip": Group("vip", run_share="0.5")}, run_share=share)
    stage.relay.catalog = replace(stage.relay.catalog, groups=groups)
    return stage


async def called(stage: Stage, number: int, run: str = "", **more: object) -> Sent:
    asked, sent = Asked(False, f"req_{number}", **more), Sent()
    asked.run = run
    await stage.relay.relay(asked, sent)
    return sent


async def test_calls_with_one_id_are_a_run_whether_a_header_or_metadata_says_so() -> None:
    """The header comes first. Each holds its share of the markup, and tells what the run costs by then."""
    stage = stage_with()
    sent = [
        await called(stage, 1, "r"),
        await called(stage, 2, metadata={"run_id": "r"}),
        await called(stage, 3, "r", metadata={"run_id": "other"}),
        await called(stage, 4),
        await called(stage, 5, metadata={"team": "fares"}),
    ]
    await stage.rest()
    assert [row.charged_nano for row in stage.rows()] == [FULL_NANO * 6 // 5] * 3 + [FULL_NANO] * 2
    assert [row.call.run_id for row in stage.rows()] == ["r", "r", "r", "", ""]
    told = [each.headers.get("x-farebox-run-cost") for each in sent]
    assert [Fraction(cost or 0) * 10**9 for cost in told] == [
        *(FULL_NANO * 6 // 5 * count for count in (1, 2, 3)),
        *(0, 0),
    ]
    holds = [Fraction(each.headers["x-farebox-hold"]) * 10**9 for each in sent]
    assert holds[0] == holds[3] * 6 / 5 + 1


@pytest.mark.parametrize("run", ["-r", "r r", "r/../x", "x" * 129, "ü"])
@pytest.mark.parametrize("place", ["header", "metadata"])
async def test_what_is_no_id_is_refused_before_anything_is_held(run: str, place: str) -> None:
    stage = stage_with()
    with pytest.raises(Refusal) as caught:
        await called(stage, 1, run) if place == "header" else await called(stage, 1, metadata={"run_id": run})
    await stage.rest()
    param = "x-farebox-run" if place == "header" else "metadata.run_id"
    assert (caught.value.code, caught.value.param) == ("invalid_value", param)
    assert not stage.store.books.holds


async def test_without_a_markup_a_run_is_only_summed_up() -> None:
    stage = stage_with(share="0")
    sent = [await called(stage, number, "r") for number in (1, 2)]
    await stage.rest()
    assert [row.charged_nano for row in stage.rows()] == [FULL_NANO] * 2
    assert Fraction(sent[1].headers["x-farebox-run-cost"]) * 10**9 == 2 * FULL_NANO


async def test_a_stream_in_a_run_is_charged_as_a_whole_answer_is() -> None:
    """Its usage has what it came to."""
    stage = stage_with(CHUNKS)
    asked, sent = Asked(True), Sent()
    asked.run, asked.wants_cost = "r", True
    await stage.relay.relay(asked, sent)
    await stage.rest()
    (row,) = stage.rows()
    assert row.charged_nano == FULL_NANO * 6 // 5 == stage.heard.charges[0].total_nano
    usage = json.loads(sent.data.decode().split("data: ")[-2])["usage"]
    assert usage["cost"] == "0.000024"
    assert usage["cost_details"] == {
        "lines": [
            {"meter": "input_tokens", "amount": "0.00001"},
            {"meter": "output_tokens", "amount": "0.00001"},
            {"meter": "run_markup", "amount": "0.000004"},
        ],
        "run": {"id": "r", "subtotal": "0.00002", "markup": "0.000004", "total": "0.000024"},
    }


async def test_calls_of_a_run_at_once_add_up() -> None:
    stage = stage_with(share="0.333333")
    await asyncio.gather(*(called(stage, number, "r") for number in range(5)))
    await stage.rest()
    subtotal = 5 * FULL_NANO
    paid = sum(row.charged_nano for row in stage.rows())
    assert paid == subtotal + round(subtotal * Fraction("0.333333"))
    assert stage.store.books.accounts["acct_1"].created_at_us == NOW_US


async def test_a_call_beyond_its_quota_is_one_of_its_run_as_well() -> None:
    """It is charged at the usual price, with the markup of its group."""
    stage = stage_with()
    quota = QuotaTerms(Quota("all", 1), ("*",), is_charged_beyond=True)
    groups = Groups(Limits(), {"vip": Group("vip", run_share="0.5", quotas=(quota,))}, run_share=FIFTH)
    stage.relay.catalog = replace(stage.relay.catalog, groups=groups)
    stage.store.commit([ChangeAccount("acct_1", NOW_US, group="vip")])
    for number in range(2):
        await called(stage, number, "r")
    await stage.rest()
    assert [(row.charged_nano, row.call.run_id) for row in stage.rows()] == [(FULL_NANO * 3 // 2, "r")] * 2


async def test_whichever_model_or_tier_answers_the_call_is_one_of_its_run() -> None:
    """Every card that it may be charged by has the markup, also where the answer decides."""
    dear = RateCard("dear", (), tuple(replace(rate, price=rate.price * 3) for rate in RATES), 100)
    tiers = (("priority", Fraction(2)),)
    card = RateCard("card", ("*",), RATES, 100, tiers, answered=(Answered("m-dear", dear),))
    answer = json.loads(b"".join(WHOLE)) | {"model": "m-dear"}
    stage = stage_with([json.dumps(answer).encode()])
    stage.relay.catalog = replace(stage.relay.catalog, book=PriceBook([card]))
    await called(stage, 1, "r")
    await stage.rest()
    (row,) = stage.rows()
    assert row.charged_nano == 3 * FULL_NANO * 6 // 5
    by_tier = RateCard("card", ("*",), RATES, 100, tiers, tier_by_answer=True)
    asked = Feature("service_tier", "service_tier", tier="auto", optional=True)
    terms = terms_of([asked], route(), by_tier)
    inside = terms.changed(lambda each: in_run(each, "r", FIFTH))
    assert inside.by_answer
    assert all(each.adjustments for each in (*inside.possible, inside.card))
