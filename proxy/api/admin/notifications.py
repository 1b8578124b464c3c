"""The admin API's list of events."""

from typing import Final

from aiohttp import web

from proxy.api.event_reader import EventReader
from proxy.api.notifications import EventQuery, events_page
from proxy.api.operations import ADMIN, Binder, Incoming, Nothing, Operation
from proxy.api.paging import Page
from proxy.api.views.events import EventView


class EventsQuery(EventQuery, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The filters of a list of events of all accounts."""

    account_id: str | None = None


LIST_EVENTS: Final = Operation(
    id="list_notifications",
    method="GET",
    path=f"{ADMIN}/notifications",
    summary="List events of all accounts or of one, the newest first.",
    audience="admin",
    reply=Page[EventView],
    query=EventsQuery,
    body=Nothing,
)

OPERATIONS: Final = (LIST_EVENTS,)


class Notifications:
    """Lists events."""

    def __init__(self, *, reader: EventReader) -> None:
        self._reader = reader

    def routes(self, bind: Binder[None]) -> list[web.RouteDef]:
        """A route for each operation."""
        return [bind(LIST_EVENTS, self.list_events)]

    async def list_events(self, incoming: Incoming[None, EventsQuery, Nothing]) -> Page[EventView]:
        """A page of events."""
        return await events_page(self._reader, incoming.query, incoming.query.account_id or "")
