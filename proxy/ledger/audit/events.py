"""What must hold of events and their deliveries: each is as it was written, and a delivery is of an event."""

from collections.abc import Iterable, Iterator

from msgspec.structs import astuple

from proxy.ledger.audit.rows import DeliveryRow, Difference, EventRow, ReceiverRow, compare
from proxy.ledger.seals import seal_of


def event_faults(
    events: Iterable[EventRow], deliveries: Iterable[DeliveryRow], receivers: Iterable[ReceiverRow]
) -> Iterator[Difference]:
    """Where events, deliveries and receivers of an account differ from their seals."""
    for receiver in receivers:
        *told, seal = astuple(receiver)
        yield from compare("receivers", receiver.id, "seal", seal_of(*told), seal)
    for event in events:
        *sealed, seal = astuple(event)
        yield from compare("events", event.id, "seal", seal_of(*sealed), seal)
    for delivery in deliveries:
        id_ = f"{delivery.event_id}/{delivery.endpoint}"
        *fields, seal, is_of_event = astuple(delivery)
        yield from compare("deliveries", id_, "seal", seal_of(*fields), seal)
        if not is_of_event:
            yield Difference("deliveries", id_, "event_id", "an event", delivery.event_id)
