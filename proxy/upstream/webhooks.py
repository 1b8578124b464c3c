"""Webhooks: where events are sent, and how one is sent so that its receiver can tell whom it is from."""

import errno
import ipaddress
import socket
from collections.abc import Iterable
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Final, Protocol

import msgspec
from aiohttp import (
    AddrInfoType,
    ClientError,
    ClientSession,
    ClientTimeout,
    DummyCookieJar,
    TCPConnector,
    ThreadedResolver,
)
from standardwebhooks import Webhook
from yarl import URL

OK: Final = range(200, 300)
NOT_PUBLIC: Final = "its address is not public"
TRANSLATED: Final = tuple(
    map(ipaddress.ip_network, ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32"))
)
"""IPv6 addresses that lead to an IPv4 address, which may be any."""


class Endpoint(msgspec.Struct, frozen=True):
    """A receiver of events whose types and accounts match globs. `secret` signs what it is sent.

    So does `old_secret`, where one has been replaced a while ago.
    """

    name: str
    url: str
    secret: str
    types: tuple[str, ...] = ("*",)
    accounts: tuple[str, ...] = ("*",)
    old_secret: str = ""

    def wants(self, type_: str, account_id: str) -> bool:
        """Whether it is told of events of a type and account."""
        return matches(type_, self.types) and matches(account_id, self.accounts)

    def __repr__(self) -> str:
        return f"Endpoint({self.name!r})"


class Webhooks(msgspec.Struct, frozen=True):
    """All endpoints by name, and how they are told.

    Each event is tried so many `attempts`, for `answer_seconds` each. Addresses that are not public are
    refused unless `allow_private`. With `accounts_secret`, from which the secrets of these follow, an account
    may have `accounts_most` receivers of its own.
    """

    endpoints: dict[str, Endpoint] = {}
    attempts: int = 15
    answer_seconds: float = 10.0
    keep_days: int = 90
    allow_private: bool = False
    allow_http: bool = False
    accounts_most: int = 0
    accounts_secret: str = ""

    def __repr__(self) -> str:
        return f"Webhooks({sorted(self.endpoints)!r})"


class Message(msgspec.Struct, frozen=True):
    """What is sent: the JSON of an event under its id, which is the same each time."""

    id: str
    body: str
    sent_at_us: int


class Sent(msgspec.Struct, frozen=True):
    """What came of it: the status of the answer, 0 without one, and why it was no success; or nothing."""

    status: int
    reason: str = ""


class Sender(Protocol):
    """What sends messages."""

    async def send(self, endpoint: Endpoint, message: Message, webhooks: Webhooks) -> Sent:
        """Send a message once. It raises nothing but what cancels it."""
        ...


class HttpSender:
    """Sends messages by HTTP. It follows no redirect, keeps no cookie, and reads no more than a status.

    Addresses are looked at as they are connected to, so that no name can lead elsewhere in between.
    """

    async def send(self, endpoint: Endpoint, message: Message, webhooks: Webhooks) -> Sent:
        """Send a message once."""
        try:
            async with self._session(allow_private=webhooks.allow_private) as session:
                return await self._posted(session, endpoint, message, webhooks.answer_seconds)
        except TimeoutError:
            return Sent(0, f"no answer within {webhooks.answer_seconds:g} seconds")
        except (ClientError, OSError, ValueError) as error:
            return Sent(0, _reason(error))

    async def _posted(
        self, session: ClientSession, endpoint: Endpoint, message: Message, answer_seconds: float
    ) -> Sent:
        async with session.post(
            endpoint.url,
            data=message.body.encode(),
            headers=signed_headers(endpoint, message),
            allow_redirects=False,
            timeout=ClientTimeout(total=answer_seconds),
        ) as answer:
            answer.close()
            return Sent(answer.status, "" if answer.status in OK else f"it answered {answer.status}")

    def _session(self, *, allow_private: bool) -> ClientSession:
        connector = TCPConnector(
            resolver=ThreadedResolver(),
            use_dns_cache=False,
            force_close=True,
            socket_factory=None if allow_private else public_socket,
        )
        return ClientSession(connector=connector, cookie_jar=DummyCookieJar(), trust_env=False)


def public_socket(address: AddrInfoType) -> socket.socket:
    """A socket to connect to an address with. Raises OSError for one that is not public."""
    family, kind, protocol, _, place = address
    if not is_public(str(place[0])):
        raise OSError(errno.EACCES, NOT_PUBLIC)
    return socket.socket(family, kind, protocol)


def signed_headers(endpoint: Endpoint, message: Message) -> dict[str, str]:
    """The headers of a message, as Standard Webhooks has them."""
    seconds = message.sent_at_us // 1_000_000
    sent_at = datetime.fromtimestamp(seconds, UTC)
    return {
        "content-type": "application/json",
        "user-agent": "farebox",
        "webhook-id": message.id,
        "webhook-timestamp": str(seconds),
        "webhook-signature": " ".join(
            Webhook(secret).sign(message.id, sent_at, message.body)
            for secret in (endpoint.secret, endpoint.old_secret)
            if secret
        ),
    }


def is_public(address: str) -> bool:
    """Whether an address is one of the public internet, whatever it is written or translated as."""
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            found = found.ipv4_mapped
        elif any(found in network for network in TRANSLATED):
            return False
    return found.is_global and not found.is_multicast


def url_fault(text: str, *, allow_http: bool) -> str:
    """What is wrong with the URL of a receiver of events; empty for nothing."""
    schemes = ("https", "http") if allow_http else ("https",)
    try:
        url = URL(text)
    except ValueError:
        return "is no URL"
    if url.scheme not in schemes or not url.host:
        return "must be an https:// URL" if not allow_http else "must be an https:// or http:// URL"
    if url.user is not None or url.password is not None or url.fragment:
        return "must have neither a user, a password nor a fragment"
    return ""


def names_private_address(text: str) -> bool:
    """Whether a URL says itself that it leads to an address that is not public. A name is looked up later."""
    host = URL(text).host or ""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost" or host.endswith((".localhost", ".local", ".internal"))
    return not is_public(host)


def matches(name: str, globs: Iterable[str]) -> bool:
    """Whether a name matches one of some globs."""
    return any(fnmatchcase(name, glob) for glob in globs)


def _reason(error: Exception) -> str:
    """Why there was no answer, without anything that the other side has said."""
    if NOT_PUBLIC in str(error):
        return NOT_PUBLIC
    return f"no connection: {type(error).__name__}"
