"""Top-ups through Stripe: a real process, a fake of its API that checks what it checks, real signatures."""

import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any
from urllib.parse import urlsplit

import pytest

from proxy.api.billing.notices import AT_ONCE, SECONDS
from tests.acceptance.harness import Account, Server, eventually, running
from tests.billing.fake_stripe import SECRET_KEY, WEBHOOK_SECRET, FakeStripe, event, send, signature

FIFTY = 52_500_000_000


@pytest.fixture(scope="module")
def stripe() -> Iterator[FakeStripe]:
    fake = FakeStripe()
    yield fake
    fake.stop()


@pytest.fixture(scope="module")
def server(stripe: FakeStripe, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("stripe")
    config: dict[str, Any] = {
        "server": {"host": "127.0.0.1", "port": 0},
        "storage": f"sqlite:///{folder}/stripe.db",
        "admin": {"key": "${FAREBOX_ADMIN_KEY}"},
        "payments": {
            "provider": "stripe",
            "packages": {"plus": {"amount": "50", "bonus": "5%"}},
            "fee": {},
            "methods": {"bank": {"fee": {"percent": "1%"}, "stripe": ["us_bank_account"]}},
            "stripe": {
                "secret_key": "${STRIPE_SECRET_KEY}",
                "webhook_secret": "${STRIPE_WEBHOOK_SECRET}",
                "success_url": "https://console.example/paid",
                "base_url": stripe.url,
            },
        },
    }
    secrets = {"STRIPE_SECRET_KEY": SECRET_KEY, "STRIPE_WEBHOOK_SECRET": WEBHOOK_SECRET}
    with running(config, folder, **secrets) as started:
        yield started


def asked(account: Account, key: str = "k", **body: object) -> tuple[int, dict[str, Any]]:
    """A top-up, asked for by the account."""
    headers = {"Idempotency-Key": key}
    status, _, answer = account.api.ask("POST", "/v1/billing/top_ups", body or {"package": "plus"}, headers)
    return status, answer


def shown(account: Account, top_up: dict[str, Any]) -> dict[str, Any]:
    answer: dict[str, Any] = account.api.get(f"/v1/billing/top_ups/{top_up['id']}")
    return answer


def charge(top_up: dict[str, Any], payment: str, refunded: int) -> dict[str, Any]:
    names = {"farebox_account": top_up["account_id"], "farebox_top_up": top_up["id"]}
    return {"payment_intent": payment, "amount_refunded": refunded, "currency": "usd", "metadata": names}


def test_a_top_up_is_paid_on_a_page_and_credited_by_the_webhook(server: Server, stripe: FakeStripe) -> None:
    """The page is for the price, under keys that make a repeat harmless; two notices of it credit once."""
    account = server.account("")
    status, top_up = asked(account)
    assert (status, top_up["state"], top_up["url"]) == (201, "pending", stripe.sessions[top_up["id"]]["url"])
    assert asked(account)[1] == top_up
    path, form, headers = stripe.requests[-1]
    assert (path, headers["idempotency-key"]) == ("/v1/checkout/sessions", top_up["id"])
    assert form["line_items[0][price_data][unit_amount]"] == "5000"
    assert account.nano("balance") == 0
    session = stripe.paid(top_up["id"])
    assert send(server.url, event("checkout.session.completed", session))[0] == 200
    assert account.nano("balance") == FIFTY
    intent = stripe.sessions[top_up["id"]]["intent"] | {"amount_received": 5_000, "currency": "usd"}
    assert send(server.url, event("payment_intent.succeeded", intent))[0] == 200
    after = shown(account, top_up)
    assert (after["state"], after["reference"], after["url"]) == ("succeeded", intent["id"], None)
    assert account.nano("balance") == FIFTY


def test_a_method_is_paid_by_the_means_that_it_stands_for(server: Server, stripe: FakeStripe) -> None:
    """With its fee, and by no other means; who names no method may pay by any."""
    account = server.account("")
    for body, cents, means in (({}, "5000", None), ({"method": "bank"}, "5050", "us_bank_account")):
        status, top_up = asked(account, key=f"by-{means}", package="plus", **body)
        assert (status, top_up["method"]) == (201, body.get("method"))
        _, form, _ = stripe.requests[-1]
        assert form["line_items[0][price_data][unit_amount]"] == cents
        assert form.get("payment_method_types[0]") == means


def test_notices_that_race_credit_once(server: Server, stripe: FakeStripe) -> None:
    account = server.account("")
    top_up = asked(account)[1]
    notice = event("checkout.session.completed", stripe.paid(top_up["id"]))
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: send(server.url, notice), range(16)))
    assert {status for status, _ in answers} == {200}
    assert account.nano("balance") == FIFTY


