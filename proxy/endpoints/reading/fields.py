"""Typed readers of a request's members: each gives a checked value or a refusal that names the member."""

from collections.abc import Sequence
from typing import Final

import msgspec

from proxy.endpoints.reading.body import LARGE_BYTES, JsonBody, Members, beginning
from proxy.errors import Refusal

MODEL_CHARS_MAX: Final = 256
_MODEL_WANTED: Final = f"a string of 1 to {MODEL_CHARS_MAX} printable characters"
CHOICES_MAX: Final = 128
TOKENS_MAX: Final = 1_000_000_000
"""No model takes a bound as large as this; a larger one could only overflow."""

SHOWN_CHARS: Final = 60
END_USER_CHARS_MAX: Final = 256
_END_USERS: Final = ("safety_identifier", "user")

_TEXT: Final = msgspec.json.Decoder(str)
_NUMBER: Final = msgspec.json.Decoder(int | float)
_MEMBERS: Final = msgspec.json.Decoder(Members)
_FLAGS: Final = {b"true": True, b"false": False, b"null": False}


def model_of(body: JsonBody) -> str:
    """The model asked for: 1 to 256 printable characters. Raises Refusal `invalid_value`."""
    raw = body.members.get("model")
    try:
        model = _TEXT.decode(raw) if raw is not None else ""
    except (msgspec.DecodeError, UnicodeDecodeError):
        model = ""
    if not 0 < len(model) <= MODEL_CHARS_MAX or not model.isprintable() or model.isspace():
        raise wrong(body, "model", _MODEL_WANTED)
    return model


def text_of(raw: msgspec.Raw) -> str | None:
    """A string; None for any other value."""
    try:
        return _TEXT.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def end_user(body: JsonBody) -> str:
    """Whom the call is for: what can be printed of `safety_identifier`, or else of `user`.

    Of either the first 256 characters are kept; it is empty for no string.
    """
    members = body.members
    if members.keys().isdisjoint(_END_USERS):
        return ""
    for name in _END_USERS:
        raw = members.get(name)
        if raw is not None and beginning(raw).startswith(b'"') and (found := printable(text_of(raw) or "")):
            return found
    return ""


def printable(text: str) -> str:
    """The first characters of a text that can be printed: what is kept must fit any database and any log."""
    return "".join(character for character in text[:END_USER_CHARS_MAX] if character.isprintable())


def flag(body: JsonBody, name: str) -> bool:
    """A boolean member; null and absence are False. Raises Refusal `invalid_value`."""
    raw = body.members.get(name)
    value = _FLAGS.get(beginning(raw)) if raw is not None else False
    if value is None:
        raise wrong(body, name, "true or false")
    return value


def whole(body: JsonBody, name: str, largest: int, *, least: int = 0) -> int | None:
    """A whole number from `least` to `largest`, however it is written; None for null and absence.

    Raises Refusal `invalid_value`. A number such as `1e2` is put back as an integer: some upstreams would
    read it in another way.
    """
    raw = body.members.get(name)
    if raw is None or beginning(raw) == b"null":
        return None
    value = whole_number(raw)
    if value is None or not least <= value <= largest:
        raise wrong(body, name, f"a whole number from {least} to {largest}")
    body.put(name, b"%d" % value)
    return value


def whole_number(raw: msgspec.Raw) -> int | None:
    """A JSON number that is whole, such as `100`, `100.0` and `1e2`; None for any other value."""
    try:
        value = _NUMBER.decode(raw)
    except msgspec.DecodeError:
        return None
    if type(value) is int:
        return value
    return int(value) if value == value // 1 else None


def require(body: JsonBody, name: str, kinds: Sequence[bytes], wanted: str) -> None:
    """See that a member is there and begins like JSON of the right kind. Raises Refusal `invalid_value`."""
    raw = body.members.get(name)
    if raw is None or memoryview(raw)[:1] not in kinds:
        raise wrong(body, name, wanted)


def stream_options(body: JsonBody) -> Members:
    """The members of `stream_options`, none if it is null or absent. Raises Refusal `invalid_value`."""
    raw = body.members.get("stream_options")
    if raw is None or beginning(raw) == b"null":
        return {}
    if len(memoryview(raw)) > LARGE_BYTES:
        raise wrong(body, "stream_options", f"an object of at most {LARGE_BYTES} bytes")
    try:
        return _MEMBERS.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as fault:
        raise wrong(body, "stream_options", "an object") from fault


def wrong(body: JsonBody, name: str, wanted: str) -> Refusal:
    """The refusal of a member's value, or of its absence; it says what would be right."""
    raw = body.members.get(name)
    fault = "is missing" if raw is None else f"is {shown(raw)}"
    return Refusal("invalid_value", f"`{name}` {fault}; it must be {wanted}.", param=name)


def shown(raw: msgspec.Raw) -> str:
    """A value's JSON, shortened for a message."""
    text = bytes(memoryview(raw)[: 4 * SHOWN_CHARS]).decode("utf-8", "replace")
    return text if len(text) <= SHOWN_CHARS else f"{text[:SHOWN_CHARS]}…"
