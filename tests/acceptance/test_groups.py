"""Groups over HTTP: prices, models and limits of many accounts, changed at once and taking effect at once."""

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.acceptance.callers import audited
from tests.acceptance.harness import HELLO, Account, Server, config_for, eventually, nano, running
from tests.acceptance.scripted_upstream import ScriptedUpstream, answers, completion
from tests.storage.engines import new_ledger

CHAT = "/v1/chat/completions"
GROUPS: dict[str, Any] = {
    "partners": {"multiplier": "0.8", "limits": {"rpm": 6_000}},
    "trial": {"limits": {"total": "5", "rpm": 7}, "models": ["g-small"]},
}


@pytest.fixture(params=["sqlite", "postgres"])
def server(request: pytest.FixtureRequest, tmp_path: Path, upstream: ScriptedUpstream) -> Iterator[Server]:
    config = config_for(upstream.port, tmp_path)
    config["groups"] = GROUPS
    config["routes"].insert(0, {"models": ["g-small", "g-large"], "targets": [{"upstream": "scripted"}]})
    if request.param == "postgres":
        config["storage"] = new_ledger()
    for model in ("g-small", "g-large"):
        upstream.behaviours[model] = answers(completion(prompt=10, output=10))
    with running(config, tmp_path) as started:
        yield started


def chat(account: Account, model: str = "g-small") -> tuple[int, Any]:
    """The charge of a call, or the code of its refusal."""
    body = {"model": model, "messages": HELLO, "max_tokens": 100}
    status, _, answer = account.api.ask("POST", CHAT, body)
    return status, nano(account.last()["charged"]) if status == 200 else answer["error"]["code"]


def move(server: Server, account: Account, group: str) -> None:
    status, _, answer = server.admin.ask("PATCH", f"/admin/v1/accounts/{account.id}", {"group": group})
    assert (status, answer["group"]) == (200, group)


def limits_of(account: Account) -> dict[str, str]:
    rows = account.api.get("/v1/billing/spending_limits")["data"]
    return {row["window"]: row["limit"] for row in rows if row["scope"] == "account"}


def models_of(account: Account) -> dict[str, str]:
    """The price of an input token by model."""
    listed = account.api.get("/v1/models")["data"]
    return {row["id"]: row["pricing"]["input_tokens"]["price"] for row in listed if row["id"][:2] == "g-"}


def reload(server: Server, groups: dict[str, Any]) -> None:
    config = {**server.config, "groups": groups}
    (server.folder / "farebox.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    assert server.process is not None
    lines = server.log_text().count("reloaded")
    server.process.send_signal(signal.SIGHUP)
    eventually(lambda: server.log_text().count("reloaded") > lines)


def test_a_group_is_a_price_and_a_bound_from_the_next_call_on(server: Server) -> None:
    """Up, down and out again, each with the very next call; the books add up after all of it."""
    account = server.account("100.00")
    _, usual_nano = chat(account)
    usual_models = models_of(account)
    move(server, account, "partners")
    assert chat(account) == (200, usual_nano * 4 // 5)
    receipt = account.last()
    assert [line["steps"] for line in receipt["lines"]] == [
        [{"kind": "times", "value": "0.8", "name": "group partners"}]
    ] * len(receipt["lines"])
    assert "+group=partners@" in receipt["price_id"]
    assert {name: nano(price) * 5 for name, price in models_of(account).items()} == {
        name: nano(price) * 4 for name, price in usual_models.items()
    }
    quote = account.api.post(
        f"/v1/billing/quote?path={CHAT}", {"model": "g-small", "messages": HELLO, "max_tokens": 100}
    )
    assert quote["price_id"] == receipt["price_id"]
    move(server, account, "trial")
    assert chat(account, "g-large") == (403, "model_not_allowed")
    assert chat(account) == (200, usual_nano)
    assert (limits_of(account), list(models_of(account))) == ({"total": "5.00"}, ["g-small"])
    move(server, account, "")
    assert chat(account, "g-large") == (200, usual_nano)
    assert audited(server) == []


def test_a_reload_changes_all_accounts_of_a_group_and_may_take_it_away(server: Server) -> None:
    """Then they are served as accounts without one, and the log says so once."""
    account = server.account("100.00", group="partners")
    _, reduced_nano = chat(account)
    reload(server, {**GROUPS, "partners": {"multiplier": "1.6"}})
    assert chat(account) == (200, reduced_nano * 2)
    reload(server, {"trial": GROUPS["trial"]})
    assert [chat(account), chat(account)] == [(200, reduced_nano * 5 // 4)] * 2
    assert server.log_text().count("unknown group") == 1
    status, _, answer = server.admin.ask("PATCH", f"/admin/v1/accounts/{account.id}", {"group": "partners"})
    assert (status, answer["error"]["code"]) == (400, "invalid_value")
    assert "the groups are trial" in answer["error"]["message"]
    shown = server.admin.get(f"/admin/v1/accounts/{account.id}")
    assert (shown["group"], shown["effective_limits"]["rpm"]) == ("partners", None)


def test_accounts_are_listed_by_group(server: Server) -> None:
    partners = {server.account(group="partners").id for _ in range(3)}
    server.account(group="trial")
    server.account()
    listed, cursor = [], ""
    while True:
        page = server.admin.get(f"/admin/v1/accounts?group=partners&limit=2{cursor}")
        listed += [row["id"] for row in page["data"]]
        if not page["has_more"]:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert (sorted(listed, reverse=True), set(listed)) == (listed, partners)
