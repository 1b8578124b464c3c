"""Lists of events, for the administration and for accounts."""

from typing import Annotated, Final

from proxy.api.event_reader import EventReader
from proxy.api.paging import Page, Paged, PageQuery, bad_cursor, page_of, place_of
from proxy.api.views.events import FIRST_PLACE, EventPlace, EventView, event_view
from proxy.validation import wants

Type = Annotated[str, wants("a type of events such as balance.low", max_length=100)]

IDS: Final = 2
"""How many ids follow the time in the place of an event."""
DIGITS: Final = 18


class EventQuery(PageQuery, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The filter of a list of events."""

    type: Type | None = None


async def events_page(reader: EventReader, query: EventQuery, account_id: str) -> Page[EventView]:
    """A page of events of an account, or of all where that is empty."""
    after = event_place(query)
    rows = await reader.events(
        account_id=account_id, type_=query.type or "", after=after, limit=query.limit + 1
    )
    return page_of(rows, query.limit, event_view, lambda row: place_text(row.at_us, row.account_id, row.id))


def place_text(at_us: int, account_id: str, event_id: str) -> str:
    """A place in a list of events, or of what became of them."""
    return f"{at_us} {account_id} {event_id}"


def event_place(query: Paged) -> EventPlace:
    """The place before a page. Raises Refusal `invalid_value` for a bad cursor."""
    place = place_of(query, str)
    if place is None:
        return FIRST_PLACE
    at_us, *ids = place.split(" ")
    if len(ids) != IDS or not at_us.isdecimal() or len(at_us) > DIGITS:
        raise bad_cursor(query)
    return EventPlace(int(at_us), *ids)
