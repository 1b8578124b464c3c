"""What a body can make an upstream bill, between a real process, the SDK and an upstream that bills it."""

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import openai
import pytest
from aiohttp import web

from tests.acceptance.callers import audited
from tests.acceptance.harness import HELLO, Account, Server, config_for, running
from tests.acceptance.scripted_upstream import ScriptedUpstream, answers, completion

CHAT = "/v1/chat/completions"
MOST = 4_096
SEARCH_NANO = 10_000_000
BOUNDS = [
    "max_tokens",
    "max_completion_tokens",
    "max_output_tokens",
    "max_new_tokens",
    "n_predict",
    "maxTokens",
]


async def obeys_max_tokens(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
    """An upstream that knows one name for a bound, takes 0 for none, and writes as much as it may."""
    bound = body.get("max_tokens") or 0
    return web.json_response(completion(prompt=5, output=bound if bound > 0 else MOST))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, upstream: ScriptedUpstream) -> Iterator[Server]:
    """A process whose upstream knows `max_tokens` alone, with prices for what a call may turn on."""
    folder = tmp_path_factory.mktemp("members")
    config = config_for(upstream.port, folder)
    config["upstreams"]["scripted"] |= {
        "output_bound_field": "max_tokens",
        "forward": ["frobnicate", "file_id"],
    }
    card = config["rate_cards"]["chat"]
    card["rates"]["web_searches"] = {"per_unit": "0.01"}
    card |= {"service_tiers": {"priority": "2"}, "input_allowance_tokens": 20_000}
    with running(config, folder) as started:
        yield started


@pytest.fixture(autouse=True)
def obedient(upstream: ScriptedUpstream) -> None:
    upstream.behaviours["m"] = obeys_max_tokens


def receipt_of(account: Account, headers: dict[str, str]) -> dict[str, Any]:
    found = account.api.get(f"/v1/billing/receipts/{headers['x-request-id']}")
    assert isinstance(found, dict)
    return found


def nano(text: str) -> int:
    return int(Decimal(text) * 10**9)


@pytest.mark.parametrize("name", BOUNDS)
@pytest.mark.parametrize("value", [1, 1.0, 0, -1, 7])
def test_no_name_for_a_bound_buys_more_than_is_held(
    server: Server, upstream: ScriptedUpstream, name: str, value: float
) -> None:
    """The upstream bills what it was told to write at most: that is within the hold, and nothing is short."""
    account = server.account("1.00")
    status, headers, _ = account.api.ask("POST", CHAT, {"model": "m", "messages": HELLO, name: value})
    receipt = receipt_of(account, headers)
    assert status == 200
    assert receipt["usage"]["output_tokens"] == (value if value > 0 else MOST)
    assert nano(receipt["total"]) <= nano(headers["x-farebox-hold"])
    assert nano(receipt["shortfall"]) == 0
    assert {*BOUNDS} & upstream.received[-1].keys() <= {"max_tokens"}


def test_the_bound_is_the_smallest_of_those_that_are_named(
    server: Server, upstream: ScriptedUpstream
) -> None:
    account = server.account("1.00")
    body = {"model": "m", "messages": HELLO, "max_tokens": 4_000, "max_completion_tokens": 1}
    status, _, answer = account.api.ask("POST", CHAT, body)
    assert (status, answer["usage"]["completion_tokens"]) == (200, 1)
    assert upstream.received[-1]["max_tokens"] == 1


