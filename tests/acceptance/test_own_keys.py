"""Calls of an account that has its own key at an upstream: they go up with that, at a share of the price."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.callers import audited
from tests.acceptance.harness import HELLO, Account, Server, config_for, eventually, nano, running
from tests.acceptance.scripted_upstream import ScriptedUpstream, answers, completion
from tests.acceptance.studio import CARD, SECOND_NANO, Studio

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
    config["rate_cards"] = {"film": CARD | {"own_key": {"share": "10%"}}, **config["rate_cards"]}
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


def test_a_job_is_asked_for_with_the_key_that_made_it(shop: Shop, upstream: ScriptedUpstream) -> None:
    """By the client and by the poller, and it is charged at its share; nobody else's key finds it."""
    studio = Studio(upstream)
    body = {"model": "sora-2", "prompt": "A tram", "seconds": "8"}
    status, _, made = shop.own.api.ask("POST", "/v1/videos", body)
    assert (status, shop.own.nano("held")) == (200, 8 * SECOND_NANO // 10)
    before = len(upstream.headers)
    assert shop.own.api.get(f"/v1/videos/{made['id']}")["status"] == "queued"
    assert shop.other.api.ask("GET", f"/v1/videos/{made['id']}")[0] == 404
    studio.status[made["id"]] = "completed"
    eventually(lambda: shop.own.nano("held") == 0)
    (receipt,) = (row for row in shop.own.requests() if row["endpoint"] == "videos")
    assert nano(receipt["charged"]) == 8 * SECOND_NANO // 10
    assert {sent["Authorization"] for sent in upstream.headers[before:]} == {f"Bearer {OWN}"}
    assert audited(shop.server) == []


def test_the_operator_sees_who_has_a_key_and_not_the_key(shop: Shop) -> None:
    (seen,) = shop.server.admin.get("/admin/v1/upstreams")["data"]
    assert seen["own_keys"] == [shop.own.id]
    assert OWN not in str(seen)
