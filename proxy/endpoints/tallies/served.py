"""What an answer says about how it was made: the service tier that served it, and the model."""

from typing import Final, Protocol, runtime_checkable

import msgspec

from proxy.endpoints.reading.body import beginning
from proxy.endpoints.reading.fields import text_of

CHARS_MAX: Final = 256


class Told(msgspec.Struct, frozen=True, gc=False):
    """The names that an answer has for its tier and its model; empty where it has none."""

    tier: str = ""
    model: str = ""

    def over(self, earlier: "Told") -> "Told":
        """These, and the earlier ones where there are none."""
        return Told(self.tier or earlier.tier, self.model or earlier.model)


NOTHING_TOLD: Final = Told()


@runtime_checkable
class TellsServed(Protocol):
    """A tally that finds this out, if it `listens` from before the first byte on."""

    listens: bool

    @property
    def told(self) -> Told:
        """What the answer names, after its last byte."""
        ...


class _Answer(msgspec.Struct, frozen=True, gc=False):
    """The members that matter, of an answer, of an event, or of an object in one."""

    service_tier: msgspec.Raw = msgspec.Raw()
    model: msgspec.Raw = msgspec.Raw()
    usage: msgspec.Raw = msgspec.Raw()
    response: msgspec.Raw = msgspec.Raw()
    message: msgspec.Raw = msgspec.Raw()


_ANSWER: Final = msgspec.json.Decoder(_Answer)


def told_by(data: bytes | msgspec.Raw) -> Told:
    """What an answer or an event names: beside its usage, in it, or in the object that it brings."""
    try:
        answer = _ANSWER.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return NOTHING_TOLD
    told = Told(_text(answer.service_tier), _text(answer.model))
    for inner in (answer.usage, answer.response, answer.message):
        if _is_object(inner) and not (told.tier and told.model):
            told = told.over(told_by(inner))
    return told


def _text(raw: msgspec.Raw) -> str:
    return (text_of(raw) or "")[:CHARS_MAX]


def _is_object(raw: msgspec.Raw) -> bool:
    return beginning(raw).startswith(b"{")
