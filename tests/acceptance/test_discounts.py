"""Discounts that do not add up, in a real server: of hours, group and service tier the largest counts."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.acceptance.callers import audited
from tests.acceptance.harness import HELLO, Account, Server, config_for, nano, running
from tests.acceptance.scripted_upstream import ScriptedUpstream, answers, completion
from tests.storage.engines import new_ledger

USUAL_NANO = 10 * 1_000 + 5 * 2_000
TERMS: dict[str, Any] = {
    "discounts": "largest",
    "service_tiers": {"flex": "0.5", "priority": "2"},
    "hours": {"windows": {"always": {"multiplier": "0.8"}}},
}
GROUPS: dict[str, Any] = {"partners": {"multiplier": "0.75"}, "dear": {"multiplier": "1.2"}}
ALWAYS, PARTNERS, FLEX = ("hours always", "0.8"), ("group partners", "0.75"), ("service tier flex", "0.50")


@pytest.fixture(params=["sqlite", "postgres"])
def server(request: pytest.FixtureRequest, tmp_path: Path, upstream: ScriptedUpstream) -> Iterator[Server]:
    upstream.behaviours["d-whole"] = answers(completion(prompt=10, output=5))
    config = config_for(upstream.port, tmp_path) | {"groups": GROUPS}
    config["rate_cards"]["chat"] |= TERMS
    config["routes"].insert(0, {"models": ["d-whole"], "targets": [{"upstream": "scripted"}]})
    if request.param == "postgres":
        config["storage"] = new_ledger()
    with running(config, tmp_path) as started:
        yield started


def steps_of(lines: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    """What lines say of each multiplier, which is the same for all of them."""
    first, *others = (
        [(each["kind"], each["name"], each["value"]) for each in line["steps"]] for line in lines
    )
    assert all(steps == first for steps in others)
    return first


def charged(account: Account, **asked: Any) -> tuple[int, list[tuple[str, str, str]]]:
    """What a call with OpenAI's SDK costs, and what its receipt says."""
    with openai.OpenAI(base_url=f"{account.api.url}/v1", api_key=account.secret, max_retries=0) as client:
        client.chat.completions.create(model="d-whole", messages=HELLO, max_tokens=5, **asked)
    receipt = account.last()
    return nano(receipt["charged"]), steps_of(receipt["lines"])


def quoted(account: Account, **asked: Any) -> list[tuple[str, str, str]]:
    body = {"model": "d-whole", "messages": HELLO, "max_tokens": 5, **asked}
    quote = account.api.post("/v1/billing/quote?path=/v1/chat/completions", body)
    return steps_of(quote["ceiling"]["lines"])


def listed(account: Account, tier: str | None) -> int:
    """The price of an input token at a service tier, as the list of models has it, in nano-USD."""
    (row,) = (row for row in account.api.get("/v1/models")["data"] if row["id"] == "d-whole")
    assert row["discounts"] == "largest"
    now = row["pricing"] if tier is None else row["service_tier_pricing"][tier]
    per: int = now["input_tokens"]["per"]
    return nano(now["input_tokens"]["price"]) // per


@pytest.mark.parametrize(
    ("group", "tier", "share", "kinds"),
    [
        ("", None, "0.8", [("times", *ALWAYS)]),
        ("partners", None, "0.75", [("unused", *ALWAYS), ("times", *PARTNERS)]),
        ("partners", "flex", "0.5", [("unused", *ALWAYS), ("unused", *PARTNERS), ("times", *FLEX)]),
        (
            "partners",
            "priority",
            "1.5",
            [("unused", *ALWAYS), ("times", *PARTNERS), ("times", "service tier priority", "2.00")],
        ),
        (
            "dear",
            "flex",
            "0.6",
            [("unused", *ALWAYS), ("times", "group dear", "1.2"), ("times", *FLEX)],
        ),
    ],
)
def test_the_largest_discount_counts_alone_and_the_receipt_says_so(
    server: Server, group: str, tier: str | None, share: str, kinds: list[tuple[str, str, str]]
) -> None:
    """So does the quote; the list of models has the price of it, and the audit works it out again."""
    account = server.account("10.00")
    status, _, _ = server.admin.ask("PATCH", f"/admin/v1/accounts/{account.id}", {"group": group})
    assert status == 200
    asked = {} if tier is None else {"service_tier": tier}
    expected_nano = USUAL_NANO * nano(share) // 10**9
    assert charged(account, **asked) == (expected_nano, kinds)
    assert quoted(account, **asked) == kinds
    assert listed(account, tier) == nano(share) // 10**6
    assert audited(server) == []
