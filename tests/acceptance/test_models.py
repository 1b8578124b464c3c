"""Both makers' SDKs list the models of a key, each in its own shape, with endpoints, prices and context."""

from collections.abc import Iterator
from typing import Any

import anthropic
import openai
import pytest

from tests.acceptance.harness import Account, Server, config_for, running
from tests.acceptance.scripted_upstream import ScriptedUpstream, answers

OWN = ["claude-2", "claude-1", "gpt-5-mini", "gpt-5", "embed-1", "unpriced-1", "hidden-1"]
LISTED = {
    "object": "list",
    "data": [{"id": name, "created": 1_700_000_000, "context_length": 128_000} for name in OWN],
}
GPT: dict[str, Any] = {
    "match": ["gpt-*"],
    "rates": {"input_tokens": {"per_1m": "1.00"}, "output_tokens": {"per_1m": "2.00"}},
    "cases": [{"when": {"size": "large"}, "rates": {"output_tokens": {"per_1m": "3.00"}}}],
    "max_output_tokens": 4_096,
}
SERVED = ["claude-1", "claude-2", "claude-named", "embed-1", "gpt-5", "gpt-5-mini"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, upstream: ScriptedUpstream) -> Iterator[Server]:
    """A process whose routes have globs, and whose upstream is asked for its models."""
    folder = tmp_path_factory.mktemp("models")
    config = config_for(upstream.port, folder)
    upstream.behaviours["/v1/models"] = answers(LISTED)
    config["upstreams"]["scripted"]["list_models_seconds"] = 3_600
    target = [{"upstream": "scripted"}]
    renamed = [{"upstream": "scripted", "model": "claude-2"}]
    config["routes"] = [
        {"models": ["claude-named"], "endpoints": ["messages"], "targets": renamed},
        {"models": ["claude-*"], "endpoints": ["messages"], "targets": target},
        {"models": ["embed-*"], "endpoints": ["embeddings"], "targets": target},
        {"models": ["hidden-*"], "endpoints": ["embeddings"], "targets": renamed},
        {"models": ["gpt-*", "unpriced-*"], "endpoints": ["chat.completions"], "targets": target},
    ]
    config["rate_cards"] = {
        "claude": {**GPT, "match": ["claude-*"], "context_tokens": 200_000, "cases": []},
        "embed": {"match": ["embed-*", "hidden-*"], "rates": {"input_tokens": {"per_1m": "0.10"}}},
        "gpt": GPT,
    }
    with running(config, folder) as started:
        yield started


@pytest.fixture
def account(server: Server) -> Account:
    return server.account("1.00")


@pytest.fixture
def client(server: Server, account: Account) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key=account.secret, max_retries=0) as sync:
        yield sync


@pytest.fixture
def claude(server: Server, account: Account) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=server.url, api_key=account.secret, max_retries=0) as sync:
        yield sync


def test_openais_sdk_lists_what_is_served_globs_by_what_the_upstream_lists(client: openai.OpenAI) -> None:
    """Without those that have no price, and those of a route that renames what it serves."""
    models = {model.id: model for model in client.models.list()}
    assert list(models) == SERVED
    gpt: Any = models["gpt-5"].to_dict()
    assert (gpt["object"], gpt["created"], gpt["owned_by"]) == ("model", 1_700_000_000, "farebox")
    assert (gpt["endpoints"], gpt["billing_type"]) == (["/v1/chat/completions"], "per_token")
    assert (gpt["context_length"], gpt["max_output_tokens"]) == (128_000, 4_096)
    assert gpt["pricing"]["output_tokens"] == {"price": "2.00", "per": 1_000_000, "currency": "USD"}
    (case,) = gpt["cases"]
    assert (case["when"], case["pricing"]["output_tokens"]["price"]) == ({"size": "large"}, "3.00")
    named: Any = models["claude-named"].to_dict()
    assert (named["endpoints"], named["context_length"]) == (["/v1/messages"], 200_000)


