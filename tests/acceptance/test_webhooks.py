"""Webhooks of a real process: signed, at least once also through `kill -9`, and sent again when asked."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.acceptance.harness import WAIT_SECONDS, Server, config_for, running
from tests.acceptance.webhook_receiver import SECRET, WebhookReceiver, webhook_receiver


@pytest.fixture
def receiver() -> Iterator[WebhookReceiver]:
    """One that is told of credit alone: the key of each account is told of as well."""
    with webhook_receiver() as found:
        found.wanted = ["credits.*"]
        yield found


@pytest.fixture
def server(receiver: WebhookReceiver, tmp_path: Path) -> Iterator[Server]:
    config = config_for(1, tmp_path, webhooks=receiver.config, alerts={"balance_low": "5.00"})
    with running(config, tmp_path) as found:
        yield found


def deliveries(server: Server, state: str) -> list[dict[str, Any]]:
    """The deliveries in a state, waited for."""
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        rows = server.admin.get(f"/admin/v1/webhooks/crm/deliveries?state={state}")["data"]
        if rows or time.monotonic() > deadline:
            found: list[dict[str, Any]] = rows
            return found
        time.sleep(0.05)


def test_what_happens_is_told_with_a_signature_and_can_be_told_again(
    server: Server, receiver: WebhookReceiver
) -> None:
    account = server.account("1.50")
    receiver.wait_for(1)
    ((event_id, body),) = receiver.received
    assert (body["type"], body["data"]["amount"]) == ("credits.granted", "1.50")
    (listed,) = account.api.get("/v1/billing/notifications?type=credits.granted")["data"]
    assert (listed["id"], listed["data"]) == (event_id, body["data"])
    (row,) = deliveries(server, "delivered")
    assert (row["event_id"], row["attempts"], row["status"]) == (event_id, 1, 200)
    asked = {"account_id": account.id, "event_id": event_id}
    assert server.admin.post("/admin/v1/webhooks/crm/replay", asked)["replayed"] == 1
    receiver.wait_for(2)
    asked = {"since": "2020-01-01T00:00:00Z"}
    assert server.admin.post("/admin/v1/webhooks/crm/replay", asked)["replayed"] == 1
    receiver.wait_for(3)
    assert {id_ for id_, _ in receiver.received} == {event_id}


def test_a_test_message_is_sent_at_once_and_its_answer_is_shown(
    server: Server, receiver: WebhookReceiver
) -> None:
    assert server.admin.post("/admin/v1/webhooks/crm/test", {})["delivered"]
    assert receiver.types() == ["webhook.test"]
    receiver.status = 503
    told = server.admin.post("/admin/v1/webhooks/crm/test", {})
    assert (told["delivered"], told["status"], told["reason"]) == (False, 503, "it answered 503")


def test_an_event_outlives_a_kill_between_its_commit_and_its_answer(
    server: Server, receiver: WebhookReceiver
) -> None:
    """The next process tells of it, under the same id."""
    receiver.free.clear()
    server.account("2.00")
    receiver.wait_for(1)
    server.kill()
    receiver.free.set()
    server.start()
    receiver.wait_for(2)
    assert len({id_ for id_, _ in receiver.received}) == 1
    (row,) = deliveries(server, "delivered")
    assert row["state"] == "delivered"


def test_a_receiver_that_fails_is_tried_again_later_and_nothing_secret_is_shown(
    server: Server, receiver: WebhookReceiver
) -> None:
    receiver.status = 500
    account = server.account("2.00")
    receiver.wait_for(1)
    deadline = time.monotonic() + WAIT_SECONDS
    while not (row := deliveries(server, "pending")[0])["attempts"]:
        assert time.monotonic() < deadline
    assert (row["status"], row["reason"], row["next_at"] > row["at"]) == (500, "it answered 500", True)
    shown = server.admin.get(f"/admin/v1/accounts/{account.id}/notifications/{row['event_id']}")
    assert shown["deliveries"] == [row]
    listed = server.admin.get("/admin/v1/webhooks")
    for text in (str(listed), server.log_text()):
        assert SECRET not in text
        assert "/hook" not in text


def test_a_reload_tells_from_then_on_of_what_it_says_and_whom(
    receiver: WebhookReceiver, tmp_path: Path
) -> None:
    """What happened before was not recorded, and is never told."""
    with running(config_for(1, tmp_path), tmp_path) as server:
        before = server.account("1.00")
        config = {**server.config, "webhooks": receiver.config}
        (server.folder / "farebox.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
        assert server.process is not None
        server.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + WAIT_SECONDS
        while "reloaded" not in server.log_text():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        server.account("2.00")
        receiver.wait_for(1)
        assert [body["data"]["amount"] for _, body in receiver.received] == ["2.00"]
        assert before.api.get("/v1/billing/notifications")["data"] == []
