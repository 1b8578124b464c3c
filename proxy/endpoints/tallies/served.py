"""What an answer says about how it was made: the service tier that served it."""

from typing import Final, Protocol, runtime_checkable

import msgspec

from proxy.endpoints.reading.body import beginning
from proxy.endpoints.reading.fields import text_of

TIER_CHARS_MAX: Final = 64


@runtime_checkable
class TellsTier(Protocol):
    """A tally that finds the tier out, if it `listens` from before the first byte on."""

    listens: bool

    @property
    def tier(self) -> str:
        """The tier that the answer names, after its last byte; empty where it names none."""
        ...


class _Answer(msgspec.Struct, frozen=True, gc=False):
    """The members that matter, of an answer, of an event, or of an object in one."""

    service_tier: msgspec.Raw = msgspec.Raw()
    usage: msgspec.Raw = msgspec.Raw()
    response: msgspec.Raw = msgspec.Raw()
    message: msgspec.Raw = msgspec.Raw()


_ANSWER: Final = msgspec.json.Decoder(_Answer)


def tier_told(data: bytes | msgspec.Raw) -> str:
    """The tier that an answer or an event names: beside its usage, in it, or in the object that it brings."""
    try:
        answer = _ANSWER.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""
    if tier := (text_of(answer.service_tier) or "")[:TIER_CHARS_MAX]:
        return tier
    inner = (each for each in (answer.usage, answer.response, answer.message) if _is_object(each))
    return next((tier for each in inner if (tier := tier_told(each))), "")


def _is_object(raw: msgspec.Raw) -> bool:
    return beginning(raw).startswith(b"{")
