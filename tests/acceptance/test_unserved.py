"""Only what is listed is served: the rest is refused with its reason, and nothing of it is forwarded."""

from collections.abc import Callable
from typing import Any

import openai
import pytest

from tests.acceptance.harness import Account, Server
from tests.acceptance.scripted_upstream import ScriptedUpstream

Ask = Callable[[openai.OpenAI], Any]
ASKED: dict[str, tuple[Ask, str]] = {
    "client secrets": (lambda client: client.realtime.client_secrets.create(), "credentials"),
    "fine tuning": (lambda client: client.fine_tuning.jobs.list(), "work by itself"),
    "vector stores": (lambda client: client.vector_stores.list(), "all callers share"),
    "containers": (lambda client: client.containers.create(name="x"), "work by itself"),
    "files": (lambda client: client.files.list(), "all callers share"),
    "batches": (lambda client: client.batches.list(), "work by itself"),
    "the account": (
        lambda client: client.get("/organization/users", cast_to=object),
        "operator's own account",
    ),
}


@pytest.mark.parametrize("what", ASKED)
def test_what_would_pass_farebox_by_is_refused_with_its_reason(
    server: Server, account: Account, upstream: ScriptedUpstream, what: str
) -> None:
    ask, reason = ASKED[what]
    sent = len(upstream.received)
    with (
        openai.OpenAI(base_url=f"{server.url}/v1", api_key=account.secret) as client,
        pytest.raises(openai.PermissionDeniedError) as caught,
    ):
        ask(client)
    assert caught.value.code == "endpoint_denied"
    assert reason in caught.value.message
    assert (len(upstream.received), account.requests()) == (sent, [])


@pytest.mark.parametrize("path", ["/v1/unheard_of", "/v1/chat", "/v1/engines/davinci/completions", "/x"])
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_a_path_that_nobody_serves_is_told_what_is(
    server: Server, account: Account, upstream: ScriptedUpstream, path: str, method: str
) -> None:
    sent = len(upstream.received)
    status, _, body = account.api.ask(method, path, {} if method == "POST" else None)
    assert (status, body["error"]["code"]) == (404, "not_found")
    for served in ("/v1/chat/completions", "/v1/embeddings", "/v1/search", "/v1/models"):
        assert served in body["error"]["message"]
    assert len(upstream.received) == sent


def test_a_stranger_learns_neither(server: Server) -> None:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="sk-fbx-unknown", max_retries=0) as client:
        for path in ("/organization/costs", "/unheard_of"):
            with pytest.raises(openai.AuthenticationError):
                client.get(path, cast_to=object)


def test_a_long_path_is_not_repeated_in_full(account: Account) -> None:
    _, _, body = account.api.ask("GET", f"/v1/{'x' * 4_000}")
    assert len(body["error"]["message"]) < 1_000
