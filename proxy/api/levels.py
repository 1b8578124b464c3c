"""What accounts use over time: how much there is, and until when it is charged."""

from fractions import Fraction
from typing import Final, Literal

from aiohttp import web
from msgspec import Struct

from proxy.api.operations import ADMIN, BILLING, Binder, Incoming, Nothing, Operation
from proxy.api.paging import Page, PageQuery, page_of, place_of
from proxy.api.reader import Reader
from proxy.api.views.money import When, instant
from proxy.billing.levels import level_of
from proxy.ledger.level_rows import UNIT, Level, LevelState
from proxy.ledger.rows import Key
from proxy.ledger.store import Store
from proxy.money import decimal_string

_BETWEEN: Final = "\n"
"""Between type and name in a cursor. No type has it."""


class ToldView(Struct, frozen=True, kw_only=True):
    """How much there is from a moment on."""

    at: When
    level: str


class LevelView(Struct, frozen=True, kw_only=True):
    """A thing that is charged over time: `type` is that of the events that tell of it, `thing` its name.

    `level` is how much there is, as they told of the latest moment. It is charged until `charged_until`, null
    while nothing is; `told` is what counts from then on. It is `stopped` where funds have ended it.
    """

    object: Literal["level"] = "level"
    account_id: str
    type: str
    thing: str
    state: LevelState
    level: str
    began_at: When
    charged_until: When | None
    told: list[ToldView]


LEVELS: Final = Operation(
    id="billing_levels",
    method="GET",
    path=f"{BILLING}/levels",
    summary="What the account uses over time: how much there is, and until when that is charged.",
    audience="account",
    reply=Page[LevelView],
    query=PageQuery,
    body=Nothing,
)
LIST_LEVELS: Final = Operation(
    id="list_levels",
    method="GET",
    path=f"{ADMIN}/accounts/{{account_id}}/levels",
    summary="List what an account uses over time: how much there is, and until when that is charged.",
    audience="admin",
    reply=Page[LevelView],
    query=PageQuery,
    body=Nothing,
)


class Levels:
    """Shows an account its own levels only, and the admin any account's."""

    def __init__(self, *, reader: Reader, store: Store) -> None:
        self._reader = reader
        self._store = store

    def routes(self, bind: Binder[Key]) -> list[web.RouteDef]:
        """The route of accounts."""
        return [bind(LEVELS, self.levels)]

    def admin_routes(self, bind: Binder[None]) -> list[web.RouteDef]:
        """The route of the admin."""
        return [bind(LIST_LEVELS, self.list_levels)]

    async def levels(self, incoming: Incoming[Key, PageQuery, Nothing]) -> Page[LevelView]:
        """A page of the account's."""
        return await self._page(incoming.caller.account_id, incoming.query)

    async def list_levels(self, incoming: Incoming[None, PageQuery, Nothing]) -> Page[LevelView]:
        """A page of an account's. Raises Refusal `not_found`."""
        account = await self._reader.account(incoming.path["account_id"])
        return await self._page(account.id, incoming.query)

    async def _page(self, account_id: str, query: PageQuery) -> Page[LevelView]:
        type_, _, thing = (place_of(query, str) or "").partition(_BETWEEN)
        after = {"account_id": account_id, "type": type_, "thing": thing, "limit": query.limit + 1}
        rows = list(map(level_of, await self._store.query("levels_page", after)))
        return page_of(rows, query.limit, level_view, lambda row: f"{row.type}{_BETWEEN}{row.thing}")


def level_view(level: Level) -> LevelView:
    """The view of a level."""
    return LevelView(
        account_id=level.account_id,
        type=level.type,
        thing=level.thing,
        state=level.state,
        level=_shown(level.now),
        began_at=instant(level.began_us),
        charged_until=instant(level.charged_us) if level.charged_us else None,
        told=[ToldView(at=instant(each.at_us), level=_shown(each.level)) for each in level.told],
    )


def _shown(level: int) -> str:
    return decimal_string(Fraction(level, UNIT))