def test_a_search_a_tier_and_a_hidden_file_are_held_for_and_charged(server: Server) -> None:
    """The receipt has a line for the search and doubled rates for the tier; the file is only held for."""
    account = server.account("1.00")
    parts = [{"type": "text", "text": "Sum it up"}, {"type": "file", "file": {"file_id": "file-1"}}]
    body = {
        "model": "m",
        "messages": [{"role": "user", "content": parts}],
        "web_search_options": {},
        "service_tier": "priority",
        "max_tokens": 10,
    }
    status, headers, _ = account.api.ask("POST", CHAT, body)
    receipt = receipt_of(account, headers)
    assert status == 200
    assert nano(headers["x-farebox-hold"]) >= SEARCH_NANO + 2 * (2 * 20_000 * 1_000 + 10 * 2_000)
    assert nano(receipt["charged"]) == SEARCH_NANO + 2 * (5 * 1_000 + 10 * 2_000)
    assert {line["meter"] for line in receipt["lines"]} == {"web_searches", "input_tokens", "output_tokens"}
    assert receipt["price_id"].startswith("chat+priority@")
    assert audited(server) == []


def test_what_has_no_price_is_refused_by_name_before_anything_is_forwarded(
    server: Server, upstream: ScriptedUpstream
) -> None:
    account = server.account("1.00")
    before = len(upstream.received)
    for members, param, keys in (
        ({"modalities": ["text", "audio"]}, "modalities: audio", ["rates.output_audio_tokens"]),
        ({"tools": [{"type": "code_interpreter"}]}, "tools[].type", ["rates.server_tools"]),
        ({"service_tier": "ultrafast"}, "service_tier: ultrafast", ["service_tiers.ultrafast"]),
        ({"models": ["dear"]}, "models", []),
        ({"wings": 2}, "wings", []),
        ({"vector_store_ids": ["vs_1"]}, "vector_store_ids", []),
    ):
        status, _, body = account.api.ask("POST", CHAT, {"model": "m", "messages": HELLO, **members})
        error = body["error"]
        assert (status, error["code"], error["param"]) == (403, "unpriced_feature", param)
        assert error["rate_card_keys"] == keys
    assert len(upstream.received) == before
    assert account.nano("available") == 1_000_000_000


def test_what_is_forwarded_by_name_passes(server: Server, upstream: ScriptedUpstream) -> None:
    account = server.account("1.00")
    status, _, _ = account.api.ask("POST", CHAT, {"model": "m", "messages": HELLO, "frobnicate": [1, 2]})
    assert (status, upstream.received[-1]["frobnicate"]) == (200, [1, 2])


def test_the_sdks_usual_members_pass_without_any_setting(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    """A configuration that says nothing of members takes what the SDK sends every day, zeros included."""
    upstream.behaviours["m"] = answers(completion())
    with running(config_for(upstream.port, tmp_path), tmp_path) as started:
        client = openai.OpenAI(
            base_url=f"{started.url}/v1", api_key=started.account("1.00").secret, max_retries=0
        )
        chat = client.chat.completions.create(
            model="m",
            messages=[{"role": "user", "content": "x", "name": "n"}],
            frequency_penalty=-2,
            logit_bias={"7": 0},
            logprobs=True,
            max_completion_tokens=0,
            max_tokens=0,
            metadata={"a": "b"},
            modalities=["text"],
            n=1,
            parallel_tool_calls=True,
            prediction={"content": "x", "type": "content"},
            presence_penalty=-2,
            prompt_cache_key="k",
            reasoning_effort="none",
            response_format={"type": "text"},
            safety_identifier="s",
            seed=-9,
            service_tier="auto",
            stop="\n",
            store=True,
            temperature=1,
            tool_choice="none",
            tools=[{"type": "function", "function": {"name": "f", "parameters": {"a": 1}, "strict": True}}],
            top_logprobs=0,
            top_p=1,
            user="u",
            verbosity="low",
        )
        assert chat.usage is not None
        upstream.behaviours["m"] = answers(
            json.dumps(
                {"object": "text_completion", "choices": [{"text": "x", "finish_reason": "stop"}]}
            ).encode()
        )
        client.completions.create(
            model="m", prompt="x", best_of=0, echo=True, logprobs=0, max_tokens=0, n=1, suffix="y", stop=None
        )
        assert upstream.received[-1]["max_tokens"] == 0
