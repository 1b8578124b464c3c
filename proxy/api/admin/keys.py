"""The admin API's keys."""

import asyncio
from typing import Final

from aiohttp import web
from msgspec import UNSET

from proxy.api.admin.bodies import KeyChange, NewKey, future_us, given, limits_change, limits_over
from proxy.api.operations import ADMIN, ApiSettings, Binder, Commands, Incoming, Nothing, Operation
from proxy.api.paging import Page, PageQuery, page_of, place_of
from proxy.api.reader import Reader
from proxy.api.views.accounts import KeyView, NewKeyView, key_view
from proxy.clock import Clock
from proxy.edge.auth import new_secret
from proxy.ids import new_id
from proxy.ledger.commands import ChangeKey, CreateKey
from proxy.ledger.rows import UNLIMITED

CREATE_KEY: Final = Operation(
    id="create_key",
    method="POST",
    path=f"{ADMIN}/accounts/{{account_id}}/keys",
    summary="Create a key. Its secret is in this answer and never again.",
    audience="admin",
    reply=NewKeyView,
    query=Nothing,
    body=NewKey,
    status=201,
)
LIST_KEYS: Final = Operation(
    id="list_keys",
    method="GET",
    path=f"{ADMIN}/accounts/{{account_id}}/keys",
    summary="List an account's keys, the newest first.",
    audience="admin",
    reply=Page[KeyView],
    query=PageQuery,
    body=Nothing,
)
SHOW_KEY: Final = Operation(
    id="show_key",
    method="GET",
    path=f"{ADMIN}/keys/{{key_id}}",
    summary="Show one key, with what is spent of its limits.",
    audience="admin",
    reply=KeyView,
    query=Nothing,
    body=Nothing,
)
CHANGE_KEY: Final = Operation(
    id="change_key",
    method="PATCH",
    path=f"{ADMIN}/keys/{{key_id}}",
    summary="Change a key's name, status, expiry, models, limits or billing.",
    audience="admin",
    reply=KeyView,
    query=Nothing,
    body=KeyChange,
)

OPERATIONS: Final = (CREATE_KEY, LIST_KEYS, SHOW_KEY, CHANGE_KEY)


class Keys:
    """Creates, shows and changes keys. Changes are made one at a time, like those of accounts."""

    def __init__(self, *, ledger: Commands, reader: Reader, clock: Clock) -> None:
        self._ledger = ledger
        self._reader = reader
        self._clock = clock
        self._changing = asyncio.Lock()

    def routes(self, bind: Binder[None]) -> list[web.RouteDef]:
        """A route for each operation."""
        return [
            bind(CREATE_KEY, self.create_key),
            bind(LIST_KEYS, self.list_keys),
            bind(SHOW_KEY, self.show_key),
            bind(CHANGE_KEY, self.change_key),
        ]

    async def create_key(self, incoming: Incoming[None, Nothing, NewKey]) -> NewKeyView:
        """Create a key. Raises Refusal `not_found` for an unknown account."""
        body, unit, now_us = incoming.body, incoming.settings.unit, self._clock.now_us()
        secret, key_id = new_secret(), new_id("key", now_us)
        await self._ledger.command(
            CreateKey(
                incoming.path["account_id"],
                key_id,
                body.name,
                secret.digest,
                secret.hint,
                now_us,
                expires_at_us=future_us("expires_at", body.expires_at, now_us),
                models=tuple(body.models),
                limits=limits_over(UNLIMITED, body.limits, unit, body.end_users),
                billing=body.billing or "",
            )
        )
        seen = await self._key(key_id, incoming.settings)
        members = {name: getattr(seen, name) for name in KeyView.__struct_fields__}
        return NewKeyView(secret=secret.text, **members)

    async def list_keys(self, incoming: Incoming[None, PageQuery, Nothing]) -> Page[KeyView]:
        """A page of an account's keys. Raises Refusal `not_found` for an unknown account."""
        query, unit, now_us = incoming.query, incoming.settings.unit, self._clock.now_us()
        account = await self._reader.account(incoming.path["account_id"])
        rows = await self._reader.keys(account.id, before=place_of(query, str), limit=query.limit + 1)
        buckets = {row.id: await self._reader.spending(row, now_us) for row in rows}
        return page_of(
            rows, query.limit, lambda row: key_view(row, buckets[row.id], unit), lambda row: row.id
        )

    async def show_key(self, incoming: Incoming[None, Nothing, Nothing]) -> KeyView:
        """One key. Raises Refusal `not_found`."""
        return await self._key(incoming.path["key_id"], incoming.settings)

    async def change_key(self, incoming: Incoming[None, Nothing, KeyChange]) -> KeyView:
        """Change a key. Raises Refusal `not_found`."""
        body, unit, now_us = incoming.body, incoming.settings.unit, self._clock.now_us()
        async with self._changing:
            key = await self._reader.key(incoming.path["key_id"])
            expires_at = body.expires_at
            await self._ledger.command(
                ChangeKey(
                    key.account_id,
                    key.id,
                    now_us,
                    name=given(body.name),
                    status=given(body.status),
                    expires_at_us=None
                    if expires_at is UNSET
                    else future_us("expires_at", expires_at, now_us),
                    models=None if body.models is UNSET else tuple(body.models),
                    limits=limits_change(key.limits, body.limits, unit, body.end_users),
                    billing=None if body.billing is UNSET else body.billing or "",
                )
            )
        return await self._key(key.id, incoming.settings)

    async def _key(self, key_id: str, settings: ApiSettings) -> KeyView:
        key = await self._reader.key(key_id)
        return key_view(key, await self._reader.spending(key, self._clock.now_us()), settings.unit)