def test_what_is_not_signed_by_stripe_is_refused(server: Server, stripe: FakeStripe) -> None:
    """Another secret, an old signature, another body, none: nothing is credited, and no secret is told."""
    account = server.account("")
    top_up = asked(account)[1]
    notice = event("checkout.session.completed", stripe.paid(top_up["id"]))
    for signed in (
        signature(notice, "whsec_of_somebody_else"),
        signature(notice, at=time.time() - 301),
        signature(notice + b" "),
        "t=1,v1=00",
        "t=1,v1=\u00e9",
        "nonsense",
    ):
        status, answer = send(server.url, notice, signed)
        assert (status, answer["error"]["code"]) == (400, "signature_invalid"), signed
        assert "whsec" not in str(answer)
    large = event("charge.updated", {"filler": "x" * 300_000})
    assert send(server.url, large)[0] == 413
    assert account.nano("balance") == 0


def test_slow_strangers_keep_no_notice_out(server: Server, stripe: FakeStripe) -> None:
    """Whoever has been sending a body for longest makes room for the next, at once."""
    account = server.account("")
    top_up = asked(account)[1]
    notice = event("checkout.session.completed", stripe.paid(top_up["id"]))
    host, port = urlsplit(server.url).hostname, urlsplit(server.url).port
    head = b"POST /v1/webhooks/stripe HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{"
    with ExitStack() as strangers:
        for _ in range(AT_ONCE + 6):
            strangers.enter_context(socket.create_connection((host, port))).sendall(head)
        started = time.monotonic()
        assert send(server.url, notice)[0] == 200
        assert time.monotonic() - started < SECONDS / 2
    assert account.nano("balance") == FIFTY


def test_what_means_nothing_here_is_taken_and_let_go(server: Server) -> None:
    """Other events, other people's payments, and objects of another shape."""
    for type_, thing in (
        ("customer.created", {"id": "cus_1"}),
        ("checkout.session.completed", {"id": "cs_other", "payment_status": "paid", "amount_total": 5_000}),
        ("payment_intent.succeeded", {"id": "pi_other", "metadata": {"farebox_top_up": "topup_none"}}),
        ("charge.refunded", {"payment_intent": "pi_unknown", "amount_refunded": 100, "currency": "usd"}),
        ("charge.refunded", {"payment_intent": {"id": "pi_expanded"}}),
    ):
        assert send(server.url, event(type_, thing)) == (200, {"used": False, "received": True})
    assert send(server.url, b"[]") == (200, {"used": False, "received": True})


def test_another_amount_or_currency_credits_nothing(server: Server, stripe: FakeStripe) -> None:
    account = server.account("")
    top_up = asked(account)[1]
    session = stripe.paid(top_up["id"])
    for wrong in ({"amount_total": 4_999}, {"currency": "eur"}):
        assert send(server.url, event("checkout.session.completed", session | wrong))[0] == 200
    assert (shown(account, top_up)["state"], account.nano("balance")) == ("pending", 0)


