"""Authentication: the admin by the admin key, an account by any of its keys; and new secrets."""

import hmac
import secrets
from collections.abc import Mapping
from typing import Final

from aiohttp import hdrs, web
from msgspec import Struct
from multidict import istr

from proxy.clock import Clock
from proxy.edge.middleware import FACTS
from proxy.errors import Refusal
from proxy.ids import digest_of
from proxy.ledger.rows import Caller, Key
from proxy.ledger.store import Store

API_KEY_HEADER: Final = istr("x-api-key")
SECRET_PREFIX: Final = "sk-fbx-"  # noqa: S105 - every secret begins with this, and it is not one itself.
_SECRET_BYTES: Final = 32
_HINT_LENGTH: Final = 4


class Secret(Struct, frozen=True):
    """A new key's secret. `text` is shown once and not stored; `digest` and `hint` are stored."""

    text: str
    digest: str
    hint: str

    def __repr__(self) -> str:
        return f"Secret(hint={self.hint!r})"


def new_secret() -> Secret:
    """Make a secret: the prefix, and 256 random bits as 43 characters that are safe in a URL."""
    text = SECRET_PREFIX + secrets.token_urlsafe(_SECRET_BYTES)
    return Secret(text, digest_of(text), text[-_HINT_LENGTH:])


def bearer_of(headers: Mapping[str, str]) -> str | None:
    """The secret in a request's headers, or None; see `secret_in`."""
    return secret_in(headers.get(hdrs.AUTHORIZATION, ""), headers.get(API_KEY_HEADER, ""))


def secret_in(authorization: str, api_key: str) -> str | None:
    """The secret in `Authorization: Bearer`, else in `x-api-key`, which Anthropic's clients send; or None."""
    scheme, _, secret = authorization.partition(" ")
    if scheme.lower() == "bearer" and (secret := secret.strip()):
        return secret
    return api_key.strip() or None


def bearer(request: web.Request) -> str:
    """The key in `Authorization: Bearer ...`. Raises Refusal `missing_api_key`."""
    key = bearer_of(request.headers)
    if key is None:
        raise Refusal(
            "missing_api_key",
            "No key was sent: send it as `Authorization: Bearer <key>`.",
            headers={hdrs.WWW_AUTHENTICATE: "Bearer"},
        )
    return key


def require_admin(request: web.Request, admin_key: str) -> None:
    """Let only the admin key pass. Raises Refusal `missing_api_key`, `invalid_api_key`.

    Digests are compared, in constant time, so the time reveals neither the length nor a common beginning.
    Nobody passes if no admin key is configured.
    """
    same = hmac.compare_digest(digest_of(bearer(request)), digest_of(admin_key))
    if not (same and admin_key):
        raise Refusal("invalid_api_key", "The admin API is for the admin key, and this is not it.")


def require_billing(key: Key) -> None:
    """Let only keys pass that may decide about their account's money. Raises Refusal `billing_denied`."""
    if not key.manages_billing:
        raise Refusal(
            "billing_denied",
            f"The key ending in {key.hint} may not decide about its account's money. "
            "The operator can let it: a key with limits of its own may only if that is said.",
        )


async def account_or_admin(request: web.Request, *, store: Store, clock: Clock, admin_key: str) -> Key | None:
    """As `account_key`, or None for the admin key, which sees all accounts."""
    if admin_key and hmac.compare_digest(digest_of(bearer(request)), digest_of(admin_key)):
        return None
    return await account_key(request, store=store, clock=clock)


async def account_key(request: web.Request, *, store: Store, clock: Clock) -> Key:
    """As `account_caller`, the key alone."""
    return (await account_caller(request, store=store, clock=clock)).key


async def account_caller(request: web.Request, *, store: Store, clock: Clock) -> Caller:
    """The account's key in a request, active and not expired. A suspended account may still read its books.

    Raises Refusal `missing_api_key`, `invalid_api_key`, `api_key_disabled`, `api_key_expired`.
    """
    caller = await store.caller_by_digest(digest_of(bearer(request)))
    if caller is None:
        raise Refusal("invalid_api_key", "The key is unknown.")
    key = caller.key
    request[FACTS] = {"account_id": key.account_id, "key_id": key.id}
    if key.status != "active":
        raise Refusal("api_key_disabled", f"The key ending in {key.hint} has been disabled.")
    if key.expires_at_us <= clock.now_us():
        raise Refusal("api_key_expired", f"The key ending in {key.hint} has expired.")
    return caller
