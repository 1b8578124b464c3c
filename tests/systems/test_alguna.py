"""Alguna: metered products, priced for a thousand or a million units, by tiers and with allowances."""

import secrets
import time
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from math import ceil
from pathlib import Path

import pytest

from tests.acceptance.harness import Account, eventually, nano, running
from tests.acceptance.scripted_upstream import ScriptedUpstream
from tests.acceptance.webhook_receiver import webhook_receiver
from tests.systems.system import System, config_of, environ_of, system_with_a_clock

MICROSECOND = timedelta(microseconds=1)
EVENTS = "/v1/billing/events"
ANSWER = 15_000
"""What one token of an answer costs."""


@pytest.mark.parametrize(
    ("model", "prompt", "output", "total_nano"),
    [
        ("assistant", 1_000_000, 1, 3_000_015_000),
        ("assistant", 1, 1_000_000, 15_000_003_000),
        ("summarizer", 1_000, 1, 500_000 + 1_500 + 2_000_000),
        ("summarizer", 1, 1_000, 500 + 1_500_000 + 2_000_000),
    ],
)
def test_g2_products_are_priced_for_a_thousand_or_a_million_units(
    system: System, model: str, prompt: int, output: int, total_nano: int
) -> None:
    """Input and output by themselves, and calls beside them."""
    assert system.chat(system.account(), model, prompt, output) == total_nano


