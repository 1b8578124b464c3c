"""Rates that go on from call to call, in a real process: blocks, allowances that roll over, free tools."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.callers import audited
from tests.acceptance.harness import Account, config_for, nano
from tests.acceptance.scripted_upstream import ScriptedUpstream, answers
from tests.acceptance.stage import Stage
from tests.storage.engines import new_ledger

CENT = 10_000_000
PAGES: dict[str, Any] = {
    "pages": {"answer": "/pages", "most": "50"},
    "results": {"answer": "/rendered", "most": "1"},
}
CARDS: dict[str, Any] = {
    "find": {"rates": {"requests": {"per_unit": "0.01", "free": 2, "rolls_over": 3, "period": "month"}}},
    "crawl": {
        "rates": {
            "pages": {"per_unit": "0.01", "block": 5, "carried": "month"},
            "results": {"per_unit": "0.03", "free_with": ["pages"]},
        }
    },
}


@pytest.fixture(params=["sqlite", "postgres"])
def stage(request: Any, upstream: ScriptedUpstream, tmp_path: Path) -> Iterator[Stage]:
    config = config_for(upstream.port, tmp_path)
    for name, measures in (("find", {}), ("crawl", PAGES)):
        target = {"upstream": "scripted", "path": f"/{name}"}
        route = {"name": name, "path": f"/v1/tools/{name}", "rate_card": name, "targets": [target]}
        config["routes"].append(route | ({"measures": measures} if measures else {}))
    config["rate_cards"] |= CARDS
    if request.param == "postgres":
        config["storage"] = new_ledger()
    upstream.behaviours["/v1/find"] = answers({})
    started = Stage(config, tmp_path)
    turn(started, "2031-01-15T09:00:00")
    started.start()
    yield started
    assert started.stop() == 0


def turn(stage: Stage, moment: str) -> None:
    """Set its clock to a moment in UTC."""
    shown = datetime.fromisoformat(moment).replace(tzinfo=UTC)
    stage.is_ahead(int(shown.timestamp()) - int(time.time()))


def charged(account: Account, name: str) -> int:
    """What a call comes to, which is what its quote had as its ceiling at most."""
    status, _, quote = account.api.ask("POST", f"/v1/billing/quote?path=/v1/tools/{name}", {})
    assert status == 200, quote
    account.api.post(f"/v1/tools/{name}", {})
    cost = nano(account.last()["charged"])
    assert nano(quote["floor"]["total"]) <= cost <= nano(quote["ceiling"]["total"])
    return cost


def test_they_go_on_and_receipts_say_from_where(stage: Stage, upstream: ScriptedUpstream) -> None:
    """What a month leaves is free in the next; what a block leaves is the next call's, to the month's end."""
    account = stage.account("9.00")
    assert [charged(account, "find")] == [0]
    pages = [(3, False), (1, True), (2, True), (0, True)]
    costs = []
    for count, rendered in pages:
        upstream.behaviours["/v1/crawl"] = answers({"pages": count, "rendered": rendered})
        costs.append(charged(account, "crawl"))
    assert costs == [5 * CENT, 0, 5 * CENT, 3 * CENT]
    turn(stage, "2031-02-01T00:00:01")
    assert [charged(account, "find") for _ in range(4)] == [0, 0, 0, CENT]
    (steps,) = (line["steps"] for line in account.last()["lines"])
    told = {step["kind"]: step["value"] for step in steps}
    assert (told["counted"], told["since"], told["rolled"], told["tier"]) == ("4", "1", "1", "4")
    upstream.behaviours["/v1/crawl"] = answers({"pages": 1})
    assert charged(account, "crawl") == 5 * CENT
    shown = {row["name"]: row for row in account.api.get("/v1/billing/counters")["data"]}
    assert (shown["find/requests"]["used"], shown["find/requests"]["starts_at"][:10]) == (4, "2031-02-01")
    assert audited(stage) == []
