"""Conversations, which responses go on in: objects of the account that made them, with items in them.

Nothing of them costs anything by itself. What is in one is read by each response that goes on in it, and is
held for and charged there.
"""

from typing import Final

import msgspec

from proxy.endpoints.features import Feature, unpaid
from proxy.endpoints.objects import ITEM, ObjectKind, ObjectRoute, never
from proxy.endpoints.openai.members import CONVERSATIONS as NAME
from proxy.endpoints.openai.responses.items import ITEMS_MAX, Items, is_given
from proxy.endpoints.reading import fields
from proxy.endpoints.reading.body import JsonBody
from proxy.endpoints.tallies.sighted import Sighting, is_id

_ITEMS: Final = "items"


class _Told(msgspec.Struct, frozen=True):
    """The member of a conversation that tells which it is."""

    id: str


_TOLD: Final = msgspec.json.Decoder(_Told)


def read_conversation(data: bytes) -> Sighting | None:
    """What the JSON of a conversation says of it; None for anything else."""
    try:
        told = _TOLD.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return Sighting(told.id, "complete") if is_id(told.id) else None


def _turned_on(body: JsonBody) -> tuple[Feature, ...]:
    """What the items of a body name: the same rules hold for them as for the input of a response."""
    if not is_given(body, _ITEMS):
        return ()
    fields.require(body, _ITEMS, (b"[",), "an array of items")
    body.bound_items(_ITEMS, ITEMS_MAX)
    body.bound_values(_ITEMS)
    return unpaid(Items(body, "", _ITEMS).features)


CONVERSATIONS: Final = ObjectKind(
    name=NAME,
    endpoint="conversations",
    path="/v1/conversations",
    upstream_path="/conversations",
    meters=(),
    read=read_conversation,
    routes=(
        ObjectRoute("retrieve", "GET", "One conversation: free."),
        ObjectRoute("update", "POST", "Change the metadata of a conversation: free.", takes=("metadata",)),
        ObjectRoute("delete", "DELETE", "Delete a conversation: free.", tells="deletion"),
        ObjectRoute("items.list", "GET", "What is in a conversation: free.", "/items", "nothing"),
        ObjectRoute(
            *("items.create", "POST", "Put items into a conversation: free.", "/items", "nothing"),
            takes=(_ITEMS,),
            turned_on=_turned_on,
        ),
        ObjectRoute(
            *("items.retrieve", "GET", "One item of a conversation: free.", f"/items/{ITEM}", "nothing")
        ),
        ObjectRoute("items.delete", "DELETE", "Take an item out of a conversation: free.", f"/items/{ITEM}"),
    ),
    creation=ObjectRoute(
        *("create", "POST", "A conversation, with items and metadata: free."),
        takes=(_ITEMS, "metadata", "model"),
        turned_on=_turned_on,
    ),
    beside="responses",
    made_by=never,
    begins_job=never,
)
"""Conversations that the upstream keeps."""