def test_a_page_that_expires_closes_its_top_up_and_what_is_paid_late_is_credited(
    server: Server, stripe: FakeStripe
) -> None:
    """In whatever order it is told of."""
    account = server.account("")
    top_up = asked(account)[1]
    session = stripe.sessions[top_up["id"]]
    pending = {name: session[name] for name in ("id", "metadata", "payment_status")}
    assert send(server.url, event("checkout.session.completed", pending))[0] == 200
    assert shown(account, top_up)["state"] == "pending"
    assert send(server.url, event("checkout.session.expired", pending))[0] == 200
    assert shown(account, top_up)["state"] == "expired"
    paid = stripe.paid(top_up["id"])
    assert send(server.url, event("checkout.session.async_payment_succeeded", paid))[0] == 200
    assert send(server.url, event("checkout.session.async_payment_failed", pending))[0] == 200
    assert (shown(account, top_up)["state"], account.nano("balance")) == ("succeeded", FIFTY)


def test_a_refund_by_the_operator_is_paid_back_by_stripe_once(server: Server, stripe: FakeStripe) -> None:
    """Its webhook finds it done; one on Stripe's side takes the rest."""
    account = server.account("")
    top_up = asked(account)[1]
    session = stripe.paid(top_up["id"])
    send(server.url, event("checkout.session.completed", session))
    path = f"/admin/v1/accounts/{account.id}/top_ups/{top_up['id']}/refunds"
    body, headers = {"amount": "20", "reason": "sent back"}, {"Idempotency-Key": "r1"}
    stripe.down = 9
    status, _, answer = server.admin.ask("POST", path, body, headers)
    assert (status, answer["error"]["code"]) == (503, "payments_unavailable")
    stripe.down = 0
    for _ in range(2):
        assert server.admin.ask("POST", path, body, headers)[0] == 201
    assert [form["amount"] for form in stripe.refunds] == ["2000"]
    assert account.nano("balance") == 30_000_000_000
    for refunded, left in ((2_000, 30_000_000_000), (3_000, 20_000_000_000), (2_500, 20_000_000_000)):
        notice = event("charge.refunded", charge(top_up, session["payment_intent"], refunded))
        assert send(server.url, notice)[0] == 200
        assert account.nano("balance") == left


def test_a_dispute_takes_what_is_unused_and_the_rest_is_owed(server: Server, stripe: FakeStripe) -> None:
    """An inquiry takes nothing; the next payment repays what is owed."""
    account = server.account("")
    top_up = asked(account)[1]
    session = stripe.paid(top_up["id"])
    send(server.url, event("checkout.session.completed", session))
    path, headers = f"/admin/v1/accounts/{account.id}/adjustments", {"Idempotency-Key": "a1"}
    server.admin.ask("POST", path, {"amount": "-30", "reason": "calls"}, headers)
    dispute = {"payment_intent": session["payment_intent"], "amount": 5_000, "currency": "usd"}
    send(server.url, event("charge.dispute.created", dispute | {"status": "warning_needs_response"}))
    assert account.nano("balance") == 22_500_000_000
    for type_ in ("charge.dispute.created", "charge.dispute.funds_withdrawn"):
        send(server.url, event(type_, dispute | {"status": "needs_response"}))
    assert (account.nano("balance"), account.nano("debt")) == (0, 30_000_000_000)
    assert shown(account, top_up)["owed"] == "30.00"
    again = asked(account, "k2")[1]
    send(server.url, event("checkout.session.completed", stripe.paid(again["id"])))
    assert (account.nano("balance"), account.nano("debt")) == (22_500_000_000, 0)


def test_a_refund_that_is_told_of_before_the_payment_is_told_of_again(
    server: Server, stripe: FakeStripe
) -> None:
    account = server.account("")
    top_up = asked(account)[1]
    session = stripe.paid(top_up["id"])
    refunded = event("charge.refunded", charge(top_up, session["payment_intent"], 5_000))
    assert send(server.url, refunded)[0] == 409
    send(server.url, event("checkout.session.completed", session))
    assert send(server.url, refunded)[0] == 200
    assert account.nano("balance") == 0


