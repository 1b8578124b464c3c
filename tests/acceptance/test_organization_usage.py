"""OpenAI's SDK asks for usage with only base_url and key changed, and gets that of the account alone."""

import time
from typing import Any

import openai
import pytest

from tests.acceptance.harness import ADMIN_KEY, Account, Server
from tests.acceptance.scripted_upstream import ScriptedUpstream, answers, completion

DAY = 86_400
HI = [{"role": "user", "content": "Hi"}]


@pytest.fixture
def used(server: Server, upstream: ScriptedUpstream) -> tuple[Account, Account, Account]:
    """Two keys of an account that have made calls of two models and two families, and another account."""
    upstream.behaviours |= {name: answers(completion(prompt=10, output=5)) for name in ("u-small", "u-large")}
    vectors = [{"object": "embedding", "index": 0, "embedding": [0.5]}]
    usage = {"prompt_tokens": 7, "total_tokens": 7}
    upstream.behaviours["embed-u"] = answers({"object": "list", "data": vectors, "usage": usage})
    account = server.account()
    other, stranger = server.key_of(account.id), server.account()
    for caller, model in (
        (account, "u-small"),
        (account, "u-large"),
        (other, "u-small"),
        (stranger, "u-small"),
    ):
        caller.api.post("/v1/chat/completions", {"model": model, "messages": HI})
    other.api.post("/v1/embeddings", {"model": "embed-u", "input": "Hi"})
    return account, other, stranger


def usage_of(server: Server, secret: str, family: str, **asked: Any) -> Any:
    client = openai.OpenAI(base_url=f"{server.url}/v1", api_key=secret, admin_api_key=secret)
    with client:
        return getattr(client.admin.organization.usage, family)(**asked)


def results(page: Any) -> list[Any]:
    return [each for bucket in page.data for each in bucket.results]


@pytest.mark.parametrize(("width", "seconds"), [("1m", 60), ("1h", 3_600), ("1d", DAY)])
def test_the_sdk_gets_what_text_used_by_minute_hour_and_day(
    server: Server, used: tuple[Account, Account, Account], width: str, seconds: int
) -> None:
    account = used[0]
    start = (int(time.time()) - 600) // seconds * seconds
    page = usage_of(server, account.secret, "completions", start_time=start, bucket_width=width)
    assert {bucket.end_time - bucket.start_time for bucket in page.data} == {seconds}
    assert page.data[0].start_time == start
    sums = {name: sum(getattr(each, name) for each in results(page)) for name in FIGURES}
    assert sums == FIGURES
    assert {(each.model, each.api_key_id, each.project_id) for each in results(page)} == {(None, None, None)}


FIGURES = {"input_tokens": 30, "output_tokens": 15, "input_cached_tokens": 0, "num_model_requests": 3}


def test_usage_is_told_apart_and_chosen_by_key_and_model(
    server: Server, used: tuple[Account, Account, Account]
) -> None:
    account, other, _ = used
    today = int(time.time()) // DAY * DAY
    asked: dict[str, Any] = {"start_time": today, "group_by": ["model", "api_key_id"]}
    page = usage_of(server, account.secret, "completions", **asked)
    assert {(each.model, each.api_key_id): each.input_tokens for each in results(page)} == {
        ("u-small", account.key_id): 10,
        ("u-large", account.key_id): 10,
        ("u-small", other.key_id): 10,
    }
    page = usage_of(server, account.secret, "completions", start_time=today, models=["u-large"])
    assert [each.num_model_requests for each in results(page)] == [1]
    page = usage_of(server, account.secret, "completions", start_time=today, api_key_ids=[other.key_id])
    assert [each.num_model_requests for each in results(page)] == [1]
    page = usage_of(server, account.secret, "completions", start_time=today, project_ids=["acct_other"])
    assert results(page) == []


