"""The views of events."""

from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

from proxy.api.views.money import When, instant
from proxy.ledger.events import Event
from proxy.ledger.rows import NEVER_US


class EventPlace(Struct, frozen=True, array_like=True):
    """An event's place in a list of them."""

    at_us: int
    account_id: str
    id: str


FIRST_PLACE: Final = EventPlace(NEVER_US, "", "")
"""Before the newest event."""


class EventView(Struct, frozen=True, kw_only=True):
    """An event: `type`, `timestamp` and `data` are what webhooks are sent, `id` is their `webhook-id`."""

    object: Literal["event"] = "event"
    id: str
    type: str
    timestamp: When
    data: dict[str, Any]


def event_view(event: Event) -> EventView:
    """The view of an event."""
    data: dict[str, Any] = msgspec.json.decode(event.data)
    return EventView(id=event.id, type=event.type, timestamp=instant(event.at_us), data=data)
