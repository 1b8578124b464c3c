"""AIsa: models by the token, data by the call."""

import pytest

from tests.acceptance.harness import Account, nano
from tests.acceptance.scripted_upstream import answers, completion
from tests.systems.system import HI, System

PRICES = {
    ("chat", ""): 280,
    ("completions", ""): 320,
    ("chat", "internal"): 200,
    ("completions", "internal"): 320,
}
"""Nano-USD for a token of input, by endpoint and group."""
CALLS = [
    ("/v1/search?q=fares", 20_000_000),
    ("/v1/scholar/fares", 4_000_000),
    ("/v1/financial/FARE", 12_000_000),
    ("/v1/youtube/search?q=fares", 2_000_000),
    ("/v1/twitter/fares", 440_000),
]


def charged(account: Account) -> int:
    return nano(account.last()["charged"])


def test_a1_the_list_tells_how_each_model_is_billed(system: System) -> None:
    """A tool's receipt and its quote tell it."""
    account = system.account()
    with system.client(account) as client:
        (model,) = client.models.list()
    assert model.model_extra is not None
    assert model.model_extra["billing_type"] == "per_token"
    quote = account.api.post("/v1/billing/quote?path=/v1/search", {})
    assert (quote["billing_type"], quote["exact"], nano(quote["hold"])) == ("per_call", True, 20_000_000)


@pytest.mark.parametrize(
    ("prompt", "output", "total_nano"), [(1_000_000, 1, 280_001_120), (1, 1_000_000, 1_120_000_280)]
)
def test_a2_input_and_output_are_priced_for_themselves(
    system: System, prompt: int, output: int, total_nano: int
) -> None:
    assert system.chat(system.account(), "gpt-4.1-mini", prompt, output) == total_nano


def test_a2_without_output_the_input_alone_is_charged(system: System) -> None:
    account = system.account()
    system.chat(account, "gpt-4.1-mini", 1_000, 7)
    lines = account.last()["lines"]
    assert [(line["meter"], nano(line["amount"])) for line in lines] == [
        ("input_tokens", 280_000),
        ("output_tokens", 7_840),
    ]


def test_a3_a_stream_costs_what_a_whole_answer_costs(system: System) -> None:
    account = system.account()
    totals = {system.chat(account, "gpt-4.1-mini", 123, 45, stream=stream) for stream in (False, True)}
    assert totals == {123 * 280 + 45 * 1_120}


@pytest.mark.parametrize("size", [2, 100_000])
@pytest.mark.parametrize(("path", "price_nano"), CALLS)
def test_a4_a5_each_successful_call_costs_the_same_whatever_its_answer(
    system: System, path: str, price_nano: int, size: int
) -> None:
    system.upstream.behaviours[path.partition("?")[0]] = answers({"text": "x" * size})
    account = system.account()
    account.api.get(path)
    assert charged(account) == price_nano


@pytest.mark.parametrize("status", [400, 404, 429, 500])
def test_a4_a_failed_call_costs_nothing(system: System, status: int) -> None:
    system.upstream.behaviours["/v1/scholar/nothing"] = answers({"error": "no"}, status=status)
    account = system.account()
    assert account.api.ask("GET", "/v1/scholar/nothing")[0] == status
    assert charged(account) == 0


def test_a6_a9_each_request_is_logged_with_all_that_its_cost_follows_from(system: System) -> None:
    account = system.account()
    system.chat(account, "gpt-4.1-mini", 1_000, 500)
    receipt = account.last()
    assert receipt["usage"] == {"input_tokens": 1_000, "output_tokens": 500}
    assert receipt["price_id"].startswith("gpt-4.1-mini@")
    again = sum(line["quantity"] * nano(line["price"]) // line["per"] for line in receipt["lines"])
    assert again == nano(receipt["charged"]) == 840_000
    days = account.api.get("/v1/billing/usage?group_by=model")
    assert [(row["requests"], nano(row["charged"])) for row in days["data"]] == [(1, 840_000)]


def test_a7_charges_come_off_the_balance_and_nothing_else_does(system: System) -> None:
    account = system.account("1.00")
    system.chat(account, "gpt-4.1-mini", 1_000, 500)
    assert account.nano("balance") == 1_000_000_000 - 840_000
    kinds = [entry["kind"] for entry in account.api.get("/v1/billing/entries")["data"]]
    assert kinds == ["charge", "grant"]


def test_a8_a_price_varies_by_group_and_the_log_has_its_ratio(system: System) -> None:
    """Of models and of data. Each line shows it, and comes to the price times the ratio."""
    account = system.account(group="partners")
    assert system.chat(account, "gpt-4.1-mini", 1_000, 500) == 840_000 * 4 // 5
    receipt = account.last()
    for line in receipt["lines"]:
        assert line["steps"] == [{"kind": "times", "value": "0.8", "name": "group partners"}]
        amount_nano = nano(line["price"]) * line["quantity"] * 4 // (line["per"] * 5)
        assert nano(line["amount"]) == amount_nano
    assert receipt["price_id"].startswith("gpt-4.1-mini+group=partners@")
    system.upstream.behaviours["/v1/search"] = answers({"text": "x"})
    account.api.get("/v1/search?q=fares")
    assert charged(account) == 16_000_000


@pytest.mark.parametrize(("endpoint", "group"), PRICES)
def test_a8_a_price_varies_by_model_provider_and_endpoint(system: System, endpoint: str, group: str) -> None:
    """The card of a route is that of its provider, and names the price."""
    account, price_nano = system.account(group=group), PRICES[endpoint, group]
    system.upstream.behaviours["gpt-4.1-mini"] = answers(completion(prompt=1_000, output=500))
    with system.client(account) as client:
        if endpoint == "chat":
            client.chat.completions.create(model="gpt-4.1-mini", messages=HI)
        else:
            client.completions.create(model="gpt-4.1-mini", prompt="Hi")
    assert charged(account) == 1_000 * price_nano + 500 * 4 * price_nano
    for path, tool_nano in CALLS[:2]:
        system.upstream.behaviours[path.partition("?")[0]] = answers({"text": "x"})
        account.api.get(path)
        assert charged(account) == tool_nano


@pytest.mark.parametrize(
    ("package", "amount", "price"),
    [
        ("fifty", "50", "47.50"),
        ("hundred", "100", "95.00"),
        ("two-hundred", "200", "180.00"),
        ("five-hundred", "500", "425.00"),
        ("thousand", "1000", "800.00"),
    ],
)
def test_a7_a_balance_is_topped_up_at_a_discount_on_the_payment(
    system: System, package: str, amount: str, price: str
) -> None:
    """The larger the package, the less is paid for the same credit; nothing comes with it."""
    account = system.account("")
    paid = system.bought(account, {"package": package}, f"card {package}")
    assert (paid["price"], paid["bonus"]) == (price, "0.00")
    assert account.nano("balance") == int(amount) * 1_000_000_000
