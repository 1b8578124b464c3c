"""What the admin API refuses to take: each fault by its name, with its value and what is right."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.api.apis import Apis, serving


@pytest.fixture
async def apis(tmp_path: Path) -> AsyncIterator[Apis]:
    async with serving(tmp_path) as running:
        yield running


@pytest.mark.parametrize(
    ("path", "param"),
    [
        ("/accounts?limit=0", "limit"),
        ("/accounts?limit=101", "limit"),
        ("/accounts?limit=ten", "limit"),
        ("/accounts?cursor=nonsense!", "cursor"),
        ("/accounts?cursor=Ilx1MDAwMCI", "cursor"),
        ("/receipts?model=a%00b", "model"),
        ("/accounts?cursor=NTA", "cursor"),
        ("/accounts?cursor=" + "A" * 600, "cursor"),
        ("/accounts?limit=1&limit=2", "limit"),
        ("/accounts?colour=red", "colour"),
        ("/holds?state=lost", "state"),
        ("/usage?group_by=colour", "group_by"),
        ("/usage?start_date=yesterday", "start_date"),
        ("/usage?start_date=2024-10-05&end_date=2024-10-04", "end_date"),
        ("/usage?start_date=2020-01-01&end_date=2024-10-04", "start_date"),
        ("/usage?start_date=1969-12-31&end_date=1970-01-01", "start_date"),
        ("/usage?end_date=0001-01-01", "end_date"),
    ],
)
async def test_a_query_that_is_wrong_is_refused_by_its_name(apis: Apis, path: str, param: str) -> None:
    answer = await apis.admin("GET", path)
    assert (answer.status, answer.error["code"], answer.error["param"]) == (400, "invalid_value", param)


@pytest.mark.parametrize(
    ("body", "param", "said"),
    [
        ({}, "name", "is missing"),
        ({"name": ""}, "name", '""'),
        ({"name": "two\nlines"}, "name", "one line"),
        ({"name": 7}, "name", "7"),
        ({"name": "x", "nmae": "y"}, "nmae", "known are `name`"),
        ({"name": "x", "credit_limit": 5.0}, "credit_limit", "5.0"),
        ({"name": "x", "credit_limit": "-1"}, "credit_limit", "at least 0.00"),
        ({"name": "x", "credit_limit": "1e3"}, "credit_limit", "1e3"),
        ({"name": "x", "limits": {"day": "NaN"}}, "limits.day", "NaN"),
        ({"name": "x", "limits": {"day": 1}}, "limits.day", "a string"),
        ({"name": "x", "limits": {"day": "5 shells"}}, "limits.day", "unknown unit"),
        ({"name": "x", "limits": {"rpm": 0}}, "limits.rpm", "from 1"),
        ({"name": "x", "limits": {"rpm": "lots"}}, "limits.rpm", "none"),
        ({"name": "x", "limits": {"hour": "1"}}, "limits.hour", "known are `day`"),
        ({"name": "x", "limits": None}, "limits", "an object"),
    ],
)
async def test_a_field_that_is_wrong_is_named_with_its_value_and_what_is_right(
    apis: Apis, body: object, param: str, said: str
) -> None:
    answer = await apis.admin("POST", "/accounts", body)
    assert (answer.status, answer.error["code"], answer.error["param"]) == (400, "invalid_value", param)
    assert said in answer.error["message"]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"expires_at": "2024-10-04T12:00:00Z"}, "expires_at"),
        ({"expires_at": "2030-01-01T00:00:00"}, "expires_at"),
        ({"expires_at": "tomorrow"}, "expires_at"),
        ({"models": "gpt-*"}, "models"),
        ({"models": ["gpt-*", ""]}, "models[1]"),
        ({"models": ["x"] * 101}, "models"),
    ],
)
async def test_a_key_that_could_never_be_used_is_not_made(apis: Apis, body: object, param: str) -> None:
    account_id = await apis.account()
    answer = await apis.admin("POST", f"/accounts/{account_id}/keys", body)
    assert (answer.status, answer.error["param"]) == (400, param)
    assert (await apis.admin("GET", f"/accounts/{account_id}/keys")).data == []


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, "invalid_json"),
        (b"[]", 400, "invalid_json"),
        (b'"text"', 400, "invalid_json"),
        (b'{"name": "\xff"}', 400, "invalid_json"),
        (b'{"name": "\\ud800"}', 400, "invalid_json"),
        (b"[" * 60_000, 400, "invalid_json"),
        (b'{"name": ' + b'{"a":' * 900 + b"1" + b"}" * 901, 400, "invalid_json"),
        (b'{"name": ' + b"[" * 128 + b"]" * 128 + b"}", 400, "invalid_json"),
        (b'{"name": ' + b"[" * 127 + b"]" * 127 + b"}", 400, "invalid_value"),
        (b'{"name": "' + b"x" * 70_000 + b'"}', 413, "body_too_large"),
    ],
)
async def test_a_body_that_is_no_json_object_is_refused(
    apis: Apis, body: bytes, status: int, code: str
) -> None:
    answer = await apis.admin("POST", "/accounts", body)
    assert (answer.status, answer.error["code"]) == (status, code)


async def test_a_compressed_body_is_refused(apis: Apis) -> None:
    answer = await apis.admin("POST", "/accounts", b"{}", headers={"Content-Encoding": "identity, gzip"})
    assert (answer.status, answer.error["code"]) == (415, "unsupported_encoding")
