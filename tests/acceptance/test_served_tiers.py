"""A card may charge the service tier that the answer names, and hold for the dearest that may serve."""

from collections.abc import Iterator
from typing import Any

import anthropic
import openai
import pytest

from tests.acceptance.harness import HELLO, Account, Server, config_for, nano, running
from tests.acceptance.scripted_upstream import (
    DONE,
    ScriptedUpstream,
    answers,
    chunk,
    completion,
    streams,
    usage_of,
)
from tests.endpoints.anthropic.replies import event, message, usage
from tests.endpoints.openai.responses.replies import response, text

PLAIN = 10 * 1_000 + 5 * 2_000
"""What ten tokens in and five out cost at the usual rates, in nano-USD."""


@pytest.fixture(scope="module")
def tiered(upstream: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("tiers")
    config = config_for(upstream.port, folder)
    config["rate_cards"]["chat"] |= {
        "service_tiers": {"priority": "2", "flex": "0.5"},
        "service_tier_by": "answer",
        "answered": {
            "dated-2026-*": {
                "rates": {"input_tokens": {"per_1m": "5.00"}, "output_tokens": {"per_1m": "4.00"}}
            },
            "dated-*": {"rates": {"output_tokens": {"per_1m": "6.00"}}},
        },
    }
    with running(config, folder) as started:
        yield started


@pytest.fixture
def caller(tiered: Server) -> Account:
    return tiered.account("1.00")


def charged(caller: Account) -> tuple[float, str]:
    """How many times the usual charge a call was charged, and the tier in its price id."""
    receipt = caller.last()
    return nano(receipt["charged"]) / PLAIN, receipt["price_id"].partition("@")[0]


SERVED: list[tuple[dict[str, Any], dict[str, Any], float, str]] = [
    ({}, {"service_tier": "priority"}, 2, "chat+priority"),
    ({}, {"service_tier": "flex"}, 0.5, "chat+flex"),
    ({}, {"service_tier": "default"}, 1, "chat"),
    ({}, {}, 1, "chat"),
    ({"service_tier": "auto"}, {"service_tier": "priority"}, 2, "chat+priority"),
    ({"service_tier": "priority"}, {"service_tier": "default"}, 1, "chat"),
    ({"service_tier": "priority"}, {}, 2, "chat+priority"),
    ({"service_tier": "flex"}, {"service_tier": "default"}, 1, "chat"),
    ({"service_tier": "flex"}, {}, 0.5, "chat+flex"),
    ({}, {"service_tier": "unheard-of"}, 2, "chat+priority"),
    ({}, {"service_tier": 7}, 1, "chat"),
]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("asked", "told", "times", "card"), SERVED)
def test_a_chat_is_charged_at_the_tier_that_has_served_it(
    tiered: Server,
    caller: Account,
    upstream: ScriptedUpstream,
    asked: dict[str, Any],
    told: dict[str, Any],
    times: float,
    card: str,
    *,
    stream: bool,
) -> None:
    """Without a name in the answer, the one asked for; one that the card does not know is the dearest."""
    last = chunk(choices=[], usage=usage_of(10, 5), **told)
    events = (chunk("Hi"), chunk(finish="stop"), last, DONE)
    upstream.behaviours["t-chat"] = (
        streams(*events) if stream else answers(completion(prompt=10, output=5, **told))
    )
    with openai.OpenAI(base_url=f"{tiered.url}/v1", api_key=caller.secret, max_retries=0) as client:
        made: Any = client.chat.completions.create(
            model="t-chat", messages=HELLO, max_tokens=20, stream=stream, **asked
        )
        if stream:
            list(made)
    assert charged(caller) == (times, card)


@pytest.mark.parametrize("stream", [False, True])
def test_a_response_and_a_message_are_charged_so_too(
    tiered: Server, caller: Account, upstream: ScriptedUpstream, *, stream: bool
) -> None:
    """The one names its tier beside its usage, and the other in it."""
    figures = {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}
    whole = response(text("Hi"), service_tier="priority", usage=figures)
    upstream.behaviours["t-response"] = (
        streams(event("response.completed", response=whole)) if stream else answers(whole)
    )
    with openai.OpenAI(base_url=f"{tiered.url}/v1", api_key=caller.secret, max_retries=0) as client:
        made: Any = client.responses.create(model="t-response", input="Hi", stream=stream)
        if stream:
            list(made)
    assert charged(caller) == (2, "chat+priority")
    told = usage(10, 5, service_tier="priority")
    events = (
        event("message_start", message=message(usage=usage(10, 0, service_tier="priority"))),
        event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 5}),
        event("message_stop"),
    )
    upstream.behaviours["t-message"] = (
        streams(*events) if stream else answers(message({"type": "text", "text": "Hi"}, usage=told))
    )
    with anthropic.Anthropic(base_url=tiered.url, api_key=caller.secret, max_retries=0) as client_:
        answer: Any = client_.messages.create(model="t-message", max_tokens=20, messages=HELLO, stream=stream)
        if stream:
            list(answer)
    assert charged(caller) == (2, "chat+priority")


