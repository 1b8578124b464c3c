"""The views of webhooks, and of what has become of telling them of events."""

from typing import Literal

from msgspec import Struct

from proxy.api.views.events import EventView
from proxy.api.views.money import When, instant
from proxy.ledger.events import Delivery, DeliveryState


class WebhookView(Struct, frozen=True, kw_only=True):
    """A receiver of events, without its secret and the path of its URL."""

    object: Literal["webhook"] = "webhook"
    name: str
    host: str
    types: list[str]
    accounts: list[str]


class WebhooksView(Struct, frozen=True, kw_only=True):
    """All receivers."""

    object: Literal["list"] = "list"
    data: list[WebhookView]


class DeliveryView(Struct, frozen=True, kw_only=True):
    """What has become of telling a receiver: `status` is that of its last answer, null without one.

    One that is `pending` is tried again at `next_at`; a `dead` one is tried no more.
    """

    object: Literal["delivery"] = "delivery"
    account_id: str
    event_id: str
    endpoint: str
    state: DeliveryState
    attempts: int
    at: When
    next_at: When | None
    status: int | None
    reason: str


class ToldEventView(EventView, frozen=True, kw_only=True):
    """An event, and what has become of telling of it."""

    deliveries: list[DeliveryView]


class ReplayView(Struct, frozen=True, kw_only=True):
    """How many events are sent again. With `has_more` the next ones follow `next_cursor`."""

    object: Literal["replay"] = "replay"
    replayed: int
    has_more: bool
    next_cursor: str | None


class SentView(Struct, frozen=True, kw_only=True):
    """What came of a test message: the status of the answer, or why there was none."""

    object: Literal["test"] = "test"
    endpoint: str
    delivered: bool
    status: int | None
    reason: str


def without_reason(status: int, reason: str) -> str:
    """Why there was no success, for who may not know what the operator's network looks like."""
    return reason if status or not reason else "there was no connection, or no answer in time"


def delivery_view(delivery: Delivery, *, hides_network: bool = False) -> DeliveryView:
    """The view of a delivery; one that `hides_network` does not say why there was no connection."""
    reason = without_reason(delivery.status, delivery.reason) if hides_network else delivery.reason
    return DeliveryView(
        account_id=delivery.account_id,
        event_id=delivery.event_id,
        endpoint=delivery.endpoint,
        state=delivery.state,
        attempts=delivery.attempts,
        at=instant(delivery.at_us),
        next_at=instant(delivery.next_at_us) if delivery.state == "pending" else None,
        status=delivery.status or None,
        reason=reason,
    )