def test_openais_sdk_retrieves_one(client: openai.OpenAI) -> None:
    """Also one that nobody lists, where a glob serves it."""
    assert client.models.retrieve("gpt-5").created == 1_700_000_000
    assert client.models.retrieve("gpt-unlisted").created == 0
    with pytest.raises(openai.NotFoundError) as caught:
        client.models.retrieve("unpriced-1")
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")


@pytest.mark.parametrize("limit", [1, 2, 5, 6, 1_000])
def test_anthropics_sdk_pages_through_the_list(claude: anthropic.Anthropic, limit: int) -> None:
    models = list(claude.models.list(limit=limit))
    assert [model.id for model in models] == SERVED
    (one,) = (model for model in models if model.id == "claude-2")
    assert (one.type, one.display_name, one.lifecycle) == ("model", "claude-2", "active")
    assert (one.max_input_tokens, one.max_tokens, one.created_at.year) == (200_000, 4_096, 2023)
    said: Any = one.to_dict()
    assert (said["billing_type"], said["endpoints"]) == ("per_token", ["/v1/messages"])


def test_a_page_of_anthropics_tells_where_it_is(claude: anthropic.Anthropic) -> None:
    first = claude.models.list(limit=2)
    assert (first.first_id, first.last_id, first.has_more) == ("claude-1", "claude-2", True)
    after = claude.models.list(after_id="gpt-5")
    assert ([model.id for model in after.data], after.has_more) == (["gpt-5-mini"], False)
    before = claude.models.list(before_id="gpt-5", limit=2)
    assert ([model.id for model in before.data], before.has_more) == (["claude-named", "embed-1"], True)
    assert [model.id for model in claude.models.list(before_id="claude-named", limit=1)] == SERVED[1::-1]
    beyond = claude.models.list(after_id="zzz")
    assert (beyond.data, beyond.first_id, beyond.has_more) == ([], None, False)
    assert claude.models.list(lifecycle=["retired"]).data == []
    assert len(claude.models.list(lifecycle=["active", "retired"]).data) == len(SERVED)


def test_anthropics_sdk_retrieves_one_and_gets_errors_of_its_own(claude: anthropic.Anthropic) -> None:
    assert claude.models.retrieve("claude-1").max_input_tokens == 200_000
    with pytest.raises(anthropic.NotFoundError) as caught:
        claude.models.retrieve("unpriced-1")
    body: Any = caught.value.body
    assert (body["type"], body["error"]["type"], body["error"]["code"]) == (
        "error",
        "not_found_error",
        "model_not_found",
    )
    with pytest.raises(anthropic.BadRequestError):
        claude.models.list(limit=0)


@pytest.mark.parametrize(
    ("headers", "shape"),
    [
        ({}, "openai"),
        ({"anthropic-version": "2023-06-01"}, "anthropic"),
        ({"Anthropic-Version": "2023-06-01"}, "anthropic"),
        ({"x-api-key": "other"}, "openai"),
    ],
)
def test_the_headers_say_which_shape_is_wanted(account: Account, headers: dict[str, str], shape: str) -> None:
    """A key as a bearer is anybody's; as `x-api-key` alone it is a client's of Anthropic's."""
    _, _, body = account.api.ask("GET", "/v1/models", headers=headers)
    assert ("has_more" in body) == (shape == "anthropic")


def test_a_key_sees_only_what_it_may_use(server: Server, account: Account) -> None:
    path = f"/admin/v1/keys/{account.key_id}"
    status, _, _ = account.admin.ask("PATCH", path, {"models": ["claude-*", "gpt-5"]})
    assert status == 200
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key=account.secret, max_retries=0) as client:
        assert [model.id for model in client.models.list()] == [
            "claude-1",
            "claude-2",
            "claude-named",
            "gpt-5",
        ]
        with pytest.raises(openai.NotFoundError):
            client.models.retrieve("gpt-5-mini")


def test_the_upstream_is_asked_once(
    client: openai.OpenAI, claude: anthropic.Anthropic, account: Account, upstream: ScriptedUpstream
) -> None:
    """Whoever wants to know, and never with a caller's key."""
    client.models.list()
    sent = len(upstream.received)
    for _ in range(3):
        client.models.list()
        claude.models.list()
    assert len(upstream.received) == sent
    assert account.secret not in str(upstream.headers)