DATED = "chat+answered=dated-2026-*"
ANSWERED: list[tuple[dict[str, Any], int, str]] = [
    ({"model": "dated-2026-01-31"}, 10 * 5_000 + 5 * 4_000, DATED),
    ({"model": "dated-2025-01-31"}, 10 * 1_000 + 5 * 6_000, "chat+answered=dated-*"),
    ({"model": "another"}, PLAIN, "chat"),
    ({"model": None}, PLAIN, "chat"),
    ({"model": "dated-2026-01-31", "service_tier": "priority"}, 140_000, f"{DATED}+priority"),
    ({"model": "dated-2026-01-31", "service_tier": "default"}, 70_000, DATED),
]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("told", "nano_charged", "card"), ANSWERED)
def test_a_chat_is_charged_at_the_rates_of_the_model_that_has_answered(
    caller: Account,
    upstream: ScriptedUpstream,
    told: dict[str, Any],
    nano_charged: int,
    card: str,
    *,
    stream: bool,
) -> None:
    """A dated snapshot may be dearer than the name that it was asked for by; the tier counts as well."""
    last = chunk(choices=[], usage=usage_of(10, 5), **told)
    events = (chunk("Hi"), chunk(finish="stop"), last, DONE)
    whole = completion(prompt=10, output=5, **told)
    upstream.behaviours["t-model"] = streams(*events) if stream else answers(whole)
    body = {"model": "t-model", "messages": HELLO, "max_tokens": 20, "stream": stream}
    caller.api.post("/v1/chat/completions", body)
    receipt = caller.last()
    assert (nano(receipt["charged"]), receipt["price_id"].partition("@")[0]) == (nano_charged, card)
    assert nano(receipt["hold"]) >= nano_charged
    assert sum(nano(line["amount"]) for line in receipt["lines"]) == nano_charged


@pytest.mark.parametrize("stream", [False, True])
def test_responses_and_messages_name_their_model_too(
    caller: Account, upstream: ScriptedUpstream, *, stream: bool
) -> None:
    figures = {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}
    whole = response(text("Hi"), model="dated-2026-01-31", usage=figures)
    upstream.behaviours["t-response-model"] = (
        streams(event("response.completed", response=whole)) if stream else answers(whole)
    )
    caller.api.post("/v1/responses", {"model": "t-response-model", "input": "Hi", "stream": stream})
    assert nano(caller.last()["charged"]) == 70_000
    events = (
        event("message_start", message=message(usage=usage(10, 0), model="dated-2026-01-31")),
        event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 5}),
        event("message_stop"),
    )
    told = message({"type": "text", "text": "Hi"}, usage=usage(10, 5), model="dated-2026-01-31")
    upstream.behaviours["t-message-model"] = streams(*events) if stream else answers(told)
    body = {"model": "t-message-model", "max_tokens": 20, "messages": HELLO, "stream": stream}
    caller.api.post("/v1/messages", body)
    assert nano(caller.last()["charged"]) == 70_000


def test_what_is_held_is_for_the_dearest_tier_that_may_serve(
    tiered: Server, caller: Account, upstream: ScriptedUpstream
) -> None:
    """Where the request leaves it to the upstream that is any; a tier by name is that, or the usual one."""
    upstream.behaviours["t-hold"] = answers(completion(prompt=10, output=5))
    held: dict[str, int] = {}
    for asked in ("auto", "default", "flex", "priority"):
        body = {"model": "t-hold", "messages": HELLO, "max_tokens": 20, "service_tier": asked}
        _, headers, _ = caller.api.ask("POST", "/v1/chat/completions", body)
        held[asked] = nano({name.lower(): value for name, value in headers.items()}["x-farebox-hold"])
    assert abs(held["auto"] - 2 * held["default"]) < 50_000
    assert abs(held["priority"] - held["auto"]) < 50_000
    assert abs(held["flex"] - held["default"]) < 50_000


def test_a_quote_goes_from_the_cheapest_tier_to_the_dearest(tiered: Server, caller: Account) -> None:
    body = {"model": "t-quote", "messages": HELLO, "max_tokens": 20}
    quote = caller.api.post("/v1/billing/quote?path=/v1/chat/completions", body)
    named = caller.api.post("/v1/billing/quote?path=/v1/chat/completions", body | {"service_tier": "default"})
    assert not quote["exact"]
    assert nano(quote["hold"]) == 2 * nano(named["hold"])


def test_a_stream_without_usage_is_charged_at_what_was_asked_for(
    tiered: Server, caller: Account, upstream: ScriptedUpstream
) -> None:
    events = (chunk("Hi", service_tier="priority"), chunk(finish="stop", service_tier="priority"), DONE)
    upstream.behaviours["t-silent"] = streams(*events)
    with openai.OpenAI(base_url=f"{tiered.url}/v1", api_key=caller.secret, max_retries=0) as client:
        list(client.chat.completions.create(model="t-silent", messages=HELLO, max_tokens=20, stream=True))
    receipt = caller.last()
    assert (receipt["basis"], receipt["price_id"].partition("@")[0]) == ("counted", "chat")


def test_other_cards_charge_what_was_asked_for(
    server: Server, account: Account, upstream: ScriptedUpstream
) -> None:
    upstream.behaviours["t-usual"] = answers(completion(prompt=10, output=5, service_tier="priority"))
    account.api.post("/v1/chat/completions", {"model": "t-usual", "messages": HELLO})
    assert nano(account.last()["charged"]) == PLAIN
