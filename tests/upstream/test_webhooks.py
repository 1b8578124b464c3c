"""Sending of webhooks: signed so that anybody can verify it, and never to where it must not go."""

import asyncio
import socket
from collections.abc import AsyncIterator
from time import time_ns
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from standardwebhooks import Webhook, WebhookVerificationError

from proxy.upstream.webhooks import Endpoint, HttpSender, Message, Sent, Webhooks, is_public, public_socket

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo="
LOCAL = Webhooks(allow_private=True, answer_seconds=5)


class Receiver:
    """A receiver that remembers what it was sent, and answers as it is told."""

    def __init__(self) -> None:
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self.status = 204
        self.headers: dict[str, str] = {}
        self.wait = 0.0
        self.port = 0

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(({k.lower(): v for k, v in request.headers.items()}, await request.read()))
        if self.wait:
            await asyncio.sleep(self.wait)
        return web.Response(status=self.status, headers=self.headers)

    def endpoint(self, host: str = "127.0.0.1") -> Endpoint:
        return Endpoint("crm", f"http://{host}:{self.port}/hook", SECRET)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    found = Receiver()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", found.answer)
    async with TestServer(app, host="127.0.0.1") as server:
        assert server.port is not None
        found.port = server.port
        yield found


def message(body: str = '{"type":"balance.low"}') -> Message:
    return Message("evt_1", body, time_ns() // 1_000)


async def sent(receiver: Receiver, webhooks: Webhooks = LOCAL, **changes: Any) -> Sent:
    return await HttpSender().send(receiver.endpoint(**changes), message(), webhooks)


async def test_a_message_is_verified_with_the_library_and_not_if_a_byte_differs(receiver: Receiver) -> None:
    assert await sent(receiver) == Sent(204)
    ((headers, body),) = receiver.requests
    assert Webhook(SECRET).verify(body, headers) == {"type": "balance.low"}
    assert (headers["webhook-id"], headers["content-type"]) == ("evt_1", "application/json")
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(body + b" ", headers)
    assert SECRET[6:] not in str(headers)


async def test_a_redirect_is_not_followed_and_no_success(receiver: Receiver) -> None:
    receiver.status, receiver.headers = 302, {"Location": "/elsewhere"}
    assert await sent(receiver) == Sent(302, "it answered 302")
    assert len(receiver.requests) == 1


async def test_a_slow_receiver_is_given_up(receiver: Receiver) -> None:
    receiver.wait = 1.0
    webhooks = Webhooks(allow_private=True, answer_seconds=0.05)
    assert await sent(receiver, webhooks) == Sent(0, "no answer within 0.05 seconds")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0x7f.1", "[::ffff:127.0.0.1]"])
async def test_an_address_that_is_not_public_is_never_connected_to(receiver: Receiver, host: str) -> None:
    """However it is written, and whatever name leads to it: it is looked at as it is connected to."""
    found = await sent(receiver, Webhooks(), host=host)
    assert (found, receiver.requests) == (Sent(0, "its address is not public"), [])


async def test_nobody_there_is_a_reason_without_what_the_system_says() -> None:
    endpoint = Endpoint("crm", "http://127.0.0.1:1/hook?token=secret", SECRET)
    found = await HttpSender().send(endpoint, message(), LOCAL)
    assert (found.status, "secret" in found.reason) == (0, False)
    assert found.reason.startswith("no connection")


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        *((address, True) for address in ("1.1.1.1", "93.184.216.34", "2606:4700:4700::1111")),
        *((address, False) for address in ("10.0.0.1", "192.168.1.1", "172.16.0.1", "127.0.0.1", "0.1.2.3")),
        *((address, False) for address in ("169.254.169.254", "100.64.0.1", "224.0.0.1", "255.255.255.255")),
        *((address, False) for address in ("::1", "fe80::1%eth0", "fc00::1", "::ffff:10.0.0.1", "ff02::1")),
        *((address, False) for address in ("64:ff9b::a00:1", "2002:a00:1::", "2001:0:1::", "::")),
    ],
)
def test_which_addresses_are_public(address: str, expected: bool) -> None:
    assert is_public(address) == expected


def test_a_socket_is_made_for_a_public_address_only() -> None:
    made = public_socket((socket.AF_INET, socket.SOCK_STREAM, 6, "", ("1.1.1.1", 443)))
    made.close()
    with pytest.raises(OSError, match="not public"):
        public_socket((socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.0.0.1", 443)))


def test_an_endpoint_wants_types_and_accounts_by_globs() -> None:
    endpoint = Endpoint("crm", "https://x", SECRET, ("balance.*", "credits.expired"), ("acct_1*",))
    assert endpoint.wants("balance.low", "acct_12")
    assert not endpoint.wants("balance.low", "acct_2")
    assert not endpoint.wants("credits.granted", "acct_12")
    assert SECRET not in repr(endpoint)
