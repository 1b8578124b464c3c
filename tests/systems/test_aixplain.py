"""aiXplain: a credit is a dollar, and every asset costs what its vendor asks."""

import io
import json
import wave
from typing import Any

import httpx2 as httpx
import pytest

from tests.acceptance.harness import Account, nano
from tests.acceptance.scripted_upstream import answers, completion
from tests.endpoints.openai.images.answers import png
from tests.systems.system import HI, System


def charged(account: Account) -> int:
    return nano(account.last()["charged"])


def test_x1_a_credit_is_a_dollar_and_no_subscription_is_needed(system: System) -> None:
    account = system.account("12.50")
    balance = account.api.get("/v1/billing/balance")
    assert balance["display"] == {"unit": "credits"} | {
        name: balance[name] for name in ("balance", "held", "available", "debt", "credit_limit")
    }
    assert balance["balance"] == "12.50"
    system.chat(account, "llm", 1, 1)
    kinds = [entry["kind"] for entry in account.api.get("/v1/billing/entries")["data"]]
    assert kinds == ["charge", "grant"]


@pytest.mark.parametrize(
    ("prompt", "output", "total_nano"), [(1_000_000, 1, 150_000_600), (1, 1_000_000, 600_000_150)]
)
def test_x2_a_model_is_charged_by_the_token(
    system: System, prompt: int, output: int, total_nano: int
) -> None:
    assert system.chat(system.account(), "llm", prompt, output) == total_nano


def sound(seconds: int) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as made:
        made.setparams((1, 1, 8_000, 0, "NONE", ""))
        made.writeframes(bytes(8_000 * seconds))
    return file.getvalue()


def test_x3_speech_is_charged_by_the_minute(system: System) -> None:
    """What the upstream tells, to the second."""
    system.upstream.behaviours["speech-to-text"] = answers(
        {"text": "Hello", "usage": {"type": "duration", "seconds": 90}}
    )
    account = system.account()
    with system.client(account) as client:
        client.audio.transcriptions.create(model="speech-to-text", file=("a.wav", sound(90)))
    assert charged(account) == 36_000_000


def test_x3_vision_is_charged_by_the_picture(system: System) -> None:
    system.upstream.behaviours["vision"] = answers({"created": 1, "data": [{"b64_json": "AAAA"}]})
    account = system.account()
    with system.client(account) as client:
        client.images.edit(model="vision", prompt="What is it?", image=("a.png", png(64, 64)))
    assert charged(account) == 40_000_000


@pytest.mark.parametrize(("tool", "total_nano"), [("web-search", 100_000_000), ("database", 200_000_000)])
def test_x3_x4_a_tool_is_charged_by_the_call_what_its_vendor_asks(
    system: System, tool: str, total_nano: int
) -> None:
    """One line, without a margin."""
    system.upstream.behaviours[f"/v1/tools/{tool}"] = answers({"rows": []})
    account = system.account()
    account.api.post(f"/v1/tools/{tool}", {"query": "fares"})
    lines = account.last()["lines"]
    assert [(line["meter"], nano(line["amount"])) for line in lines] == [("requests", total_nano)]
    assert charged(account) == total_nano


def test_x5_an_integration_costs_nothing(system: System) -> None:
    """Also for an account that has nothing left."""
    system.upstream.behaviours["/v1/integrations/slack"] = answers({"id": "slack"})
    account = system.account("0.000000001")
    account.api.get("/v1/integrations/slack")
    assert charged(account) == 0
    assert account.api.ask("POST", "/v1/tools/database", {})[0] == 402


def test_x7_the_least_purchase_is_ten_credits(system: System) -> None:
    """A hundredth less is refused; who lacks credits is told where to buy some."""
    account = system.account("")
    status, _, answer = account.api.ask("POST", "/v1/tools/database", {})
    assert (status, answer["error"]["top_up_url"]) == (402, "https://console.aixplain.example/billing")
    headers = {"Idempotency-Key": "less"}
    body = {"amount": "9.99 credits"}
    status, _, answer = account.api.ask("POST", "/v1/billing/top_ups", body, headers)
    assert (status, answer["error"]["code"]) == (400, "invalid_value")
    system.bought(account, {"amount": "10 credits"}, "card 1")
    assert account.nano("available") == 10_000_000_000


