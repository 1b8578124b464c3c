"""Packages by plan, in a real server: what an account pays for credit is a matter of the plan it has then."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.acceptance.callers import audited
from tests.acceptance.harness import HELLO, Account, Server, config_for, eventually, nano, running
from tests.acceptance.scripted_upstream import ScriptedUpstream, answers, completion
from tests.storage.engines import new_ledger

TOP_UPS = "/v1/billing/top_ups"
PAYMENTS: dict[str, Any] = {
    "packages": {
        "plus": {
            "amount": "50",
            "bonus": "5%",
            "groups": {"pro": {"bonus": "20%"}, "team": {"discount": "10%", "bonus": "0%"}},
        },
        "large": {"amount": "500", "discount": "10%"},
    }
}
GROUPS: dict[str, Any] = {"pro": {"offered": True}, "team": {"offered": True}}


@pytest.fixture(params=["sqlite", "postgres"])
def server(request: pytest.FixtureRequest, tmp_path: Path, upstream: ScriptedUpstream) -> Iterator[Server]:
    upstream.behaviours["p-whole"] = answers(completion(prompt=10, output=5))
    config = config_for(upstream.port, tmp_path) | {"payments": PAYMENTS, "groups": GROUPS}
    if request.param == "postgres":
        config["storage"] = new_ledger()
    with running(config, tmp_path) as started:
        yield started


def takes(account: Account, plan: str) -> None:
    """Have an account take a plan, as its customer does."""
    status, _, answer = account.api.ask("PUT", "/v1/billing/plan", {"plan": plan})
    assert (status, answer["plan"]["id"]) == (200, plan), answer


def bought(account: Account, key: str, **body: Any) -> dict[str, Any]:
    made: dict[str, Any] = account.api.post(TOP_UPS, body, {"Idempotency-Key": key})
    return made


def paid(server: Server, top_up: dict[str, Any]) -> None:
    path = f"/admin/v1/accounts/{top_up['account_id']}/top_ups/{top_up['id']}/confirm"
    server.admin.post(path, {"reference": f"wire {top_up['id']}", "paid": top_up["price"]})


def shown(account: Account) -> list[tuple[str, str, str]]:
    rows = account.api.get("/v1/billing/packages")["data"]
    return [(row["name"], row["price"], row["bonus"]) for row in rows]


def test_a_plan_decides_what_credit_costs_as_it_is_bought(server: Server) -> None:
    """Packages, amounts and what is bought by itself; what was agreed before a change is paid as agreed."""
    account = server.account("")
    assert shown(account) == [("plus", "50.00", "2.50"), ("large", "450.00", "0.00")]
    before = bought(account, "before", package="plus")
    takes(account, "pro")
    assert shown(account) == [("plus", "50.00", "10.00"), ("large", "450.00", "0.00")]
    agreed = bought(account, "agreed", amount="60")
    assert (agreed["price"], agreed["bonus"]) == ("60.00", "12.00")
    takes(account, "team")
    assert shown(account) == [("plus", "45.00", "0.00"), ("large", "450.00", "0.00")]
    assert bought(account, "agreed", amount="60") == agreed
    for top_up in (before, agreed):
        paid(server, top_up)
    assert account.nano("balance") == 124_500_000_000
    rule = {"enabled": True, "threshold": "200", "amount": "80"}
    assert account.api.ask("PUT", "/v1/billing/auto_top_up", rule)[0] == 200
    eventually(lambda: account.api.get(TOP_UPS)["data"][0]["origin"] == "automatic")
    by_itself = account.api.get(TOP_UPS)["data"][0]
    assert (by_itself["price"], by_itself["amount"], by_itself["bonus"]) == ("72.00", "80.00", "0.00")
    paid(server, by_itself)
    assert account.nano("balance") == 204_500_000_000
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key=account.secret, max_retries=0) as client:
        client.chat.completions.create(model="p-whole", messages=HELLO, max_tokens=5)
    assert account.nano("balance") == 204_500_000_000 - nano(account.last()["charged"])
    assert audited(server) == []
