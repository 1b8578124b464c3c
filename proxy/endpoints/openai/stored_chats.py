"""Chats that an upstream has stored, as `store: true` asks it to: objects of the account that made them."""

from typing import Final

import msgspec

from proxy.endpoints.base import Ask, Tally
from proxy.endpoints.generation import GenerationAsk
from proxy.endpoints.objects import ObjectKind, ObjectRoute, never
from proxy.endpoints.reading.body import Members
from proxy.endpoints.tallies.members import Part
from proxy.endpoints.tallies.part import read_part
from proxy.endpoints.tallies.sighted import Sighting, is_id
from proxy.endpoints.tallies.stream import StreamTally
from proxy.endpoints.tallies.whole import WholeTally

MEMBER_BYTES_MAX: Final = 512
METADATA_BYTES_MAX: Final = 4_096
_KEPT: Final = ("id", "created", "model", "service_tier", "system_fingerprint")
"""What is kept of a chat for lists, beside its metadata: nothing that was said, nor anything long."""
_SHAPE: Final[dict[str, bytes]] = {"object": b'"chat.completion"', "choices": b"[]"}


class _Told(msgspec.Struct, frozen=True):
    """The members of a chat, or of an event of one, that are kept. Those of other types are left out."""

    id: str
    created: msgspec.Raw = msgspec.Raw()
    model: msgspec.Raw = msgspec.Raw()
    service_tier: msgspec.Raw = msgspec.Raw()
    system_fingerprint: msgspec.Raw = msgspec.Raw()
    metadata: msgspec.Raw = msgspec.Raw()


_TOLD: Final = msgspec.json.Decoder(_Told)


def read_chat(data: bytes) -> Sighting | None:
    """What the JSON of a chat says of it; None for anything else."""
    return _sighting(data, b"")


def _sighting(data: bytes, metadata: bytes) -> Sighting | None:
    """The same of one that was made with this `metadata`, where it does not tell of any itself."""
    try:
        told = _TOLD.decode(data)
        return Sighting(told.id, "complete", _seen(told, metadata)) if is_id(told.id) else None
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _seen(told: _Told, metadata: bytes) -> str:
    """What is kept of a chat. Raises UnicodeDecodeError."""
    kept: Members = {name: msgspec.Raw(value) for name, value in _SHAPE.items()}
    kept["id"] = msgspec.Raw(msgspec.json.encode(told.id))
    for name in _KEPT[1:]:
        raw: msgspec.Raw = getattr(told, name)
        if 0 < len(memoryview(raw)) <= MEMBER_BYTES_MAX:
            kept[name] = raw
    about = bytes(told.metadata) or metadata
    if 0 < len(about) <= METADATA_BYTES_MAX:
        kept["metadata"] = msgspec.Raw(about)
    return msgspec.json.encode(kept).decode()


class _Sights:
    """Reads the parts of one reply, and notes the chat that the first of them tells of."""

    def __init__(self, metadata: bytes) -> None:
        self._metadata = metadata
        self.sighting: Sighting | None = None

    def __call__(self, data: bytes) -> Part | None:
        """Read one part."""
        part = read_part(data)
        if self.sighting is None and part is not None:
            self.sighting = _sighting(data, self._metadata)
        return part


class StoredStream(StreamTally):
    """The tally of a streamed chat that is stored."""

    def __init__(self, ask: "StoredChatAsk", *, keep_usage: bool) -> None:
        self._sights = _Sights(ask.metadata)
        super().__init__(
            read=self._sights, swallow_usage=not ask.shows_usage, keep_usage=keep_usage, echo=ask.echo
        )

    @property
    def sighting(self) -> Sighting | None:
        """The chat."""
        return self._sights.sighting


class StoredWhole(WholeTally):
    """The tally of a whole chat that is stored."""

    def __init__(self, ask: "StoredChatAsk", *, keep_usage: bool) -> None:
        self._sights = _Sights(ask.metadata)
        super().__init__(read=self._sights, keep_usage=keep_usage, echo=ask.echo)

    @property
    def sighting(self) -> Sighting | None:
        """The chat."""
        return self._sights.sighting


class StoredChatAsk(GenerationAsk, frozen=True):
    """One request for a chat that is to be stored."""

    @property
    def metadata(self) -> bytes:
        """The JSON of its metadata; empty without any."""
        raw = self.body.members.get("metadata")
        return b"" if raw is None or len(memoryview(raw)) > METADATA_BYTES_MAX else bytes(raw)

    def tally(self, *, keep_usage: bool = False) -> Tally:
        """A fresh tally for a stream or a whole body, whichever was asked for."""
        make = StoredStream if self.stream else StoredWhole
        return make(self, keep_usage=keep_usage)


def _is_stored(ask: Ask) -> bool:
    return isinstance(ask, StoredChatAsk)


STORED_CHATS: Final = ObjectKind(
    name="chat.completion",
    endpoint="chat.completions",
    path="/v1/chat/completions",
    upstream_path="/chat/completions",
    meters=("input_tokens", "output_tokens"),
    read=read_chat,
    routes=(
        ObjectRoute("retrieve", "GET", "One stored chat: free."),
        ObjectRoute("update", "POST", "Change the metadata of a stored chat: free.", takes=("metadata",)),
        ObjectRoute("messages", "GET", "What a stored chat was asked: free.", "/messages", "nothing"),
        ObjectRoute("delete", "DELETE", "Delete a stored chat: free.", tells="deletion"),
    ),
    is_listed=True,
    made_by=_is_stored,
    begins_job=never,
)
