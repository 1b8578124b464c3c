"""Tensoras: text by the token, embeddings and rankings by their input, and a daily limit."""

import csv
import io
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

import openai
import pytest

from proxy.storage.locations import database_at
from tests.acceptance.harness import Account, eventually, nano
from tests.acceptance.scripted_upstream import ScriptedUpstream, answers, completion
from tests.storage.whole import differences
from tests.systems.system import HI, System, system_with_a_clock

DAY = 24 * 3_600
LONG: list[Any] = [{"role": "user", "content": "Where does this tram go? " * 900}]
CHATS = [
    ("llama-3.3-70b", 200, 600),
    ("qwen-3-32b", 100, 300),
    ("deepseek-r1-distill-70b", 150, 450),
    ("codestral-latest", 300, 900),
    ("llama-3.1-8b", 50, 100),
    ("mistral-7b-instruct", 40, 80),
]


def test_t12_a_plan_is_paid_by_the_month_and_changed_at_any_time(
    upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    """It decides how many calls a minute there may be, and usage costs the same in each."""
    with system_with_a_clock("tensoras", tmp_path, upstream) as (system, clock):
        account = system.account("200.00")
        offered = account.api.get("/v1/billing/plans")["data"]
        found = [(plan["id"], plan["fee"], plan["limits"]["rpm"]) for plan in offered]
        assert found == [("developer", "29.00", 600), ("pro", "49.00", 3_000)]
        assert account.api.ask("PUT", "/v1/billing/plan", {"plan": "enterprise"})[0] == 404

        begun = chosen(account, "developer")
        assert fees(account) == [29_000_000_000]
        assert calls_a_minute(system, account) == 600
        raised = chosen(account, "pro")
        left = share_left(raised["since"], begun["since"], raised["paid_until"])
        assert fees(account) == [29_000_000_000, round(20_000_000_000 * left)]
        assert calls_a_minute(system, account) == 3_000
        lowered = chosen(account, "developer")
        (back,) = (lot for lot in account.api.get("/v1/billing/lots")["data"] if lot["kind"] == "refund")
        assert nano(back["amount"]) == refund_of(raised, lowered, begun)

        clock.is_ahead(32 * DAY)
        assert calls_a_minute(system, account) == 600
        assert fees(account)[2:] == [29_000_000_000]
        system.server.admin.ask("PATCH", f"/admin/v1/accounts/{account.id}", {"group": "enterprise"})
        assert calls_a_minute(system, account) == 10_000
        assert account.api.ask("PUT", "/v1/billing/plan", {"plan": "pro"})[0] == 409
        poor = system.account("28.999999999")
        status, _, refused = poor.api.ask("PUT", "/v1/billing/plan", {"plan": "developer"})
        assert (status, refused["error"]["code"]) == (402, "request_exceeds_balance")
        assert poor.api.get("/v1/billing/plan")["plan"] is None


def chosen(account: Account, plan: str) -> dict[str, Any]:
    """What an account has once it has chosen a plan."""
    status, _, answer = account.api.ask("PUT", "/v1/billing/plan", {"plan": plan})
    assert (status, answer["plan"]["id"]) == (200, plan), answer
    found: dict[str, Any] = answer
    return found


def fees(account: Account) -> list[int]:
    """The fees that it has paid, in order, in nano-USD."""
    entries = account.api.get("/v1/billing/entries")["data"]
    return [-nano(entry["amount"]) for entry in reversed(entries) if entry["kind"] == "fee"]


def share_left(at: str, first: str, last: str) -> Fraction:
    """How much of a month is left, to the microsecond."""
    now, begins, ends = (datetime.fromisoformat(each) for each in (at, first, last))
    microsecond = timedelta(microseconds=1)
    return Fraction((ends - now) // microsecond, (ends - begins) // microsecond)


def refund_of(before: dict[str, Any], after: dict[str, Any], first: dict[str, Any]) -> int:
    """What is not used of a dearer plan, less the rest of the month in a cheaper one."""
    month = first["since"], first["paid_until"]
    worth = round(49_000_000_000 * share_left(before["since"], *month))
    unused = worth * share_left(after["since"], before["since"], before["paid_until"])
    return round(unused - 29_000_000_000 * share_left(after["since"], *month))


def calls_a_minute(system: System, account: Account) -> int:
    """How many calls a minute the account may make, as one of them tells; it costs what it always does."""
    assert system.chat(account, "llama-3.3-70b", 1_000, 500) == 500_000
    _, headers, _ = account.api.ask(
        "POST", "/v1/chat/completions", {"model": "llama-3.3-70b", "messages": HI, "max_tokens": 5}
    )
    return int(headers["x-ratelimit-limit-requests"])


def test_t1_usage_is_deducted_in_real_time(system: System) -> None:
    """Each receipt is there, and the balance is less, when the call has its last byte."""
    account = system.account("1.00")
    for calls in (1, 2, 3):
        assert system.chat(account, "llama-3.3-70b", 1_000, 500) == 500_000
        assert account.nano("balance") == 1_000_000_000 - calls * 500_000
    with pytest.raises(openai.APIStatusError) as refused:
        system.chat(system.account("0.000000001"), "llama-3.3-70b", 1_000, 500)
    assert refused.value.status_code == 402


@pytest.mark.parametrize(("model", "input_nano", "output_nano"), CHATS)
def test_t2_each_model_has_its_prices(system: System, model: str, input_nano: int, output_nano: int) -> None:
    account = system.account()
    assert system.chat(account, model, 1_000_000, 1) == 1_000_000 * input_nano + output_nano
    assert system.chat(account, model, 1, 1_000_000) == input_nano + 1_000_000 * output_nano


@pytest.mark.parametrize("stream", [False, True])
def test_t3_a_thousand_in_and_five_hundred_out_are_half_a_thousandth(system: System, stream: bool) -> None:
    assert system.chat(system.account(), "llama-3.3-70b", 1_000, 500, stream=stream) == 500_000


def test_t4_tool_definitions_are_input(system: System) -> None:
    """Where the upstream reports nothing they are counted, and they are held for before."""
    call: dict[str, Any] = {"name": "look_up", "description": "Looks up a fare.", "parameters": {}}
    tools = [{"type": "function", "function": call}]
    reply = completion("Hi")
    del reply["usage"]
    system.upstream.behaviours["qwen-3-32b"] = answers(reply)
    charged = []
    for members in ({}, {"tools": tools}, {"messages": [{"role": "system", "content": "Be brief."}, *HI]}):
        account = system.account()
        with system.client(account) as client:
            made: Any = {"model": "qwen-3-32b", "messages": HI, **members}
            client.chat.completions.create(**made)
        charged.append(account.last()["usage"]["input_tokens"])
    assert charged[0] < min(charged[1:])


def test_t5_embeddings_are_charged_by_their_input(system: System) -> None:
    usage = {"prompt_tokens": 1_000, "total_tokens": 1_000}
    vectors = [{"object": "embedding", "index": 0, "embedding": [0.5]}]
    reply = {"object": "list", "data": vectors, "model": "bge-large-en-v1.5", "usage": usage}
    system.upstream.behaviours["bge-large-en-v1.5"] = answers(reply)
    account = system.account()
    with system.client(account) as client:
        client.embeddings.create(model="bge-large-en-v1.5", input="Hi", encoding_format="float")
    assert nano(account.last()["charged"]) == 10_000


def test_t6_a_ranking_is_charged_by_its_query_and_all_its_documents(system: System) -> None:
    """By what the upstream reports, and where it reports nothing by what is counted."""
    model, results = "bge-reranker-v2-m3", [{"index": 0, "relevance_score": 0.5}]
    account = system.account()
    body = {"model": model, "query": "due", "documents": ["A fare is due.", "No fares."]}
    replies: list[dict[str, Any]] = [
        {"results": results, "usage": {"total_tokens": 1_000}},
        {"results": results},
    ]
    charged = []
    for reply in replies:
        system.upstream.behaviours[model] = answers(reply)
        account.api.post("/v1/rerank", body)
        charged.append(account.last())
    assert nano(charged[0]["charged"]) == 20_000
    tokens = charged[1]["usage"]["input_tokens"]
    assert (charged[1]["basis"], nano(charged[1]["charged"])) == ("counted", tokens * 20)
    assert tokens >= 9


def test_t9_a_daily_limit_is_402_until_it_is_raised(system: System) -> None:
    account = system.account("5.00", limits={"day": "0.0009"})
    assert system.chat(account, "llama-3.3-70b", 1_000, 500) == 500_000
    with pytest.raises(openai.APIStatusError) as refused:
        system.chat(account, "llama-3.3-70b", 1_000, 500, messages=LONG)
    assert refused.value.status_code == 402
    error: Any = refused.value.response.json()["error"]
    assert error["code"] == "daily_limit_exceeded"
    assert error["resets_at"].endswith("T00:00:00Z")
    account.admin.ask("PATCH", f"/admin/v1/accounts/{account.id}", {"limits": {"day": "10.00"}})
    assert system.chat(account, "llama-3.3-70b", 1_000, 500) == 500_000


def test_t9_the_customer_sets_a_daily_limit_in_cents_and_raises_it_at_once(system: System) -> None:
    """1000 is ten dollars; one cent holds until the day is over or it is raised."""
    account = system.account("50.00")
    limits = "/v1/billing/spending_limits"
    assert account.api.ask("PUT", limits, {"daily_limit": 1_000})[2]["data"][0]["limit"] == "10.00"
    assert account.api.get("/v1/billing/funds")["amount"] == 5_000
    account.api.ask("PUT", limits, {"daily_limit": 1})
    assert system.chat(account, "llama-3.3-70b", 12_000, 12_000) == 9_600_000
    with pytest.raises(openai.APIStatusError) as refused:
        system.chat(account, "llama-3.3-70b", 1_000, 500, messages=LONG)
    error: Any = refused.value.response.json()["error"]
    assert (refused.value.status_code, error["code"], error["limit"]) == (402, "daily_limit_exceeded", "0.01")
    account.api.ask("PUT", limits, {"daily_limit": 2})
    assert system.chat(account, "llama-3.3-70b", 1_000, 500, messages=LONG) == 500_000


def test_t10_usage_is_told_by_day_with_tokens_and_cost(system: System) -> None:
    account = system.account()
    for model, prompt, output in (("llama-3.3-70b", 1_000, 500), ("qwen-3-32b", 2_000, 1)):
        system.chat(account, model, prompt, output)
    today = datetime.now(UTC).date()
    days = f"start_date={today - timedelta(days=2)}&end_date={today}"
    (entry,) = account.api.get(f"/v1/billing/usage?{days}")["daily"]
    assert entry == {"date": str(today), "requests": 2, "total_tokens": 3_501, "cost": 0.0007003}
    assert f"{entry['total_tokens']:,} tokens, ${entry['cost']:.4f}" == "3,501 tokens, $0.0007"


def test_t11_usage_is_told_by_model_key_day_and_month_and_for_each_call(system: System) -> None:
    account = system.account()
    other = system.server.key_of(account.id)
    system.chat(account, "llama-3.3-70b", 1_000, 500)
    system.chat(other, "qwen-3-32b", 2_000, 100)
    today = datetime.now(UTC).date()
    expected = {
        "model": {"llama-3.3-70b": "0.0005", "qwen-3-32b": "0.00023"},
        "key": {account.key_id: "0.0005", other.key_id: "0.00023"},
        "day": {str(today): "0.00073"},
        "month": {str(today)[:7]: "0.00073"},
    }
    for group, costs in expected.items():
        data = account.api.get(f"/v1/billing/usage?group_by={group}")["data"]
        assert {one["group"]: one["charged"] for one in data} == costs
    _, headers, table = account.api.ask("GET", "/v1/billing/receipts?format=csv")
    assert headers["Content-Type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(table.decode())))
    assert [
        (row["model"], row["input_tokens"], row["output_tokens"], row["charged_usd"]) for row in rows
    ] == [
        ("qwen-3-32b", "2000", "100", "0.00023"),
        ("llama-3.3-70b", "1000", "500", "0.0005"),
    ]
    assert all(0 < float(row["seconds"]) < 60 for row in rows)


@pytest.mark.parametrize(
    ("package", "price", "credit_nano", "bonus_nano"),
    [
        ("starter", "10.00", 10_000_000_000, 0),
        ("plus", "50.00", 50_000_000_000, 2_500_000_000),
        ("pro", "100.00", 100_000_000_000, 10_000_000_000),
        ("scale", "200.00", 200_000_000_000, 30_000_000_000),
    ],
)
def test_t7_packages_have_bonuses_and_never_expire(
    system: System, package: str, price: str, credit_nano: int, bonus_nano: int
) -> None:
    """Funds are there at once when it is paid, what was paid for and what came with it each by itself."""
    account = system.account("")
    paid = system.bought(account, {"package": package}, f"card {package}")
    assert (paid["price"], paid["state"]) == (price, "succeeded")
    assert account.nano("available") == credit_nano + bonus_nano
    lots = account.api.get("/v1/billing/lots")["data"]
    expected = [("purchase", credit_nano, None), ("bonus", bonus_nano, None)]
    found = [(lot["kind"], nano(lot["remaining"]), lot["expires_at"]) for lot in lots]
    assert found == [each for each in expected if each[1]]
    listed = account.api.get("/v1/billing/packages")["data"]
    (shown,) = (row for row in listed if row["name"] == package)
    assert (shown["price"], nano(shown["bonus"])) == (price, bonus_nano)


@pytest.mark.parametrize(
    ("cents", "bonus_nano"), [(5_000, 2_500_000_000), (4_999, 0), (15_000, 15_000_000_000), (1, 0)]
)
def test_t8_funds_are_added_in_cents_with_the_bonus_of_the_largest_package_not_above(
    system: System, cents: int, bonus_nano: int
) -> None:
    account = system.account("")
    asked = account.api.post("/v1/billing/funds", {"amount": cents})
    assert (nano(asked["price"]), nano(asked["bonus"])) == (cents * 10_000_000, bonus_nano)
    system.server.admin.post(f"/admin/v1/accounts/{account.id}/top_ups/{asked['id']}/confirm", {})
    assert account.nano("available") == cents * 10_000_000 + bonus_nano


def test_t13_an_invoice_is_made_on_the_first_of_the_month(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    """For the month that has ended: lines by model and price, money in and out, and what paid for usage.

    It ties out with the books to the nano-dollar, and never changes again; what is used later is on the next.
    """
    with system_with_a_clock("tensoras", tmp_path, upstream) as (system, clock):
        now = datetime.now(UTC)
        first = (now.replace(day=1, hour=0, minute=0, second=0, microsecond=0) + timedelta(days=32)).replace(
            day=1
        )
        account, idle = system.account("10.00"), system.account("")
        system.server.admin.post(
            f"/admin/v1/accounts/{account.id}/grants",
            {"amount": "0.50", "kind": "bonus", "priority": 10},
            {"Idempotency-Key": "bonus"},
        )
        for model, prompt, output in (
            ("llama-3.3-70b", 1_000, 500),
            ("llama-3.3-70b", 3, 1),
            ("qwen-3-32b", 7, 9),
        ):
            system.chat(account, model, prompt, output)
        before_nano = account.nano("balance")
        assert account.api.get("/v1/billing/invoices")["data"] == []
        clock.is_ahead(int((first - now).total_seconds()) + 1)
        eventually(lambda: bool(account.api.get("/v1/billing/invoices")["data"]))
        system.chat(account, "llama-3.3-70b", 1_000, 500)
        (listed,) = account.api.get("/v1/billing/invoices")["data"]
        invoice = account.api.get(f"/v1/billing/invoices/{listed['id']}")
        month = (first - timedelta(days=1)).strftime("%Y-%m")
        assert (invoice["month"], invoice["number"]) == (month, f"INV-{month.replace('-', '')}-{account.id}")
        lines = {(line["name"], line["meter"]): nano(line["amount"]) for line in invoice["lines"]}
        assert lines == {
            ("llama-3.3-70b", "input_tokens"): -1_003 * 200,
            ("llama-3.3-70b", "output_tokens"): -501 * 600,
            ("qwen-3-32b", "input_tokens"): -7 * 100,
            ("qwen-3-32b", "output_tokens"): -9 * 300,
            ("grant", None): 10_000_000_000,
            ("bonus", None): 500_000_000,
        }
        charged_nano = 1_003 * 200 + 501 * 600 + 7 * 100 + 9 * 300
        figures = [nano(invoice[name]) for name in ("opening", "credits", "charges", "closing", "due")]
        assert figures == [0, 10_500_000_000, charged_nano, before_nano, 0]
        assert invoice["paid"] == [{"kind": "bonus", "amount": invoice["usage"]}]
        assert idle.api.get("/v1/billing/invoices")["data"] == []
        assert idle.api.ask("GET", f"/v1/billing/invoices/{listed['id']}")[0] == 404
        again = system.server.admin.post("/admin/v1/invoices", {"month": month, "account_id": account.id})
        assert [each["id"] for each in again["data"]] == [listed["id"]]
        for form, begins in (("csv", b"number,month"), ("html", b"<!doctype html>"), ("pdf", b"%PDF-")):
            status, _, body = account.api.ask("GET", f"/v1/billing/invoices/{listed['id']}?format={form}")
            assert (status, bytes(body)[: len(begins)]) == (200, begins)
        clock.is_ahead(int((first - now).total_seconds()) + 32 * 86_400)
        eventually(lambda: len(account.api.get("/v1/billing/invoices")["data"]) == 2)
        latest = account.api.get("/v1/billing/invoices")["data"][0]
        assert (latest["opening"], nano(latest["charges"])) == (invoice["closing"], 500_000)
        assert nano(latest["closing"]) == account.nano("balance")
    assert differences(database_at(tmp_path / "tensoras.db")) == []


def test_t13_every_top_up_that_was_paid_has_a_receipt(system: System) -> None:
    """In each form, for its account alone."""
    account, other = system.account(""), system.account("")
    paid = system.bought(account, {"package": "plus"}, "card 4711")
    path = f"/v1/billing/top_ups/{paid['id']}/receipt"
    receipt = account.api.get(path)
    names = ("number", "price", "amount", "bonus", "fee", "reference", "refunded")
    expected = [f"RCPT-{paid['id']}", "50.00", "50.00", "2.50", "0.00", "card 4711", "0.00"]
    assert [receipt[name] for name in names] == expected
    assert receipt["seller"]["name"] == "Tensoras-like Inc."
    for form, begins in (("html", b"<!doctype html>"), ("pdf", b"%PDF-")):
        status, _, body = account.api.ask("GET", f"{path}?format={form}")
        assert (status, bytes(body)[: len(begins)]) == (200, begins)
    assert other.api.ask("GET", path)[0] == 404
    body = {"amount": "20.00"}
    asked = account.api.post("/v1/billing/top_ups", body, {"Idempotency-Key": "unpaid"})
    assert account.api.ask("GET", f"/v1/billing/top_ups/{asked['id']}/receipt")[0] == 409


def test_t13_every_payment_for_a_plan_has_a_receipt(system: System) -> None:
    account, other = system.account("200.00"), system.account("")
    chosen(account, "developer")
    (fee,) = (row for row in account.api.get("/v1/billing/entries")["data"] if row["kind"] == "fee")
    path = f"/v1/billing/entries/{fee['seq']}/receipt"
    receipt = account.api.get(path)
    number = f"RCPT-{account.id}-{fee['seq']}"
    assert (receipt["number"], receipt["amount"], receipt["reason"]) == (number, "29.00", fee["note"])
    for form, begins in (("html", b"<!doctype html>"), ("pdf", b"%PDF-")):
        status, _, body = account.api.ask("GET", f"{path}?format={form}")
        assert (status, bytes(body)[: len(begins)]) == (200, begins)
    for wrong in (path.replace(str(fee["seq"]), "1"), path.replace(str(fee["seq"]), "x" * 30)):
        assert account.api.ask("GET", wrong)[0] == 404
    assert other.api.ask("GET", path)[0] == 404
