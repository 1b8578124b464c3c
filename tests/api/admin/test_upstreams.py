"""The admin API's list of upstreams: all that is in force, and nothing secret."""

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from proxy.api.admin.upstreams import UpstreamsView
from proxy.config.load import load
from tests.api.apis import ApiConfig, Apis, serving

SECRET = "of-nobody-elses-business"
CONFIG = """
admin: {key: 'b7c0e93d51f84a26'}
upstreams:
  first:
    base_url: https://api.example.com/v1/
    credential: {value: 'of-nobody-elses-business'}
    headers: {X-Tenant: 'of-nobody-elses-business'}
    include_usage: false
    output_bound_field: max_tokens
    forward: [plugins, "*"]
    idle_seconds: 7.5
  second:
    base_url: https://search.example.com
    credential: {value: 'of-nobody-elses-business', query: key}
  third: {base_url: 'http://127.0.0.1:8081', when: ''}
routes:
  - name: chat
    models: ['gpt-*']
    rate_card: card
    targets: [{upstream: first, model: mini}, {upstream: third}]
  - {name: more, models: ['o4-mini'], rate_card: card, targets: [{upstream: first}]}
  - {name: search, path: /v1/find, rate_card: call, targets: [{upstream: second, path: /search}]}
rate_cards:
  card: {rates: {input_tokens: {per_1m: '1'}, output_tokens: {per_1m: '1'}}, max_output_tokens: 100}
  call: {rates: {requests: {per_unit: '0.02'}}}
"""


@pytest.fixture
async def apis(tmp_path: Path) -> AsyncIterator[Apis]:
    async with serving(tmp_path) as running:
        path = tmp_path / "farebox.yaml"
        path.write_text(CONFIG)
        settings = load(path, {})
        running.settings = ApiConfig(upstreams=settings.upstreams, routes=settings.routes)
        yield running


async def test_each_upstream_is_listed_with_its_targets(apis: Apis) -> None:
    """Those in force, in the order of the configuration; one that is left out is not in force."""
    answer = await apis.admin("GET", "/upstreams")
    assert answer.status == 200
    assert answer.body["object"] == "list"
    first, second = answer.data
    assert first == {
        "object": "upstream",
        "name": "first",
        "base_url": "https://api.example.com/v1",
        "credential": {"place": "header", "name": "Authorization"},
        "headers": ["X-Tenant"],
        "own_keys": [],
        "include_usage": False,
        "output_bound_field": "max_tokens",
        "forward": ["*", "plugins"],
        "connect_seconds": 10.0,
        "first_byte_seconds": 600.0,
        "idle_seconds": 7.5,
        "keepalive_seconds": 4.0,
        "list_models_seconds": None,
        "targets": [
            {"route": "chat", "model": "mini", "path": None},
            {"route": "more", "model": None, "path": None},
        ],
    }
    assert second["credential"] == {"place": "query", "name": "key"}
    assert second["targets"] == [{"route": "search", "model": None, "path": "/search"}]
    assert msgspec.convert(answer.body, UpstreamsView)


async def test_nothing_secret_is_in_it(apis: Apis) -> None:
    """Neither a credential nor the value of a header, which may be one."""
    answer = await apis.admin("GET", "/upstreams")
    assert SECRET in CONFIG
    assert SECRET not in str(answer.body)


async def test_it_is_for_the_admin_key_alone(apis: Apis) -> None:
    """An account's key is not enough."""
    _, secret = await apis.key(await apis.account())
    answer = await apis.ask("GET", "/admin/v1/upstreams", key=secret)
    assert (answer.status, answer.error["code"]) == (401, "invalid_api_key")
