"""The reads of events, and of what has become of telling of them."""

import msgspec

from proxy.api.reader import Reader
from proxy.api.views.events import FIRST_PLACE, EventPlace
from proxy.billing.account_webhooks import receiver_of_row
from proxy.ledger.events import Delivery, Event, Receiver
from proxy.ledger.store import Row


class EventReader(Reader):
    """Reads events, beside all else that a reader does."""

    async def event(self, account_id: str, event_id: str) -> Event:
        """One event of an account."""
        absent = f"There is no event {event_id} of this account."
        return msgspec.convert(
            await self._one("event_by_id", absent, account_id=account_id, id=event_id), Event, strict=False
        )

    async def events_since(self, *, after: EventPlace, limit: int) -> list[Event]:
        """Events, oldest first, from a time on or from after one of them on."""
        place = {"at_us": after.at_us, "account_id": after.account_id, "after": after.id}
        return [
            msgspec.convert(row, Event, strict=False)
            for row in await self._rows("events_since", **place, limit=limit)
        ]

    async def events_of_since(self, account_id: str, *, after: EventPlace, limit: int) -> list[Event]:
        """Events of an account, oldest first, from a time on or from after one of them on."""
        place = {"at_us": after.at_us, "account_id": account_id, "after": after.id}
        rows = await self._rows("events_of_since", **place, limit=limit)
        return [msgspec.convert(row, Event, strict=False) for row in rows]

    async def receivers(self, account_id: str) -> list[Receiver]:
        """An account's own receivers of events."""
        rows = await self._rows("receivers_of_account", account_id=account_id)
        return [receiver_of_row(row) for row in rows]

    async def receiver(self, account_id: str, id_: str) -> Receiver:
        """One of them. Raises Refusal `not_found`."""
        absent = f"There is no webhook {id_}."
        return receiver_of_row(await self._one("receiver_by_id", absent, account_id=account_id, id=id_))

    async def deliveries(
        self, endpoint: str, state: str, *, before: EventPlace, limit: int
    ) -> list[Delivery]:
        """Deliveries to an endpoint in a state, those tried last first."""
        place = {"at_us": before.at_us, "account_id": before.account_id, "event_id": before.id}
        found = await self._rows("deliveries_page", endpoint=endpoint, state=state, **place, limit=limit)
        return [msgspec.convert(row, Delivery, strict=False) for row in found]

    async def deliveries_of(self, account_id: str, event_id: str) -> list[Delivery]:
        """What has become of telling of an event."""
        rows = await self._rows("deliveries_of_event", account_id=account_id, event_id=event_id)
        return [msgspec.convert(row, Delivery, strict=False) for row in rows]

    async def events(
        self, *, account_id: str = "", type_: str = "", after: EventPlace = FIRST_PLACE, limit: int
    ) -> list[Event]:
        """Events, newest first, of one account or of all, and of one type or of all."""
        params: Row = {"type": type_, "after": after.id, "limit": limit}
        if account_id:
            rows = await self._rows("events_of_account", account_id=account_id, **params)
        else:
            rows = await self._rows("events_of_all", account_id=after.account_id, at_us=after.at_us, **params)
        return [msgspec.convert(row, Event, strict=False) for row in rows]
