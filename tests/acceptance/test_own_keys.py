"""Calls of an account that has its own key at an upstream: they go up with that, at a share of the price."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.callers import audited
from tests.acceptance.harness import HELLO, Account, Server, config_for, nano, running
from tests.acceptance.scripted_upstream import ScriptedUpstream, answers, completion

OWN = "sk-acme-own-0123456789"
CALL: dict[str, Any] = {"model": "m", "messages": HELLO, "max_tokens": 100}


class Shop:
    """A process with two accounts, of which one has its own key at the upstream."""

    def __init__(self, server: Server, own: Account, other: Account) -> None:
        self.server, self.own, self.other = server, own, other


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, upstream: ScriptedUpstream) -> Iterator[Shop]:
    """It is started again with the key once the account is there."""
    folder: Path = tmp_path_factory.mktemp("own")
    config = config_for(upstream.port, folder)
    with running(config, folder) as server:
        own, other = server.account("1.00"), server.account("1.00")
    config["upstreams"]["scripted"]["own_keys"] = {own.id: {"value": "${ACME_KEY}"}}
    config["rate_cards"]["chat"] |= {"own_key": {"share": "5%"}}
    with running(config, folder, ACME_KEY=OWN) as server:
        for account in (own, other):
            account.api.url = account.admin.url = server.url
        yield Shop(server, own, other)


def test_a_call_goes_up_with_the_accounts_own_key_at_a_share_of_the_price(
    shop: Shop, upstream: ScriptedUpstream
) -> None:
    """The receipt says so, and a quote is at that price; another account's call is as ever."""
    upstream.behaviours["m"] = answers(completion(prompt=4, output=50))
    status, _, quote = shop.own.api.ask("POST", "/v1/billing/quote?path=/v1/chat/completions", CALL)
    assert status == 200
    for account, share in ((shop.own, 20), (shop.other, 1)):
        status, _, _ = account.api.ask("POST", "/v1/chat/completions", CALL)
        assert status == 200
        receipt = account.last()
        assert nano(receipt["charged"]) == (4 * 1_000 + 50 * 2_000) // share
        sent = upstream.headers[-1]["Authorization"]
        steps = [line.get("steps") for line in receipt["lines"]]
        if account is shop.own:
            assert sent == f"Bearer {OWN}"
            assert steps == [[{"kind": "times", "value": "0.05", "name": "own key"}]] * 2
            assert receipt["price_id"].startswith("chat+own=key@")
            assert nano(receipt["charged"]) <= nano(quote["hold"]) <= nano(receipt["hold"])
        else:
            assert OWN not in sent
            assert steps == [None, None]
    assert audited(shop.server) == []


def test_what_the_own_key_is_refused_is_told_and_no_other_is_tried(
    shop: Shop, upstream: ScriptedUpstream
) -> None:
    """Nothing is charged, and the key is in no answer and no log."""
    upstream.behaviours["m"] = answers({"error": {"message": f"bad key {OWN}"}}, status=401)
    before = len(upstream.received)
    status, _, body = shop.own.api.ask("POST", "/v1/chat/completions", CALL)
    assert (status, body["error"]["code"]) == (502, "upstream_denied")
    assert body["error"]["message"] == "The upstream does not accept the account's own key for this."
    assert len(upstream.received) == before + 1
    assert nano(shop.own.last()["charged"]) == 0


def test_the_operator_sees_who_has_a_key_and_not_the_key(shop: Shop) -> None:
    (seen,) = shop.server.admin.get("/admin/v1/upstreams")["data"]
    assert seen["own_keys"] == [shop.own.id]
    assert OWN not in str(seen)