def test_x8_a_payment_is_known_by_its_reference_and_credited_once(system: System) -> None:
    """By which card or wallet it was made is the provider's matter."""
    account, other = system.account(""), system.account("")
    paid = system.bought(account, {"amount": "25 credits"}, "visa 1")
    path = "/admin/v1/accounts/{}/top_ups/{}/confirm"
    again = system.server.admin.post(path.format(account.id, paid["id"]), {"reference": "visa 1"})
    assert (again["reference"], account.nano("balance")) == ("visa 1", 25_000_000_000)
    asked = other.api.ask("POST", "/v1/billing/top_ups", {"amount": "25"}, {"Idempotency-Key": "k"})[2]
    body = {"reference": "visa 1"}
    status, _, answer = system.server.admin.ask("POST", path.format(other.id, asked["id"]), body)
    assert (status, answer["error"]["code"], other.nano("balance")) == (409, "conflict", 0)


def test_x9_a_code_is_redeemed_and_its_credits_are_there_at_once(system: System) -> None:
    """An account without any calls with them; neither it nor another one redeems the code again."""
    voucher = system.server.admin.post("/admin/v1/vouchers", {"amount": "25 credits", "label": "workshop"})
    account, other = system.account(""), system.account("")
    body = {"code": voucher["code"]}
    assert account.api.ask("POST", "/v1/tools/database", {})[0] == 402
    redeemed = account.api.post("/v1/billing/vouchers/redeem", body)
    assert (redeemed["display"]["amount"], account.nano("available")) == ("25.00", 25_000_000_000)
    assert system.chat(account, "llm", 1_000_000, 1) == 150_000_600
    for who, code in ((account, "voucher_redeemed"), (other, "voucher_used_up")):
        status, _, answer = who.api.ask("POST", "/v1/billing/vouchers/redeem", body)
        assert (status, answer["error"]["code"]) == (409, code)


def test_x10_each_call_is_listed_with_what_it_used(system: System) -> None:
    account = system.account()
    system.chat(account, "llm", 1_000, 500)
    (row,) = account.requests()
    assert (row["model"], row["usage"]) == ("llm", {"input_tokens": 1_000, "output_tokens": 500})
    assert (row["display"]["charged"], row["started_at"] < row["ended_at"]) == ("0.00045", True)


def test_x13_high_usage_is_told(system: System) -> None:
    """As funds fall to what the configuration says, and as a limit is nearly used up."""
    account = system.account("6.00", limits={"day": "1.250001375"})

    def told() -> list[tuple[str, object, object]]:
        rows = account.api.get("/v1/billing/notifications")["data"]
        return [(row["type"], row["data"].get("percent"), row["data"].get("funds")) for row in rows[:-2]]

    assert system.chat(account, "llm", 6_666_662, 1) == 999_999_900
    assert told() == []
    assert system.chat(account, "llm", 4, 1) == 1_200
    assert told() == [("limit.threshold", 80, None), ("balance.low", None, "4.9999989")]


def test_x14_the_keys_of_a_team_share_one_balance(system: System) -> None:
    account = system.account("1.00")
    other = system.server.key_of(account.id)
    system.chat(account, "llm", 1_000_000, 1)
    system.chat(other, "llm", 1_000_000, 1)
    assert account.nano("balance") == other.nano("balance") == 1_000_000_000 - 300_001_200
    by_key = account.api.get("/v1/billing/usage?group_by=key")["data"]
    assert {row["group"] for row in by_key} == {account.key_id, other.key_id}


def in_run(system: System, account: Account, run_id: str) -> list[str]:
    """What three answers say that their run costs: of a model for 0.5, of tools for 0.1 and 0.2."""
    system.upstream.behaviours["speech-to-text"] = answers(
        {"text": "Hello", "usage": {"type": "duration", "seconds": 1_250}}
    )
    named = {"x-farebox-run": run_id}
    with system.client(account) as client:
        model = client.audio.transcriptions.with_raw_response.create(
            model="speech-to-text", file=("a.wav", sound(2)), extra_headers=named
        )
    headers = [model.headers]
    for tool in ("web-search", "database"):
        system.upstream.behaviours[f"/v1/tools/{tool}"] = answers({"rows": []})
        bearer = {"Authorization": f"Bearer {account.secret}"}
        url = f"{system.server.url}/v1/tools/{tool}"
        headers.append(httpx.post(url, json={"query": "fares"}, headers={**named, **bearer}).headers)
    return [each["x-farebox-run-cost"] for each in headers]