def test_g8_a_contract_has_a_discount_and_a_minimum_by_the_month(
    upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    """Beside what is paid in advance or on credit; what is missing as a month ends is a fee, once."""
    with system_with_a_clock("alguna", tmp_path, upstream) as (system, clock):
        prepaid, lent = system.account("5.00"), system.account("", credit_limit="5.00")
        bound = system.account("", group="committed", credit_limit="500.00")
        assert system.chat(prepaid, "assistant", 1_000_000, 1) == 3_000_015_000
        assert system.chat(lent, "assistant", 1_000_000, 1) == 3_000_015_000
        assert (prepaid.nano("balance"), lent.nano("debt")) == (1_999_985_000, 3_000_015_000)
        assert system.chat(bound, "assistant", 1_000_000, 1) == 2_400_012_000
        joined = datetime.fromisoformat(bound.api.get("/v1/billing/plan")["since"])
        first = first_of_next(joined)
        clock.is_ahead(ceil(first.timestamp() - time.time()) + 60)
        eventually(lambda: fees(bound) != [])
        month = first - joined.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        left = Fraction((first - joined) // MICROSECOND, month // MICROSECOND)
        rest = round(100_000_000_000 * left) - 2_400_012_000
        assert fees(bound) == [rest]
        assert system.chat(bound, "assistant", 10_000_000, 1) == 24_000_012_000
        second = first_of_next(first)
        clock.is_ahead(ceil(second.timestamp() - time.time()) + 60)
        eventually(lambda: len(fees(bound)) > 1)
        assert fees(bound) == [rest, 100_000_000_000 - 24_000_012_000]
        assert bound.nano("debt") == 100_000_000_000 + round(100_000_000_000 * left)


def first_of_next(at: datetime) -> datetime:
    """When the next month begins."""
    later = at.replace(day=1, hour=0, minute=0, second=0, microsecond=0) + timedelta(days=31)
    return later.replace(day=1)


def fees(account: Account) -> list[int]:
    """The fees that an account has paid, in order, in nano-USD."""
    entries = account.api.get("/v1/billing/entries")["data"]
    return [-nano(entry["amount"]) for entry in reversed(entries) if entry["kind"] == "fee"]


def test_g3_tokens_are_summed_and_calls_are_counted(system: System) -> None:
    account = system.account()
    for prompt, output in ((1_000, 10), (200, 30), (4, 5)):
        system.chat(account, "summarizer", prompt, output)
    system.chat(account, "assistant", 7, 8)
    rows = account.api.get("/v1/billing/usage?group_by=model")
    sums = {
        row["group"]: (row["input_tokens"], row["output_tokens"], row["requests"]) for row in rows["data"]
    }
    assert sums == {"summarizer": (1_204, 45, 3), "assistant": (7, 8, 1)}
    total = rows["total"]
    assert (total["input_tokens"], total["output_tokens"], total["requests"]) == (1_211, 53, 4)
    assert nano(total["charged"]) == 10**11 - account.nano("balance")


def test_g1_g6_usage_from_outside_is_priced_as_its_product_is(system: System) -> None:
    """By tokens, by the hour of a processor counted by seconds, and by outcomes, each from prepaid credit."""
    account = system.account()
    events = [
        event("tokens.used", account, input_tokens=1_000_000, output_tokens=200),
        event("gpu.job", account, seconds=3_600),
        event("gpu.job", account, seconds=1),
        event("gpu.job", account, seconds=5_400, gpu="H100"),
        event("ticket.closed", account, resolved=True),
        event("ticket.closed", account, resolved=False),
    ]
    told = system.server.admin.post(EVENTS, {"events": events})
    assert (told["charged"], told["rejected"]) == (6, 0)
    charged = [nano(each["charged"]) for each in told["data"]]
    # A second of 1.10 dollars an hour has no decimal form, and is rounded once.
    assert charged == [3_003_000_000, 1_100_000_000, 305_556, 4_935_000_000, 990_000_000, 0]
    assert account.nano("balance") == 10**11 - sum(charged)
    rows = account.api.get("/v1/billing/usage?group_by=model")["data"]
    assert {row["group"]: (row["requests"], nano(row["charged"])) for row in rows} == {
        "tokens.used": (1, 3_003_000_000),
        "gpu.job": (3, 1_100_000_000 + 305_556 + 4_935_000_000),
        "ticket.closed": (2, 990_000_000),
    }


def test_g1_usage_from_outside_has_the_prices_of_its_tiers(system: System) -> None:
    """Graduated over events and calls alike, in the order in which they come, also within one request."""
    account = system.account()
    events = [event("tokens.written", account, input_tokens=part) for part in (900_000, 300_000)]
    told = system.server.admin.post(EVENTS, {"events": events})["data"]
    assert [nano(each["charged"]) for each in told] == [2_700_000_000, 800_000_000]
    again = system.server.admin.post(EVENTS, events[0])["data"][0]
    assert (again["status"], again["charged"]) == ("duplicate", "2.70")
    assert system.chat(account, "writer", 8_800_001, 1) == 8_800_000 * 2_500 + 2_000 + ANSWER


def test_g6_an_event_is_charged_once_whatever_is_sent(system: System) -> None:
    """A repeat is told what the first did, other content under its id is a conflict, the rest goes on."""
    account = system.account()
    first = event("gpu.job", account, seconds=3_600)
    for status in ("charged", "duplicate"):
        told = system.server.admin.post(EVENTS, first)["data"][0]
        assert (told["status"], told["charged"]) == (status, "1.10")
    other = {**first, "properties": {"seconds": 7_200}}
    wrong = event("gpu.job", account, seconds=-1)
    fresh = event("gpu.job", account, seconds=36)
    told = system.server.admin.post(EVENTS, {"events": [other, wrong, fresh, first]})
    assert [each["status"] for each in told["data"]] == ["rejected", "rejected", "charged", "duplicate"]
    codes = [(each["error"]["code"], each["error"]["param"]) for each in told["data"][:2]]
    assert codes == [("idempotency_conflict", None), ("invalid_value", "/properties/seconds")]
    assert account.nano("balance") == 10**11 - 1_111_000_000


def test_g6_cloud_events_are_taken_as_their_specification_has_them(system: System) -> None:
    """In a batch and one by one; an id is known within its source, and the key tells whose it is."""
    account = system.account()
    cloud = {
        "specversion": "1.0",
        "id": "1",
        "type": "tokens.used",
        "time": now(),
        "data": {"input_tokens": 1_000, "output_tokens": 0},
    }
    batch = [{**cloud, "source": "/a"}, {**cloud, "source": "/b"}, {**cloud, "source": "/a"}]
    kinds = ("application/cloudevents-batch+json", "application/cloudevents+json")
    statuses = [
        [each["status"] for each in account.api.post(EVENTS, body, {"Content-Type": kind})["data"]]
        for kind, body in zip(kinds, (batch, batch[1]), strict=True)
    ]
    assert statuses == [["charged", "charged", "duplicate"], ["duplicate"]]
    assert account.nano("balance") == 10**11 - 6_000_000


def test_g6_keys_send_what_they_may_and_for_their_own_account(system: System) -> None:
    account, other = system.account(), system.account()
    events = [
        event("tokens.used", account, input_tokens=5, output_tokens=0),
        event("tokens.used", other, input_tokens=5, output_tokens=0),
        event("gpu.job", account, seconds=5),
    ]
    told = account.api.post(EVENTS, {"events": events})["data"]
    assert [each["status"] for each in told] == ["charged", "rejected", "rejected"]
    assert [each["error"]["code"] for each in told[1:]] == ["invalid_value", "event_not_allowed"]
    receipt = account.api.get(f"/v1/billing/receipts/{told[0]['receipt_id']}")
    assert (receipt["endpoint"], receipt["model"], receipt["key_id"]) == (
        *("events", "tokens.used"),
        account.key_id,
    )


def test_g6_usage_beyond_all_credit_is_owed(system: System) -> None:
    """It has happened, so that nothing refuses it; new money repays it first."""
    account = system.account("1.00")
    told = system.server.admin.post(EVENTS, event("gpu.job", account, seconds=7_200))
    assert (told["data"][0]["charged"], told["data"][0]["owed"]) == ("2.20", "1.20")
    assert account.nano("available") == -1_200_000_000
    grants = f"/admin/v1/accounts/{account.id}/grants"
    system.server.admin.post(grants, {"amount": "2.00"}, {"Idempotency-Key": "repaid"})
    assert account.nano("available") == 800_000_000


def event(type_: str, account: Account, **properties: object) -> dict[str, object]:
    """An event of now, with an id that no other has."""
    ids = {"id": secrets.token_hex(8), "type": type_, "account": account.id}
    return {**ids, "timestamp": now(), "properties": properties}


def now() -> str:
    return datetime.now(UTC).isoformat()


@pytest.mark.parametrize(
    ("quantity", "total_nano"),
    [
        (1_000_000, 3_000_000_000),
        (1_000_001, 3_000_002_500),
        (1_500_000, 4_250_000_000),
        (10_000_000, 25_500_000_000),
        (10_000_001, 25_500_002_000),
        (12_000_000, 29_500_000_000),
    ],
)
def test_g5_each_unit_has_the_price_of_its_tier(system: System, quantity: int, total_nano: int) -> None:
    """Whether all are in one request or in several, of which others may be in flight."""
    account, parts = system.account(), system.account()
    assert system.chat(account, "writer", quantity, 1) == total_nano + ANSWER
    split = [quantity // 3, quantity // 7, quantity - quantity // 3 - quantity // 7]
    assert sum(system.chat(parts, "writer", part, 1) for part in split) == total_nano + 3 * ANSWER


def test_g5_a_request_may_cross_tiers(system: System) -> None:
    """300,000 after 900,000 are 100,000 at 3.00 and 200,000 at 2.50, in whatever form the answer comes."""
    for stream in (False, True):
        account = system.account()
        assert system.chat(account, "writer", 900_000, 1) == 2_700_000_000 + ANSWER
        assert system.chat(account, "writer", 300_000, 1, stream=stream) == 800_000_000 + ANSWER
        lines = account.last()["lines"]
        assert [(line["quantity"], line["price"], line["amount"]) for line in lines[:2]] == [
            (100_000, "3.00", "0.30"),
            (200_000, "2.50", "0.50"),
        ]


def test_g5_all_units_have_the_price_of_the_tier_reached(system: System) -> None:
    """With volume tiers; what was paid before is taken off, and no charge is below zero."""
    account = system.account()
    prompts = (1_000_000, 1, 199_999, 300_000, 10_500_000)
    charged = [system.chat(account, "archivist", tokens, 1) - ANSWER for tokens in prompts]
    paid = [3_000_000_000, 0, 0, 1_500_000 * 2_500 - 3_000_000_000]
    assert charged == [*paid, 12_000_000 * 2_000 - sum(paid)]


def test_g5_usage_beyond_what_is_included_has_its_price(system: System) -> None:
    """What several products share is used up by all of them, and shows what is left."""
    account = system.account()
    assert system.chat(account, "drafter", 60_000, 10_000) == 0
    (shared,) = (row for row in account.api.get("/v1/billing/counters")["data"] if row["name"] == "included")
    assert (shared["period"], shared["used"]) == ("month", 70_000)
    assert [tier["used"] for tier in shared["rates"][0]["tiers"]] == [70_000, 0]
    assert {rate["rate_card"] for rate in shared["rates"]} == {"drafter", "editor"}
    assert system.chat(account, "editor", 40_000, 10_000) == 10_000 * 1_000 + 10_000 * 4_000
    assert system.chat(account, "drafter", 1, 1) == 1_000 + 4_000


@pytest.mark.parametrize(
    ("limit", "parts"),
    [("2.000034", [50]), ("2.000034002", []), ("1.25002125", [50, 80]), ("1.000017", [50, 80, 100])],
)
def test_g7_half_four_fifths_and_all_of_a_limit_are_told(
    system: System, limit: str, parts: list[int]
) -> None:
    """By the call that completes a part, to the nano-dollar, and once; then that all of it is spent."""
    account = system.account(limits={"month": limit})
    assert system.chat(account, "assistant", 333_334, 1) == nano("1.000017")
    rows = account.api.get("/v1/billing/notifications")["data"]
    told = [(row["type"], row["data"].get("percent")) for row in reversed(rows)]
    reached = [("limit.reached", None)] if 100 in parts else []
    first = [("credits.granted", None), ("key.created", None)]
    assert told == [*first, *(("limit.threshold", part) for part in parts), *reached]
    for row in rows[:-2]:
        data = row["data"]
        assert (data["spent"], data["limit"], data["window"]) == ("1.000017", limit, "month")


def test_g9_what_happens_to_customers_is_sent_to_webhooks(upstream: ScriptedUpstream, tmp_path: Path) -> None:
    """Customers, grants and events have APIs; what follows is told with a signature, and is listed."""
    with webhook_receiver() as receiver:
        config = {**config_of("alguna", tmp_path), "webhooks": receiver.config}
        with running(config, tmp_path, **environ_of(upstream)) as server:
            system = System(server, upstream)
            account = system.account("3.00", limits={"total": "3.00"})
            system.chat(account, "assistant", 500_000, 1)
            receiver.wait_for(3)
            listed = account.api.get("/v1/billing/notifications")["data"]
    assert sorted(receiver.types()) == ["credits.granted", "key.created", "limit.threshold"]
    assert {id_ for id_, _ in receiver.received} == {row["id"] for row in listed}
    told = {body["type"]: body["data"] for _, body in receiver.received}["limit.threshold"]
    assert (told["account_id"], told["percent"], told["spent"]) == (account.id, 50, "1.500015")


def test_g4_usage_depletes_credit_in_real_time_and_low_credit_is_topped_up(system: System) -> None:
    """Once for one want of it, and credited when it is paid."""
    account = system.account("20.00")
    rule = {"enabled": True, "threshold": "15", "amount": "50", "daily_limit": "100", "monthly_limit": "500"}
    assert account.api.ask("PUT", "/v1/billing/auto_top_up", rule)[2]["threshold"] == "15.00"
    for calls in (1, 2):
        assert system.chat(account, "assistant", 1_000_000, 1) == 3_000_015_000
        assert account.nano("balance") == 20_000_000_000 - calls * 3_000_015_000
    pending = "/v1/billing/top_ups?state=pending"
    eventually(lambda: bool(account.api.get(pending)["data"]))
    (asked,) = account.api.get(pending)["data"]
    assert (asked["origin"], asked["amount"]) == ("automatic", "50.00")
    system.server.admin.post(f"/admin/v1/accounts/{account.id}/top_ups/{asked['id']}/confirm", {})
    assert account.nano("balance") == 70_000_000_000 - 2 * 3_000_015_000
    told = [row["type"] for row in account.api.get("/v1/billing/notifications")["data"]]
    assert "topup.succeeded" in told
    assert account.api.get(pending)["data"] == []


def test_g4_what_is_used_beyond_credit_is_owed_up_to_the_limit_and_repaid_by_the_next_payment(
    system: System,
) -> None:
    account = system.account("1.00", credit_limit="10.00")
    assert system.chat(account, "assistant", 1_000_000, 1) == 3_000_015_000
    assert (account.nano("balance"), account.nano("debt")) == (0, 2_000_015_000)
    assert account.nano("available") == 10_000_000_000 - 2_000_015_000
    system.bought(account, {"amount": "50"}, "wire g4")
    assert (account.nano("balance"), account.nano("debt")) == (50_000_000_000 - 2_000_015_000, 0)