def test_usage_is_told_apart_by_end_user_and_metadata(
    server: Server, account: Account, upstream: ScriptedUpstream
) -> None:
    """They pass upstream as the SDK sends them, and stand on the receipt."""
    upstream.behaviours["u-whose"] = answers(completion(prompt=10, output=5))
    client = openai.OpenAI(base_url=f"{server.url}/v1", api_key=account.secret)
    with client:
        for told in ({"safety_identifier": "jane"}, {"user": "jane"}, {"user": "joe"}):
            message: Any = {"model": "u-whose", "messages": HI, "metadata": {"team": "fares"}, **told}
            client.chat.completions.create(**message)
    sent = upstream.received[-1]
    assert (sent["user"], sent["metadata"]) == ("joe", {"team": "fares"})
    receipt = account.last()
    assert (receipt["end_user"], receipt["metadata"]) == ("joe", {"team": "fares"})
    found = account.api.get("/v1/billing/usage?group_by=end_user")
    assert {one["group"]: (one["requests"], one["charged"]) for one in found["data"]} == {
        "jane": (2, "0.00004"),
        "joe": (1, "0.00002"),
    }
    (team,) = account.api.get("/v1/billing/usage?group_by=metadata&metadata_key=team")["data"]
    assert (team["group"], team["charged"]) == ("fares", "0.00006")
    assert account.api.get("/v1/billing/usage?end_user=jane")["total"]["requests"] == 2
    assert len(account.api.get("/v1/billing/receipts?end_user=jane")["data"]) == 2
    today = int(time.time()) // DAY * DAY
    path = f"/v1/organization/usage/completions?start_time={today}&group_by=end_user"
    (bucket,) = account.api.get(path)["data"]
    assert {one["end_user"]: one["num_model_requests"] for one in bucket["results"]} == {"jane": 2, "joe": 1}
    for wrong in ("group_by=metadata", "metadata_key=team", "group_by=metadata&metadata_key=$.team"):
        status, _, body = account.api.ask("GET", f"/v1/billing/usage?{wrong}")
        assert (status, body["error"]["param"]) == (400, "metadata_key"), wrong


def test_each_family_has_its_own_calls(server: Server, used: tuple[Account, Account, Account]) -> None:
    account = used[0]
    today = int(time.time()) // DAY * DAY
    page = usage_of(server, account.secret, "embeddings", start_time=today, group_by=["model"])
    assert [(each.model, each.input_tokens, each.num_model_requests) for each in results(page)] == [
        ("embed-u", 7, 1)
    ]
    for family in ("moderations", "images", "audio_speeches", "audio_transcriptions"):
        assert results(usage_of(server, account.secret, family, start_time=today)) == []
    for family in ("web_search_calls", "file_search_calls", "code_interpreter_sessions"):
        assert results(usage_of(server, account.secret, family, start_time=today)) == []


def test_the_admin_key_sees_all_accounts(server: Server, used: tuple[Account, Account, Account]) -> None:
    account, _, stranger = used
    today = int(time.time()) // DAY * DAY
    for family, figure in (("completions", "num_model_requests"), ("costs", "amount")):
        ids = [account.id, stranger.id]
        page = usage_of(server, ADMIN_KEY, family, start_time=today, group_by=["project_id"], project_ids=ids)
        assert {each.project_id for each in results(page)} == set(ids)
        assert all(getattr(each, figure) for each in results(page))
    page = usage_of(server, ADMIN_KEY, "completions", start_time=today, project_ids=[stranger.id])
    assert [each.num_model_requests for each in results(page)] == [1]


def test_pages_have_each_bucket_once(server: Server, used: tuple[Account, Account, Account]) -> None:
    account = used[0]
    now = int(time.time())
    starts: list[int] = []
    more: dict[str, Any] = {}
    for _ in range(10):
        page = usage_of(
            server, account.secret, "completions", start_time=now - 300, bucket_width="1m", limit=2, **more
        )
        starts += [bucket.start_time for bucket in page.data]
        assert page.has_more == (page.next_page is not None)
        if not page.has_more:
            break
        more = {"page": page.next_page}
    assert starts == list(range(starts[0], starts[-1] + 60, 60))
    assert starts[0] == (now - 300) // 60 * 60
    assert starts[-1] >= now // 60 * 60


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("", "start_time"),
        ("start_time=9&end_time=9", "start_time"),
        ("start_time=9&bucket_width=1w", "bucket_width"),
        ("start_time=9&group_by=batch", "group_by[0]"),
        ("start_time=9&limit=32", "limit"),
        ("start_time=9&bucket_width=1h&limit=169", "limit"),
        ("start_time=9&page=next", "page"),
        ("start_time=86400&page=page_0", "page"),
        ("start_time=9&batch=true", "batch"),
    ],
)
def test_what_is_asked_wrongly_is_named(server: Server, account: Account, query: str, param: str) -> None:
    status, _, body = account.api.ask("GET", f"/v1/organization/usage/completions?{query}")
    assert (status, body["error"]["code"], body["error"]["param"]) == (400, "invalid_value", param)


def test_what_is_not_metered_is_said(server: Server, account: Account) -> None:
    status, _, body = account.api.ask("GET", "/v1/organization/usage/vector_stores?start_time=1")
    assert (status, body["error"]["code"]) == (404, "not_found")
    assert "completions, embeddings" in body["error"]["message"]
