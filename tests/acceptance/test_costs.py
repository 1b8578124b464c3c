"""OpenAI's SDK asks for costs with only base_url and key changed, and gets those of the account alone."""

import time
from decimal import Decimal
from typing import Any

import openai
import pytest

from tests.acceptance.harness import Account, Server
from tests.acceptance.scripted_upstream import ScriptedUpstream, answers, completion

DAY = 86_400


@pytest.fixture
def spent(server: Server, upstream: ScriptedUpstream) -> tuple[Account, Account]:
    """Two keys of an account that have made calls of two models; another account has made one, too."""
    upstream.behaviours |= {name: answers(completion(prompt=10, output=5)) for name in ("c-small", "c-large")}
    account = server.account()
    other = server.key_of(account.id)
    stranger = server.account()
    for caller, model in (
        (account, "c-small"),
        (account, "c-large"),
        (other, "c-small"),
        (stranger, "c-small"),
    ):
        caller.api.post(
            "/v1/chat/completions", {"model": model, "messages": [{"role": "user", "content": "Hi"}]}
        )
    return account, other


def costs(server: Server, account: Account, **asked: Any) -> Any:
    client = openai.OpenAI(base_url=f"{server.url}/v1", api_key=account.secret, admin_api_key=account.secret)
    with client:
        return client.admin.organization.usage.costs(**asked)


def figures(page: Any) -> list[dict[tuple[str | None, str | None], str]]:
    return [
        {(each.line_item, each.api_key_id): str(Decimal(str(each.amount.value))) for each in bucket.results}
        for bucket in page.data
    ]


def test_the_sdk_gets_the_costs_of_each_day(server: Server, spent: tuple[Account, Account]) -> None:
    account, other = spent
    today = int(time.time()) // DAY * DAY
    plain = costs(server, account, start_time=today - DAY, end_time=today + DAY)
    assert [(bucket.start_time, bucket.end_time) for bucket in plain.data] == [
        (today - DAY, today),
        (today, today + DAY),
    ]
    assert figures(plain) == [{}, {(None, None): "0.00006"}]
    by_model = costs(server, account, start_time=today, group_by=["line_item"])
    assert figures(by_model) == [{("c-small", None): "0.00004", ("c-large", None): "0.00002"}]
    both = costs(server, account, start_time=today, group_by=["line_item", "api_key_id"])
    assert figures(both) == [
        {
            ("c-small", account.key_id): "0.00002",
            ("c-large", account.key_id): "0.00002",
            ("c-small", other.key_id): "0.00002",
        }
    ]
    (bucket,) = costs(server, account, start_time=today, group_by=["project_id"]).data
    assert [result.project_id for result in bucket.results] == [account.id]


def test_costs_are_those_of_the_keys_and_models_that_are_asked_for(
    server: Server, spent: tuple[Account, Account]
) -> None:
    account, other = spent
    today = int(time.time()) // DAY * DAY
    of_key = costs(server, account, start_time=today, api_key_ids=[other.key_id])
    assert figures(of_key) == [{(None, None): "0.00002"}]
    of_model = costs(server, account, start_time=today, line_items=["c-small"], group_by=["api_key_id"])
    assert figures(of_model) == [{(None, account.key_id): "0.00002", (None, other.key_id): "0.00002"}]


def test_pages_have_each_day_once(server: Server, spent: tuple[Account, Account]) -> None:
    account, _ = spent
    today = int(time.time()) // DAY * DAY
    days: list[int] = []
    page: str | None = None
    for _ in range(3):
        more: dict[str, str] = {} if page is None else {"page": page}
        found = costs(server, account, start_time=today - 4 * DAY, end_time=today + 1, limit=2, **more)
        days += [bucket.start_time for bucket in found.data]
        page = found.next_page
        assert found.has_more == (page is not None)
    assert days == [today - at * DAY for at in (4, 3, 2, 1, 0)]
    assert page is None


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("", "start_time"),
        ("start_time=x", "start_time"),
        ("start_time=9&end_time=9", "start_time"),
        ("start_time=9&bucket_width=1h", "bucket_width"),
        ("start_time=9&group_by=model", "group_by[0]"),
        ("start_time=9&limit=181", "limit"),
        ("start_time=9&page=next", "page"),
        ("start_time=86400&page=page_0", "page"),
        ("start_time=9&limit=1&limit=2", "limit"),
        ("start_time=9&admin=1", "admin"),
    ],
)
def test_what_is_asked_wrongly_is_named(server: Server, account: Account, query: str, param: str) -> None:
    status, _, body = account.api.ask("GET", f"/v1/organization/costs?{query}")
    assert (status, body["error"]["code"], body["error"]["param"]) == (400, "invalid_value", param)


def test_the_rest_of_the_operators_account_stays_out_of_reach(account: Account) -> None:
    for path in ("/v1/organization/costs/x", "/v1/organization/users", "/v1/organization"):
        status, _, body = account.api.ask("GET", path)
        assert (status, body["error"]["code"]) == (403, "endpoint_denied")
