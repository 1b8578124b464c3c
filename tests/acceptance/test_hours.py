"""Prices by the hour, in a real server whose clock is set: a call costs what held as it was let through."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.acceptance.callers import audited
from tests.acceptance.harness import Account, config_for, nano
from tests.acceptance.scripted_upstream import DONE, ScriptedUpstream, answers, completion
from tests.acceptance.stage import Stage
from tests.acceptance.test_clock_jumps import in_flight
from tests.storage.engines import new_ledger

USUAL_NANO = 10 * 1_000 + 5 * 2_000
HOURS: dict[str, Any] = {
    "zone": "Asia/Shanghai",
    "windows": {
        "night": {"from": "00:30", "to": "08:30", "multiplier": "0.25"},
        "holiday": {"dates": ["2030-10-01"], "from": "08:30", "rates": {"output_tokens": {"per_1m": "1"}}},
    },
}
ASK: Any = {"model": "h-whole", "messages": [{"role": "user", "content": "Say hello"}], "max_tokens": 50}


@pytest.fixture(params=["sqlite", "postgres"])
def stage(request: Any, upstream: ScriptedUpstream, tmp_path: Path) -> Iterator[Stage]:
    upstream.behaviours["h-whole"] = answers(completion(prompt=10, output=5))
    config = config_for(upstream.port, tmp_path)
    config["rate_cards"]["chat"]["hours"] = HOURS
    config["groups"] = {"partners": {"multiplier": "0.5"}}
    if request.param == "postgres":
        config["storage"] = new_ledger()
    started = Stage(config, tmp_path)
    turn(started, "2030-09-20T16:00:00")
    started.start()
    yield started
    assert started.stop() == 0


def turn(stage: Stage, moment: str) -> None:
    """Set its clock to a moment in UTC."""
    shown = datetime.fromisoformat(moment).replace(tzinfo=UTC)
    stage.is_ahead(int(shown.timestamp()) - int(time.time()))


def charged(stage: Stage, account: Account) -> tuple[int, str]:
    """What a call costs, and the card that priced it."""
    with openai.OpenAI(base_url=f"{stage.url}/v1", api_key=account.secret, max_retries=0) as client:
        client.chat.completions.create(**ASK)
    receipt = [row for row in account.requests() if row["model"] == ASK["model"]][-1]
    return nano(receipt["charged"]), receipt["price_id"].partition("@")[0]


def quoted(account: Account) -> str:
    path = "/v1/billing/quote?path=/v1/chat/completions"
    return str(account.api.post(path, ASK)["price_id"].partition("@")[0])


def listed(account: Account) -> tuple[str, dict[str, str], str]:
    """The price of an input token now, in each window, and at all other times."""
    shown = account.api.get("/v1/models/h-whole")
    windows = {each["name"]: each["pricing"]["input_tokens"]["price"] for each in shown["hours"]["windows"]}
    usual = shown["hours"]["else"]["pricing"]["input_tokens"]["price"]
    return shown["pricing"]["input_tokens"]["price"], windows, usual


def test_each_call_has_the_price_of_its_hour(upstream: ScriptedUpstream, stage: Stage) -> None:
    """The same with a quote and in the list of models; a call in flight keeps what it began with."""
    account = stage.account("9.00")
    windows = {"night": "0.25", "holiday": "1.00"}
    assert (charged(stage, account), quoted(account)) == ((USUAL_NANO, "chat"), "chat")
    assert listed(account) == ("1.00", windows, "1.00")
    with in_flight(upstream, account) as end:
        turn(stage, "2030-09-20T16:30:00")
        assert charged_and_quoted(stage, account) == (USUAL_NANO // 4, "chat+hours=night")
        assert listed(account) == ("0.25", windows, "1.00")
        assert end().endswith(DONE)
    account.last()
    [streamed] = [row for row in account.requests() if row["model"] == "j-gated"]
    assert (nano(streamed["charged"]), streamed["price_id"][:5]) == (USUAL_NANO, "chat@")
    turn(stage, "2030-10-01T00:29:00")
    assert charged_and_quoted(stage, account) == (USUAL_NANO // 4, "chat+hours=night")
    turn(stage, "2030-10-01T00:30:00")
    assert charged_and_quoted(stage, account) == (15_000, "chat+hours=holiday")
    turn(stage, "2030-10-02T00:30:00")
    assert charged_and_quoted(stage, account) == (USUAL_NANO, "chat")
    assert audited(stage) == []


def charged_and_quoted(stage: Stage, account: Account) -> tuple[int, str]:
    found = charged(stage, account)
    assert quoted(account) == found[1]
    return found


def test_a_receipt_says_which_window_and_which_group_multiplied_it(stage: Stage) -> None:
    account = stage.account("9.00")
    path = f"/admin/v1/accounts/{account.id}"
    assert stage.admin.ask("PATCH", path, {"group": "partners"})[0] == 200
    turn(stage, "2030-09-20T20:00:00")
    assert charged(stage, account) == (USUAL_NANO // 8, "chat+hours=night+group=partners")
    assert account.last()["lines"][0]["steps"] == [
        {"kind": "times", "value": "0.25", "name": "hours night"},
        {"kind": "times", "value": "0.5", "name": "group partners"},
    ]
    assert audited(stage) == []