def test_funds_that_are_low_are_topped_up_by_the_card_that_was_saved(
    server: Server, stripe: FakeStripe
) -> None:
    """It is credited by the webhook alone; one is in flight at a time, and a declined one is closed."""
    account = server.account("")
    rule = {"enabled": True, "threshold": "60", "amount": "50"}
    path = "/v1/billing/auto_top_up"
    assert account.api.ask("PUT", path, rule)[0] == 409
    top_up = asked(account, package="plus", save_method=True)[1]
    assert stripe.requests[-1][1]["payment_intent_data[setup_future_usage]"] == "off_session"
    stripe.paid(top_up["id"])
    saved = {"setup_future_usage": "off_session", "customer": "cus_1", "payment_method": "pm_1"}
    intent = stripe.sessions[top_up["id"]]["intent"] | {"amount_received": 5_000, "currency": "usd"}
    send(server.url, event("payment_intent.succeeded", intent | saved))
    assert account.nano("balance") == FIFTY
    assert account.api.ask("PUT", path, rule)[2]["method_saved"] is True
    eventually(lambda: len(stripe.charges) == 1)
    (charge,) = stripe.charges
    assert charge["metadata"]["farebox_account"] == account.id
    newest = account.api.get("/v1/billing/top_ups")["data"][0]
    assert (newest["origin"], newest["state"], newest["bonus"]) == ("automatic", "pending", "2.50")
    assert account.nano("balance") == FIFTY
    for _ in range(2):
        assert send(server.url, event("payment_intent.succeeded", charge))[0] == 200
    assert account.nano("balance") == 2 * FIFTY
    assert len(stripe.charges) == 1
    account.api.ask("PUT", path, {"enabled": False})


def test_a_card_that_is_declined_closes_the_top_up(server: Server, stripe: FakeStripe) -> None:
    """And nothing is tried again for an hour."""
    account = server.account("")
    top_up = asked(account, package="plus", save_method=True)[1]
    saved = {"setup_future_usage": "off_session", "customer": "cus_1", "payment_method": "pm_2"}
    intent = stripe.sessions[top_up["id"]]["intent"] | {"amount_received": 5_000, "currency": "usd"}
    send(server.url, event("payment_intent.succeeded", intent | saved))
    account.api.ask("PUT", "/v1/billing/auto_top_up", {"enabled": True, "threshold": "60", "target": "100"})
    eventually(lambda: len(account.api.get("/v1/billing/top_ups?state=failed")["data"]) == 1)
    (failed,) = account.api.get("/v1/billing/top_ups?state=failed")["data"]
    assert (failed["amount"], failed["reason"]) == ("47.50", "The payment was declined: card_declined.")
    assert account.nano("balance") == FIFTY


def test_while_stripe_is_away_nothing_is_lost(server: Server, stripe: FakeStripe) -> None:
    """The top-up stays pending without a page, and the same key gets it one."""
    account = server.account("")
    stripe.down = 9
    status, answer = asked(account)
    assert (status, answer["error"]["code"]) == (503, "payments_unavailable")
    assert SECRET_KEY not in str(answer)
    stripe.down = 0
    status, top_up = asked(account)
    assert (status, top_up["state"], top_up["url"] is not None) == (201, "pending", True)
    assert len(account.api.get("/v1/billing/top_ups")["data"]) == 1


def test_no_secret_is_logged(server: Server, stripe: FakeStripe) -> None:
    account = server.account("")
    top_up = asked(account)[1]
    session = stripe.paid(top_up["id"])
    send(server.url, event("checkout.session.completed", session))
    send(server.url, event("charge.refunded", charge(top_up, session["payment_intent"], 5_000)))
    stripe.down = 9
    asked(account, "k2")
    stripe.down = 0
    log = server.log_text()
    assert "payment lost" in log
    assert SECRET_KEY not in log
    assert WEBHOOK_SECRET not in log