def test_x6_an_agent_costs_its_calls_and_a_markup_on_all_of_them(system: System) -> None:
    """0.5 and 0.1 and 0.2 are 0.8, and with a markup of 0.16 on that they are 0.96."""
    account = system.account()
    in_run(system, account, "agent-1")
    run = account.api.get("/v1/billing/runs/agent-1")
    sums = [nano(run[name]) for name in ("subtotal", "markup", "total")]
    assert sums == [800_000_000, 160_000_000, 960_000_000]
    assert account.nano("balance") == 10**11 - 960_000_000
    assert [line["meter"] for line in account.last()["lines"]] == ["requests", "run_markup"]
    assert system.chat(account, "llm", 1_000_000, 1) == 150_000_600


def test_x11_what_a_run_costs_is_told_while_it_goes_on(system: System) -> None:
    """By operation, by asset, and in total, as each call ends; to its own account alone."""
    account, other = system.account(), system.account()
    in_run(system, account, "conversation")
    url = f"{system.server.url}/v1/billing/runs/conversation/events"
    headers = {"Authorization": f"Bearer {account.secret}"}
    events: list[tuple[str, dict[str, Any]]] = []
    with httpx.stream("GET", url, headers=headers, timeout=20) as stream:
        name = ""
        for line in stream.iter_lines():
            kind, _, text = line.partition(": ")
            if kind == "event":
                name = text
            if kind == "data":
                events.append((name, json.loads(text)))
            if len(events) == 4 and name == "run" and kind == "data":
                metadata = {"run_id": "conversation"}
                system.chat(account, "llm", 1_000_000, 1, metadata=metadata)
            if len(events) == 6:
                break
    assert [name for name, _ in events] == ["step", "step", "step", "run", "step", "run"]
    steps = [(event["model"], event["subtotal"]) for name, event in events if name == "step"]
    assert steps[:3] == [("speech-to-text", "0.50"), ("web-search", "0.10"), ("database", "0.20")]
    totals = [nano(event["total"]) for name, event in events if name == "run"]
    assert totals == [960_000_000, 960_000_000 + 180_000_720]
    theirs = httpx.get(url, headers={"Authorization": f"Bearer {other.secret}"})
    assert theirs.status_code == 404


def test_x12_a_run_is_told_in_total_by_component_and_by_step(system: System) -> None:
    """With each answer, and afterwards."""
    account = system.account()
    assert in_run(system, account, "agent-2") == ["0.60", "0.72", "0.96"]
    run = account.api.get("/v1/billing/runs/agent-2")
    components = {each["model"]: (each["calls"], each["total"]) for each in run["components"]}
    assert components == {"speech-to-text": (1, "0.60"), "web-search": (1, "0.12"), "database": (1, "0.24")}
    steps = [(each["model"], each["subtotal"], each["markup"]) for each in run["steps"]["data"]]
    assert steps == [
        ("database", "0.20", "0.04"),
        ("web-search", "0.10", "0.02"),
        ("speech-to-text", "0.50", "0.10"),
    ]
    assert account.last()["run_id"] == "agent-2"
    system.upstream.behaviours["llm"] = answers(completion(prompt=1_000_000, output=1))
    named = {"x-farebox-run": "agent-2", "x-farebox-include": "cost"}
    with system.client(account) as client:
        made = client.chat.completions.create(model="llm", messages=HI, max_tokens=9, extra_headers=named)
    assert made.usage is not None
    told = made.usage.model_dump()
    assert told["cost"] == "0.18000072"
    assert told["cost_details"]["run"]["total"] == "1.14000072"
    assert [line["meter"] for line in told["cost_details"]["lines"]] == [
        *("input_tokens", "output_tokens", "run_markup"),
    ]
