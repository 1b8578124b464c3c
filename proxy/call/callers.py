"""Callers: the key behind a secret, and what is refused before a body is waited for."""

from collections import OrderedDict
from typing import Final

from msgspec.structs import replace

from proxy.clock import Clock
from proxy.errors import Refusal
from proxy.ids import digest_of
from proxy.ledger.commands import Refused
from proxy.ledger.refusals import refusal
from proxy.ledger.rows import NEVER_US, Caller, Key
from proxy.ledger.rules.throttles import RETRY_US
from proxy.ledger.store import Row, Store
from proxy.ledger.windows import iso
from proxy.money import usd_string

REMEMBERED_KEYS: Final = 10_000
REMEMBER_US: Final = 5_000_000
_UNKNOWN: Final = (None, 0)


class Callers:
    """Finds the keys of callers, and remembers them for some seconds."""

    def __init__(self, *, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._known: OrderedDict[str, tuple[Caller, int]] = OrderedDict()

    def known(self, secret: str | None) -> Caller | None:
        """The caller with this secret if it is remembered.

        It may be some seconds out of date. Authorize checks key and group again, in the database.
        """
        caller, known_until_us = self._known.get(digest_of(secret), _UNKNOWN) if secret else _UNKNOWN
        if caller is None or self._clock.monotonic_us() >= known_until_us:
            return None
        key = caller.key
        return None if key.expires_at_us < NEVER_US and self._has_expired(key) else caller

    async def identify(self, secret: str | None) -> Caller:
        """The caller with this secret, as it is stored. Raises Refusal 401."""
        if not secret:
            raise Refusal(
                "missing_api_key",
                "Send your key as `Authorization: Bearer sk-fbx-...`.",
                headers={"WWW-Authenticate": "Bearer"},
            )
        digest = digest_of(secret)
        passed_us = self._clock.monotonic_us()
        caller = await self._read(digest)
        self._known[digest] = (caller, passed_us + REMEMBER_US)
        if len(self._known) > REMEMBERED_KEYS:
            self._known.popitem(last=False)
        return caller

    def count_users(self, secret: str | None) -> None:
        """Note that calls of this caller have to count to their end users, while it is remembered."""
        digest = digest_of(secret) if secret else ""
        if digest in self._known:
            caller, known_until_us = self._known[digest]
            self._known[digest] = (replace(caller, counts_users=True), known_until_us)

    def _has_expired(self, key: Key) -> bool:
        return key.expires_at_us <= self._clock.now_us()

    async def screen(self, secret: str, *, costs: bool) -> None:
        """Refuse a caller whose call cannot be let through, whatever its body says.

        It looks at the database as it is now, and asks for funds if the call `costs`. What passes is still
        the ledger's to decide. Raises Refusal 401 or 402.
        """
        key = (await self._read(digest_of(secret))).key
        await screen_account(self._store, key.account_id, costs=costs)

    async def _read(self, digest: str) -> Caller:
        """The caller as it is stored, if its key may be used now. Raises Refusal 401."""
        caller = await self._store.caller_by_digest(digest)
        if caller is None:
            self._known.pop(digest, None)
            raise Refusal("invalid_api_key", "This key is not known here. Keys begin with `sk-fbx-`.")
        key = caller.key
        if key.status != "active":
            raise Refusal("api_key_disabled", f"The key ending in {key.hint} has been disabled.")
        if self._has_expired(key):
            raise Refusal(
                "api_key_expired", f"The key ending in {key.hint} expired at {iso(key.expires_at_us)}."
            )
        return caller


async def screen_account(store: Store, account_id: str, *, costs: bool) -> None:
    """Refuse whom `Callers.screen` does, for the sake of the account. Raises Refusal 402."""
    rows = await store.query("account_by_id", {"account_id": account_id})
    refused = _barred(rows[0], costs=costs) if rows else None
    if refused is not None:
        raise refusal(refused)


def _barred(account: Row, *, costs: bool) -> Refused | None:
    """Why no call of this account can be let through now, or None."""
    if account["status"] != "active":
        return Refused("account_suspended", "The account is suspended.")
    available_nano, held_nano = account["available_nano"], account["held_nano"]
    assert isinstance(available_nano, int)
    assert isinstance(held_nano, int)
    if not costs or available_nano > 0:
        return None
    held = f"{usd_string(held_nano)} USD are held for calls in flight"
    if available_nano + held_nano > 0:
        return Refused(
            "in_flight_budget_exhausted",
            f"Of the balance nothing is left: {held}. The call may fit when one of them ends.",
            limit_source="balance",
            held_nano=held_nano,
            available_nano=0,
            retry_after_us=RETRY_US,
        )
    return Refused(
        "credit_balance_exhausted",
        f"The balance is used up, {held}. Add credit to go on.",
        limit_source="balance",
        held_nano=held_nano,
        available_nano=0,
    )
