"""OpenAI's SDK moderates: for free with OpenAI's models, as their rate card says with others."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.acceptance.callers import audited
from tests.acceptance.harness import Account, Server, config_for, running
from tests.acceptance.scripted_upstream import ScriptedUpstream, answers

CATEGORIES = {"violence": False}
VERDICT: dict[str, Any] = {
    "id": "modr-1",
    "model": "omni-moderation-latest",
    "results": [
        {"flagged": False, "categories": CATEGORIES, "category_scores": {"violence": 0.1}},
    ],
}
PICTURE: Any = {"type": "image_url", "image_url": {"url": "https://host/a.png"}}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, upstream: ScriptedUpstream) -> Iterator[Server]:
    """A process with cards for two models, and none for OpenAI's."""
    folder: Path = tmp_path_factory.mktemp("moderations")
    config = config_for(upstream.port, folder)
    config["rate_cards"] = {
        "by-call": {"match": ["call-*"], "rates": {"requests": {"per_unit": "0.001"}}},
        "by-token": {"match": ["token-*"], "rates": {"input_tokens": {"per_1m": "1.00"}}},
        "search": config["rate_cards"]["search"],
    }
    config["routes"] = config["routes"][1:]
    with running(config, folder) as started:
        yield started


@pytest.fixture
def account(server: Server) -> Account:
    return server.account("1.00")


@pytest.fixture
def client(server: Server, account: Account) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key=account.secret, max_retries=0) as sync:
        yield sync


def test_openais_models_are_free_and_the_default(
    server: Server, client: openai.OpenAI, account: Account, upstream: ScriptedUpstream
) -> None:
    """A caller without a model gets the API's own; the receipt says that it cost nothing."""
    for behaviour in ("omni-moderation-latest", "/v1/moderations"):
        upstream.behaviours[behaviour] = answers(VERDICT)
    verdict = client.moderations.create(input="Is this bad?")
    assert verdict.results[0].flagged is False
    assert "model" not in upstream.received[-1]
    client.moderations.create(input=[{"type": "text", "text": "a"}, PICTURE], model="omni-moderation-latest")
    row = account.last()
    assert (row["model"], row["charged"], row["outcome"]) == ("omni-moderation-latest", "0.00", "complete")
    assert row["price_id"].startswith("free@")
    assert account.nano("balance") == 10**9
    assert audited(server) == []


def test_a_free_call_needs_no_funds(server: Server, upstream: ScriptedUpstream) -> None:
    upstream.behaviours["omni-moderation-latest"] = answers(VERDICT)
    poor = server.account("0.000000001")
    body = {"model": "omni-moderation-latest", "input": "x" * 100_000}
    status, headers, _ = poor.api.ask("POST", "/v1/moderations", body)
    assert (status, headers["x-farebox-cost"]) == (200, "0.00")


@pytest.mark.parametrize(
    ("model", "reply", "nano", "basis"),
    [
        ("call-1", VERDICT, 1_000_000, "per_call"),
        ("token-1", VERDICT, 4_000, "counted"),
        ("token-2", {**VERDICT, "usage": {"prompt_tokens": 7, "total_tokens": 7}}, 7_000, "reported"),
    ],
)
def test_other_models_are_charged_as_their_card_says(
    client: openai.OpenAI,
    account: Account,
    upstream: ScriptedUpstream,
    model: str,
    reply: dict[str, Any],
    nano: int,
    basis: str,
) -> None:
    upstream.behaviours[model] = answers(reply)
    client.moderations.create(input=["Is this bad?"], model=model)
    row = account.last()
    assert (row["basis"], account.nano("balance")) == (basis, 10**9 - nano)


def test_a_model_of_somebody_else_without_a_card_is_refused(client: openai.OpenAI) -> None:
    with pytest.raises(openai.PermissionDeniedError) as caught:
        client.moderations.create(input="a", model="mistral-moderation-latest")
    assert caught.value.code == "model_not_priced"
