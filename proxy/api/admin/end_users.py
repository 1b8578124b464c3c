"""The admin API's end users: what an account's are counted, and the limits of one of them."""

from typing import Annotated, Final

from aiohttp import web

from proxy.api.admin.bodies import EndUserLimitFields, Fields, end_user_limits_over
from proxy.api.decode import invalid
from proxy.api.operations import ADMIN, Binder, Commands, Incoming, Nothing, Operation
from proxy.api.paging import Page, PageQuery, page_of, place_of
from proxy.api.reader import Reader
from proxy.api.usage import EndUser
from proxy.api.views.end_users import EndUserView, end_user_view
from proxy.clock import Clock
from proxy.ledger import end_user_rows
from proxy.ledger.end_user_rows import UNLIMITED_USER
from proxy.ledger.end_users import LimitEndUser
from proxy.validation import wants

Word = Annotated[str, wants("1 to 256 characters that can be printed", min_length=1, max_length=256)]
PATH: Final = f"{ADMIN}/accounts/{{account_id}}/end_users"


class EndUsersQuery(PageQuery, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The filter of a list of end users."""

    end_user: EndUser | None = None


class LimitedEndUser(Fields, frozen=True):
    """The limits of an end user, in place of those it has; what is absent is the default."""

    end_user: Word
    limits: EndUserLimitFields = EndUserLimitFields()


LIST_END_USERS: Final = Operation(
    id="list_end_users",
    method="GET",
    path=PATH,
    summary="List the end users of an account that limits count, with what they have spent.",
    audience="admin",
    reply=Page[EndUserView],
    query=EndUsersQuery,
    body=Nothing,
)
LIMIT_END_USER: Final = Operation(
    id="limit_end_user",
    method="PUT",
    path=PATH,
    summary="Set the limits of one end user of an account; without any they are those of the others.",
    audience="admin",
    reply=EndUserView,
    query=Nothing,
    body=LimitedEndUser,
)
OPERATIONS: Final = (LIST_END_USERS, LIMIT_END_USER)


class EndUsers:
    """Shows the end users of accounts, and limits them."""

    def __init__(self, *, ledger: Commands, reader: Reader, clock: Clock) -> None:
        self._ledger = ledger
        self._reader = reader
        self._clock = clock

    def routes(self, bind: Binder[None]) -> list[web.RouteDef]:
        """A route for each operation."""
        return [bind(LIST_END_USERS, self.page), bind(LIMIT_END_USER, self.limit)]

    async def page(self, incoming: Incoming[None, EndUsersQuery, Nothing]) -> Page[EndUserView]:
        """A page of an account's end users. Raises Refusal `not_found` for an unknown account."""
        query, unit, now_us = incoming.query, incoming.settings.unit, self._clock.now_us()
        account = await self._reader.account(incoming.path["account_id"])
        rows = await self._reader.end_users(
            account.id, end_user=query.end_user or "", after=place_of(query, str), limit=query.limit + 1
        )
        return page_of(rows, query.limit, lambda row: end_user_view(row, unit, now_us), lambda row: row.id)

    async def limit(self, incoming: Incoming[None, Nothing, LimitedEndUser]) -> EndUserView:
        """Set limits. Raises Refusal `not_found`, and `invalid_value` for what no call can name."""
        body, unit, now_us = incoming.body, incoming.settings.unit, self._clock.now_us()
        if not body.end_user.isprintable():
            raise invalid("end_user", body.end_user, "no call can name it: it has what cannot be printed")
        limits = end_user_limits_over(UNLIMITED_USER, body.limits, unit)
        command = LimitEndUser(incoming.path["account_id"], body.end_user, limits, now_us)
        done = await self._ledger.command(command)
        row = done.end_user or end_user_rows.EndUser(command.account_id, command.end_user, limits)
        return end_user_view(row, unit, now_us)
