"""The views of accounts' own webhooks."""

from typing import Literal

from msgspec import Struct

from proxy.api.views.money import When, instant
from proxy.ledger.events import Receiver


class ReceiverView(Struct, frozen=True, kw_only=True):
    """A webhook of an account, without its secret."""

    object: Literal["webhook"] = "webhook"
    id: str
    account_id: str
    url: str
    types: list[str]
    created_at: When
    rotated_at: When


class NewReceiverView(ReceiverView, frozen=True, kw_only=True):
    """A webhook with its secret, which is shown this once."""

    secret: str


class ReceiversView(Struct, frozen=True, kw_only=True):
    """All webhooks of an account."""

    object: Literal["list"] = "list"
    data: list[ReceiverView]


class DeletedReceiver(Struct, frozen=True, kw_only=True):
    """The webhook that was deleted."""

    object: Literal["webhook.deleted"] = "webhook.deleted"
    id: str


def receiver_view(receiver: Receiver) -> ReceiverView:
    """The view of a webhook."""
    return ReceiverView(
        id=receiver.id,
        account_id=receiver.account_id,
        url=receiver.url,
        types=list(receiver.types),
        created_at=instant(receiver.created_at_us),
        rotated_at=instant(receiver.rotated_at_us),
    )
